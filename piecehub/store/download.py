"""Fetches an archive from any server that speaks the hosting protocol (tensorflow/hub, docs/hosting.md).

One `GET <handle>?tf-hub-format=compressed`, as the client of TensorFlow Hub sends it, but of bounded size, over http
and https only, and not into the client's cache, which would keep whatever came for ever.
"""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from piecehub.errors import ArchiveError, EnvironmentProblem, RecipeError, no_space
from piecehub.facts.addresses import is_loopback
from piecehub.facts.progress import Meter
from piecehub.facts.secrets import carries_secret, redacted_text
from piecehub.store.proxies import is_in_clear, refuse_token_in_clear

MAX_DOWNLOAD_BYTES = 8 << 30
_BLOCK_BYTES = 1 << 20
_SILENCE_S = 60
_QUERY = ("tf-hub-format", "compressed")


def download(url: str, destination: Path, *, max_bytes: int = MAX_DOWNLOAD_BYTES) -> None:
    """Writes what a handle's server answers to the new file `destination`.

    Raises:
        RecipeError: if `url` is neither http nor https.
        EnvironmentProblem: if the server cannot be reached, or answers with an error.
        ArchiveError: if the answer is longer than `max_bytes`. Whether it is whole, `archive.unpack` tells.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise RecipeError(f"Expected an address with http or https. Received: '{url}'; download the model first.")
    fetch_file(_compressed(url), destination, max_bytes=max_bytes, what=url)


def fetch_file(url: str, destination: Path, *, max_bytes: int, token: str = "", what: str = "") -> None:
    """Writes what one GET answers to the new file `destination`; errors as `download` has them.

    Args:
        url: what to get.
        destination: a file that does not exist yet.
        max_bytes: a longer answer is refused.
        token: a bearer token; it goes to this server only, not along with a redirect, and never over the open network
            without TLS, nor to a proxy that could read it. One in the query of `url` is held to the same, but that it
            goes where the server redirects it.
        what: how errors call the address; the address itself if empty.
    """
    what = redacted_text(what or url)
    refuse_token_in_clear(url, token, what)
    request = urllib.request.Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with _opener().open(request, timeout=_SILENCE_S) as answer:
            _write(_metered(_blocks(answer, what, max_bytes), answer.headers.get("Content-Length", "")), destination)
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        raise EnvironmentProblem(
            f"Expected a model at '{what}'. Received: {_why(error)}; check the address and the server."
        ) from error


def _compressed(url: str) -> str:
    """The handle's address with the query that asks for an archive; what it has of a query stays."""
    parts = urllib.parse.urlsplit(url)
    query = [*urllib.parse.parse_qsl(parts.query), _QUERY]
    return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query), fragment=""))


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https and nothing else; urllib's own also opens files and ftp, also when redirected there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Proxies(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Proxies(urllib.request.ProxyHandler):
    """The proxies of the environment, for all but this machine: a token may go there without TLS, and no further."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        """Sends a request through a proxy, or returns None: directly."""
        if is_loopback(urllib.parse.urlsplit(req.full_url).hostname or ""):
            return None
        return super().proxy_open(req, proxy, type)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect, unless a token of its query would then go in clear."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request that follows."""
        if carries_secret(newurl) and is_in_clear(newurl):
            raise urllib.error.URLError(f"a redirect to '{redacted_text(newurl)}', where a token would go without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    return redacted_text(str(error)) or type(error).__name__


def _write(blocks: Iterator[bytes], destination: Path) -> None:
    """Writes what comes; a disk that is full is not the server's fault."""
    with _writing(destination):
        file = destination.open("xb", buffering=0)
    with file:
        for block in blocks:
            with _writing(destination):
                left = memoryview(block)
                while left:
                    left = left[file.write(left) :]


@contextmanager
def _writing(destination: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise no_space(error, destination.parent) or EnvironmentProblem(
            f"Expected room for a download in '{destination.parent}'. Received: {error.strerror or error}; make room, "
            "or set TMPDIR to a folder that has some."
        ) from error


def _metered(blocks: Iterator[bytes], told_bytes: str) -> Iterator[bytes]:
    """The blocks; how many bytes have come is told meanwhile, of how many if the server says so."""
    meter = Meter("bytes", int(told_bytes) if told_bytes.isdecimal() else 0)
    for block in blocks:
        yield block
        meter.add(len(block))


def _blocks(answer: IO[bytes], url: str, max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    while block := answer.read(_BLOCK_BYTES):
        left -= len(block)
        if left < 0:
            raise ArchiveError(f"Expected at most {max_bytes} bytes at '{url}'. Received: more.")
        yield block
