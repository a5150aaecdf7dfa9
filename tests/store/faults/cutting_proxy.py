"""A proxy of bytes in front of a server that breaks the connection off within a body."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_BLOCK_BYTES = 1 << 16


@dataclass
class Cut:
    """After how many bytes of a body, as they go over the wire, the connection ends; None: it does not."""

    after_bytes: int | None = None


@contextmanager
def cutting_proxy(url: str) -> Iterator[tuple[str, Cut]]:
    """The address of the proxy, and what it is to do to the next answers."""
    upstream, cut = (urlsplit(url).hostname, urlsplit(url).port), Cut()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_forward, args=(client, upstream, cut.after_bytes), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", cut
    finally:
        listener.close()


def _forward(client: socket.socket, upstream: tuple[str | None, int | None], after_bytes: int | None) -> None:
    """One request and its answer; the clients of these tests say `Connection: close`."""
    with client, socket.create_connection(upstream) as server, suppress(OSError):
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(_BLOCK_BYTES)
        server.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += server.recv(_BLOCK_BYTES)
        head, _, body = answer.partition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        left = after_bytes
        body = body or server.recv(_BLOCK_BYTES)
        while body:
            client.sendall(body if left is None else body[:left])
            left = None if left is None else left - len(body)
            if left is not None and left <= 0:
                return
            body = server.recv(_BLOCK_BYTES)
