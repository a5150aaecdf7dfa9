"""A v2beta1 server on loopback: the rules of `api.py` by HTTP, each answer held against the SDK's own models.

With `with_page` it answers `/k8s/pod/logs` and `/k8s/pod` too, as the server of Kubeflow's page does. `broken` makes it
fail, for a method and the beginning of a path: by a status, "silent" (it accepts, and never answers), "cut" (it closes
the connection) or "html".
"""

import functools
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kfp_server_api import ApiClient

from tests.kubeflow.api import Crashed, Json, Kfp, Refused

_API = "/apis/v2beta1"


@dataclass
class Served:
    """A server that runs.

    Attributes:
        state: what it holds.
        url: where it listens.
        token: that it asks for; empty for none.
        tag: its version, as the older API tells it; empty if it does not.
        broken: what it does instead of answering, by method and the beginning of the path.
        asked: every request, in order.
    """

    state: Kfp
    token: str = ""
    tag: str = "2.16.1"
    with_page: bool = True
    url: str = ""
    broken: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, method: str, path: str) -> Any:
        """What it does instead of answering; None if it answers."""
        found = [how for (wanted, begins), how in self.broken.items() if wanted == method and path.startswith(begins)]
        return found[0] if found else None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[str, Any]:
        """The model's name and the answer of a request, or the log of a pod without one."""
        state, below = self.state, path.removeprefix(_API)
        if path == "/k8s/pod/logs" and self.with_page:
            if query["podname"] not in state.pod_logs:
                raise Refused(500, "Could not get main container logs: Error: pod not found")
            return "", state.pod_logs[query["podname"]]
        if path == "/k8s/pod" and self.with_page:
            if query["podname"] not in state.pods:
                raise Refused(500, "Could not get pod details: pod not found")
            return "", state.pods[query["podname"]]
        if path == "/apis/v1beta1/healthz" and self.tag:
            return "", {"tag_name": self.tag}
        for known, pattern, model, act in _ROUTES:
            if known == method and (found := re.fullmatch(pattern, below)) and path.startswith(_API):
                return model, act(state, query, body, *found.groups())
        raise Refused(404, "Not Found")


Act = Callable[..., Json]
_ROUTES: list[tuple[str, str, str, Act]] = [
    ("GET", "/healthz", "V2beta1GetHealthzResponse", lambda s, q, b: {"multi_user": bool(s.namespaces)}),
    ("GET", "/experiments", "V2beta1ListExperimentsResponse", lambda s, q, b: s.listed("experiments", q)),
    ("POST", "/experiments", "V2beta1Experiment", lambda s, q, b: s.create_experiment(b)),
    ("GET", "/pipelines", "V2beta1ListPipelinesResponse", lambda s, q, b: s.listed("pipelines", q)),
    (
        "POST",
        "/pipelines/upload",
        "V2beta1Pipeline",
        lambda s, q, b: s.upload_pipeline(b, q["name"], q.get("namespace", "")),
    ),
    (
        "POST",
        "/pipelines/upload_version",
        "V2beta1PipelineVersion",
        lambda s, q, b: s.upload_version(b, q["name"], q["pipelineid"]),
    ),
    (
        "GET",
        "/pipelines/([^/]+)/versions",
        "V2beta1ListPipelineVersionsResponse",
        lambda s, q, b, pipeline: s.listed("versions", q, pipeline_id=pipeline),
    ),
    ("GET", "/runs", "V2beta1ListRunsResponse", lambda s, q, b: s.listed("runs", q)),
    ("POST", "/runs", "V2beta1Run", lambda s, q, b: s.create_run(b)),
    ("GET", "/runs/([^/:]+)", "V2beta1Run", lambda s, q, b, run: s.get_run(run)),
    ("GET", "/recurringruns", "V2beta1ListRecurringRunsResponse", lambda s, q, b: s.listed("recurringruns", q)),
    ("POST", "/recurringruns", "V2beta1RecurringRun", lambda s, q, b: s.create_recurring(b)),
    ("DELETE", "/recurringruns/([^/:]+)", "", lambda s, q, b, one: s.delete_recurring(one)),
    ("POST", "/recurringruns/([^/:]+):enable", "", lambda s, q, b, one: s.enable_recurring(one, is_on=True)),
    ("POST", "/recurringruns/([^/:]+):disable", "", lambda s, q, b, one: s.enable_recurring(one, is_on=False)),
]


@contextmanager
def serving(served: Served, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Starts a server on a free port; inside, `url` is its address."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: in two, each waits 40 ms for an acknowledgement of the first

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def do_DELETE(self) -> None:
            self._do()

        def _do(self) -> None:
            parts = urlsplit(self.path)
            served.asked.append((self.command, parts.path))
            body = self._body()
            how = served.fault(self.command, parts.path)
            if how == "silent":
                stop.wait(60)
            if how in ("silent", "cut"):
                self.close_connection = True
                return
            if how == "html":
                self._send(200, "text/html", b"<html>Log in</html>")
            elif isinstance(how, int):
                self._send(how, "application/json", json.dumps({"code": 13, "message": f"told to say {how}"}).encode())
            elif served.token and self.headers.get("authorization") != f"Bearer {served.token}":
                self._send(401, "application/json", b'{"code": 16, "message": "there is no user"}')
            else:
                self._answer(parts.path, dict(parse_qsl(parts.query)), body)

        def _answer(self, path: str, query: dict[str, str], body: Any) -> None:
            try:
                model, answer = served.answer(self.command, path, query, body)
            except Refused as refused:
                told = {"code": 3, "message": str(refused), "details": []}
                self._send(refused.status, "application/json", json.dumps(told).encode())
            except Crashed:
                self.close_connection = True
            else:
                is_text = isinstance(answer, str)
                content = answer.encode() if is_text else json.dumps(as_the_sdk_knows_it(model, answer)).encode()
                self._send(200, "text/plain" if is_text else "application/json", content)

        def _body(self) -> Any:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/"):
                whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
                return next(part.get_payload(decode=True) for part in whole.walk() if not part.is_multipart())
            return json.loads(content) if content else None

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@functools.cache
def _api() -> ApiClient:
    return ApiClient()


@dataclass
class _Response:
    data: str


def as_the_sdk_knows_it(model: str, answer: Json) -> Json:
    """The answer, if the SDK's model takes it and knows all of its fields.

    Raises:
        AssertionError: if the model would drop or change something: no real server answers so.
    """
    if not model:
        return answer
    api = _api()
    read = api.sanitize_for_serialization(api.deserialize(_Response(json.dumps(answer)), model))
    assert read == answer, f"{model} does not hold {answer}"
    return answer
