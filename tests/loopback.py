"""Servers on loopback: a store's real one, one that says what it is told to, and ports for programs that need one."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from piecehub.store.catalog import Store
from piecehub.store.server import hub_routes
from piecehub.store.tokens import Tokens

# Status, headers and body.
Answer = tuple[int, Mapping[str, str], bytes]
NOT_HERE: Answer = (404, {}, b"not here")


@contextmanager
def served(root: Path | str, tokens: Tokens | None = None) -> Iterator[str]:
    """The address at which the store at `root`, a folder or a uri, is served; it may be made later."""
    with serving(lambda: Store.open(root), tokens) as url:
        yield url


@contextmanager
def serving(open_store: Callable[[], Store], tokens: Tokens | None = None) -> Iterator[str]:
    """The address at which a store is served."""
    app = Starlette(routes=[*hub_routes(open_store, tokens=tokens)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@contextmanager
def answering(
    answers: Mapping[str, Answer], seen: list[tuple[str, str]] | None = None, otherwise: Answer = NOT_HERE
) -> Iterator[str]:
    """The address of a server that has one answer for each path; `seen` notes each with the token that came."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append((self.path, self.headers.get("Authorization", "")))
            status, headers, body = answers.get(self.path, otherwise)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def held_port() -> Iterator[int]:
    """A port that no other program is given meanwhile, for one that cannot be asked which it took.

    It is bound and does not listen, so a program that sets SO_REUSEADDR, as servers do, may bind it too and listen.
    """
    with closing(socket.socket()) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def listens(port: int) -> bool:
    """Whether a server answers there."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
