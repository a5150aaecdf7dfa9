"""Servers that the conformance suite runs against, each over a real store, and what each can do.

A server promises the subset that its kind can keep: a host of plain files has no 410 and no page under the handle.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from piecehub.store.catalog import Store
from piecehub.store.export import LAYOUTS, export
from piecehub.ui.static_pages import static_pages
from tests.loopback import held_port, listens, served
from tests.store.conformance.expected import Expected

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nginx.conf"
# What a server may promise beyond the archive under its handle.
BASIC = frozenset({"archive"})
STATIC = BASIC | {"manifest", "blobs", "last_modified"}
NGINX = STATIC | {
    "page",
    "json",
    "lists",
    "newest",
    "gone",
    "chunked",
    "range",
    "etag",
    "immutable",
    "read_only",
    "slash",
}
OURS = NGINX - {"last_modified"} | {"digest", "to_newest", "sentences", "deprecation"}
EVERYTHING = OURS | NGINX


@dataclass(frozen=True)
class Server:
    """A base URL, what its server promises, and what it must show."""

    url: str
    features: frozenset[str]
    expected: Expected


@contextmanager
def ours(store: Store, scratch: Path) -> Generator[str, None, None]:
    """The address of `piecehub serve`, without its pages."""
    del scratch
    with served(store.uri) as url:
        yield url


@contextmanager
def plain(store: Store, scratch: Path) -> Generator[str, None, None]:
    """The address of the plain export under `python -m http.server`."""
    export(store, scratch / "plain", LAYOUTS["plain"], static_pages(""))
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", scratch / "plain"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(" port ")[1].split()[0])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def nginx(store: Store, scratch: Path) -> Generator[str, None, None]:
    """The address of the export for nginx, under nginx with our configuration."""
    export(store, scratch / "tree", LAYOUTS["nginx"], static_pages(""))
    with nginx_over(scratch / "tree", scratch) as url:
        yield url


MAKERS = {"ours": ours, "nginx": nginx, "http.server": plain}
# What each of them promises, whatever the store lies on.
KINDS = {"ours": OURS, "nginx": NGINX, "http.server": STATIC}


@contextmanager
def nginx_over(tree: Path, scratch: Path) -> Generator[str, None, None]:
    """The address of nginx with our configuration over a folder."""
    program = nginx_program()
    assert program is not None, "Expected nginx. Received: none; install the Debian package nginx-light."
    with held_port() as port:
        yield from _nginx_at(port, program, tree, scratch)


def _nginx_at(port: int, program: str, tree: Path, scratch: Path) -> Generator[str, None, None]:
    text = CONFIGURATION.read_text(encoding="utf-8")
    ours = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("root /srv/models;", f"root {tree};")
    assert ours.count(str(tree)) == 1 and str(port) in ours
    (scratch / "models.conf").write_text(ours, encoding="utf-8")
    (scratch / "nginx.conf").write_text(
        _AROUND.format(scratch=scratch, user="user root;" if os.geteuid() == 0 else ""), encoding="utf-8"
    )
    process = subprocess.Popen([program, "-p", scratch, "-c", scratch / "nginx.conf", "-e", scratch / "error.log"])
    try:
        deadline = time.monotonic() + 20
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, (scratch / "error.log").read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def nginx_program() -> str | None:
    """Where nginx is, if it is installed; Debian puts it where not every PATH looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


# Unprivileged where we are; as root, workers stay root, for the tests' folders are readable by nobody else.
_AROUND = """
{user}
daemon off;
worker_processes 2;
pid {scratch}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    error_log {scratch}/error.log warn;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    include {scratch}/models.conf;
}}
"""
