"""A registry on loopback: as much of OCI's distribution API as tells an image's digest, and lets in who may ask."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(manifest: bytes) -> str:
    """What a registry calls it."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


@dataclass
class Registry:
    """What it holds, and whom it lets in.

    Attributes:
        manifests: by name and tag; by digest it finds them, too.
        password: of the user `ann`; empty lets in everybody.
        asks_for: "Bearer", "Basic" or something else.
        tells_digest: whether it sends Docker-Content-Digest, which it may leave out.
        broken: a status that it answers with in any case, or "silent"; 0 for none.
        asked: every request, method and path.
    """

    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    password: str = ""
    asks_for: str = "Bearer"
    tells_digest: bool = True
    broken: int | str = 0
    host: str = ""
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, tag: str, manifest: bytes) -> str:
        """Puts an image there, and returns its digest."""
        self.manifests[name, tag] = manifest
        return digest_of(manifest)

    def found(self, path: str) -> bytes | None:
        """The manifest that a path names."""
        name, _, reference = path.removeprefix("/v2/").partition("/manifests/")
        for (known, tag), manifest in self.manifests.items():
            if known == name and reference in (tag, digest_of(manifest)):
                return manifest
        return None


@contextmanager
def serving_registry(registry: Registry) -> Iterator[Registry]:
    """Starts it on a free port; inside, `host` is what stands before the names of its images."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._do()

        def do_GET(self) -> None:
            self._do()

        def _do(self) -> None:
            parts = urlsplit(self.path)
            registry.asked.append(f"{self.command} {parts.path}")
            if registry.broken == "silent":
                stop.wait(60)
            elif registry.broken:
                self._send(int(registry.broken))
            elif parts.path == "/token":
                self._token(parse_qs(parts.query))
            elif not self._is_let_in():
                told = f'Bearer realm="http://{registry.host}/token",service="ours",scope="repository:a/b:pull"'
                asks = told if registry.asks_for == "Bearer" else f'{registry.asks_for} realm="ours"'
                self._send(401, **{"WWW-Authenticate": asks})
            elif (manifest := registry.found(parts.path)) is None:
                self._send(404)
            else:
                kind = INDEX if b"manifests" in manifest else MANIFEST
                told = {"Docker-Content-Digest": digest_of(manifest)} if registry.tells_digest else {}
                self._send(200, manifest, **{"Content-Type": kind}, **told)

        def _is_let_in(self) -> bool:
            right = "Bearer a-token" if registry.asks_for == "Bearer" else f"Basic {self._secret()}"
            return not registry.password or self.headers.get("Authorization") == right

        def _token(self, query: dict[str, list[str]]) -> None:
            right = self.headers.get("Authorization") == f"Basic {self._secret()}"
            asked = (query["service"], query["scope"]) == (["ours"], ["repository:a/b:pull"])
            self._send(200, json.dumps({"token": "a-token"}).encode()) if right and asked else self._send(401)

        def _secret(self) -> str:
            return base64.b64encode(f"ann:{registry.password}".encode()).decode()

        def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    registry.host = f"localhost:{server.server_address[1]}"
    try:
        yield registry
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
