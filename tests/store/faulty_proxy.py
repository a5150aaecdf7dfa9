"""A proxy in front of an S3 server that loses answers."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What happens to the next PUTs of a key that ends so: "unheard" by the server, the answer "lost", or "told 500".
Faults = dict[str, list[str]]


@contextmanager
def faulty_proxy(endpoint: str, faults: Faults, strike: Callable[[str, str], str] | None = None) -> Iterator[str]:
    """The address of a proxy to `endpoint`; each fault is done once, in its order.

    Args:
        endpoint: the server behind it.
        faults: by the end of a key.
        strike: called with method and path of each request; says what happens to it ('' nothing). It knows two more:
            "cut" (half of the answer's body comes) and "twice" (the server gets it a second time, and answers that).
    """
    upstream = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = self._fault()
            if fault == "unheard":
                self.close_connection = True
                return
            for _ in range(2 if fault == "twice" else 1):
                connection = http.client.HTTPConnection(upstream, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
            if fault == "lost":
                self.close_connection = True
                return
            status = {"told 500": 500, "told 503": 503}.get(fault, answer.status)
            self.send_response(status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            self.close_connection = self.close_connection or fault == "cut"

        def _fault(self) -> str:
            path = urlsplit(self.path).path
            if strike is not None and (kind := strike(self.command, path)):
                return kind
            for suffix, kinds in faults.items():
                if self.command == "PUT" and path.endswith(suffix) and kinds:
                    return kinds.pop(0)
            return ""

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)
