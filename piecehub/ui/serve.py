"""Runs the server on one address, until it is stopped."""

import socket
import sys
from contextlib import suppress

import uvicorn

from piecehub.errors import EnvironmentProblem
from piecehub.ui.app import create_app, is_loopback
from piecehub.workdir import Workdir


def serve(workdir: Workdir, host: str, port: int) -> None:
    """Serves a working folder until it is interrupted; says on standard error where.

    Args:
        workdir: whose runs and store are shown; it may not exist yet.
        host: the address to listen on; on another than loopback only the hosting protocol is served.
        port: 0 takes a free one.

    Raises:
        EnvironmentProblem: if the address cannot be taken.
    """
    listener = listen(host, port)
    print(_greeting(host, listener.getsockname()[1]), file=sys.stderr, flush=True)
    config = uvicorn.Config(
        create_app(workdir, host=host), log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, so that the port is known, and ours, before the URL is told.

    Raises:
        EnvironmentProblem: if the address is taken, not allowed or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)  # type: ignore[reportArgumentType]
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected a free address. Received: '{host}' port {port} ({error.strerror}); "
            "choose another with --host or --port (0 takes a free one)."
        ) from error


def _greeting(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    pages = "" if is_loopback(host) else "  (hosting protocol only: the pages are served on loopback)"
    return f"serving http://{name}:{port}/{pages}"
