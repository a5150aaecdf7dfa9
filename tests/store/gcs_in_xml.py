"""Puts writes in the words of Google's XML API into those of its JSON API, the only ones that fake-gcs-server takes.

The library (obstore) speaks the XML API alone. Reads and lists pass as they are. A condition stays a condition
(`x-goog-if-generation-match: 0` → `ifGenerationMatch=0`): whether a key is taken is decided by the server behind, not
here. Of an upload in parts the parts are kept here, and written as one object when it is complete.

https://cloud.google.com/storage/docs/xml-api/reference-methods · https://cloud.google.com/storage/docs/json_api/v1
"""

import html
import http.client
import json
import re
import threading
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

_HOP_BY_HOP = ("transfer-encoding", "content-length", "connection")


@dataclass
class _Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        parsed = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[0] for name, values in parsed.items()}

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and key."""
        bucket, _, key = urlsplit(self.target).path.lstrip("/").partition("/")
        return bucket, unquote(key)


@contextmanager
def gcs_in_xml(upstream: str) -> Generator[str, None, None]:
    """The address at which the server at `upstream` (host:port) takes writes by the XML API too."""
    translator = _Translator(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = translator.answer(_Request(self.command, self.path, self.headers, body))
            self.send_response(found.status)
            for name, value in found.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            told = found.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(found.body))
            self.send_header("Content-Length", told)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else found.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # many publishers at once
    daemon_threads = True


class _Translator:
    """Answers requests by asking the server behind."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._parts: dict[str, dict[int, bytes]] = {}

    def answer(self, asked: _Request) -> _Answer:
        if asked.method == "POST" or (asked.method in ("PUT", "DELETE") and "uploadId" in asked.query):
            return self._in_parts(asked)
        if asked.method == "PUT":
            source = asked.headers.get("x-goog-copy-source")
            return self._copy(asked, unquote(source)) if source else self._write(asked, asked.body)
        return self._ask(asked.method, asked.target, asked.body, _passed_on(asked.headers))

    def _write(self, asked: _Request, body: bytes) -> _Answer:
        bucket, key = asked.place
        query = urlencode({"uploadType": "media", "name": key, **_condition(asked)})
        return _as_xml(self._ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", body))

    def _copy(self, asked: _Request, source: str) -> _Answer:
        bucket, key = asked.place
        source_bucket, _, source_key = source.lstrip("/").partition("/")
        path = f"/storage/v1/b/{source_bucket}/o/{quote(source_key, safe='')}/copyTo/b/{bucket}/o/{quote(key, safe='')}"
        return _as_xml(self._ask("POST", path, b"{}"))

    def _in_parts(self, asked: _Request) -> _Answer:
        if "uploads" in asked.query:
            upload = uuid.uuid4().hex
            self._parts[upload] = {}
            return _Answer(200, body=_tags("InitiateMultipartUploadResult", UploadId=upload))
        upload = asked.query["uploadId"]
        if upload not in self._parts:
            return _Answer(404)
        if asked.method == "PUT":
            self._parts[upload][int(asked.query["partNumber"])] = asked.body
            return _Answer(200, {"ETag": f'"{asked.query["partNumber"]}"'})
        parts = self._parts.pop(upload)
        if asked.method == "DELETE":
            return _Answer(204)
        wanted = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", asked.body)]
        done = self._write(asked, b"".join(parts[number] for number in wanted))
        if done.status == 200:
            done.body = _tags("CompleteMultipartUploadResult", ETag=done.headers["ETag"])
        return done

    def _ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> _Answer:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        connection.request(method, target, body or None, dict(headers or {}))
        answer = connection.getresponse()
        found = _Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return found


def _condition(asked: _Request) -> dict[str, str]:
    generation = asked.headers.get("x-goog-if-generation-match")
    return {} if generation is None else {"ifGenerationMatch": generation}


def _passed_on(headers: http.client.HTTPMessage) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in (*_HOP_BY_HOP, "host")}


def _as_xml(answer: _Answer) -> _Answer:
    """An object's facts as fields of an answer without a body; a refusal keeps its status."""
    if answer.status != 200:
        return _Answer(answer.status, body=answer.body)
    facts = json.loads(answer.body)
    return _Answer(200, {"ETag": f'"{facts["etag"]}"', "x-goog-generation": str(facts["generation"])})


def _tags(root: str, **tags: str) -> bytes:
    inner = "".join(f"<{name}>{html.escape(value)}</{name}>" for name, value in tags.items())
    return f"<?xml version='1.0' encoding='UTF-8'?><{root}>{inner}</{root}>".encode()
