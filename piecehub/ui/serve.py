"""Runs the server on one address, until it is stopped."""

import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

import uvicorn

from piecehub.errors import EnvironmentProblem
from piecehub.facts.addresses import is_loopback
from piecehub.facts.workdir import Workdir
from piecehub.store.tokens import Tokens
from piecehub.ui import layout
from piecehub.ui.app import create_app
from piecehub.ui.metrics import Scheduled


def serve(
    workdir: Workdir,
    host: str,
    port: int,
    *,
    hub_only: bool | None = None,
    tokens: Tokens | None = None,
    store: Path | str | None = None,
    scheduled: Scheduled | None = None,
) -> None:
    """Serves a working folder until it is interrupted; says on standard error where.

    Args:
        workdir: whose runs and store are shown; it may not exist yet.
        host: the address to listen on.
        port: 0 takes a free one.
        hub_only: as `create_app` has it, and the last two likewise.
        tokens: of private publishers.
        store: the folder or uri of another store than the working folder's.
        scheduled: as `create_app` has it.

    Raises:
        EnvironmentProblem: if the address cannot be taken.
        RecipeError: if the pages are asked for beside tokens.
    """
    app = create_app(workdir, host=host, hub_only=hub_only, tokens=tokens, store=store, scheduled=scheduled)
    listener = listen(host, port)
    has_pages = any(getattr(route, "path", "") == "/" for route in app.routes)
    print(_greeting(host, listener.getsockname()[1], has_pages=has_pages), file=sys.stderr, flush=True)
    if has_pages:
        threading.Thread(target=layout.get_ready, daemon=True).start()
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    with suppress(KeyboardInterrupt):
        server = uvicorn.Server(config)
        app.state.is_ending = lambda: server.should_exit  # else who watches a run keeps it from ending
        server.run(sockets=[listener])


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


def _greeting(host: str, port: int, *, has_pages: bool) -> str:
    name = f"[{host}]" if ":" in host else host
    note = "" if has_pages else "  (hosting protocol only: the pages are served on loopback)"
    if has_pages and not is_loopback(host):
        note = "  (with the pages: whoever reaches this address sees runs, parameters and logs)"
    return f"serving http://{name}:{port}/{note}"
