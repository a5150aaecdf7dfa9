"""Fetches an archive from any server that speaks the hosting protocol (tensorflow/hub, docs/hosting.md).

One `GET <handle>?tf-hub-format=compressed`, as the client of TensorFlow Hub sends it, but of bounded size, over http
and https only, and not into the client's cache, which would keep whatever came for ever.
"""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from piecehub.errors import ArchiveError, EnvironmentProblem, RecipeError

MAX_DOWNLOAD_BYTES = 8 << 30
_BLOCK_BYTES = 1 << 20
_SILENCE_S = 60
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
            without TLS.
        what: how errors call the address; the address itself if empty.
    """
    what, parts = what or url, urllib.parse.urlsplit(url)
    if token and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise RecipeError(f"Expected https for a token. Received: '{what}'; without TLS everybody on the way reads it.")
    request = urllib.request.Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with _opener().open(request, timeout=_SILENCE_S) as answer, destination.open("xb") as file:
            _copy(answer, file, what, max_bytes)
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
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _why(error: Exception) -> str:
    return f"status {error.code}" if isinstance(error, urllib.error.HTTPError) else str(error) or type(error).__name__


def _copy(answer: IO[bytes], file: IO[bytes], url: str, max_bytes: int) -> None:
    left = max_bytes
    while block := answer.read(_BLOCK_BYTES):
        left -= len(block)
        if left < 0:
            raise ArchiveError(f"Expected at most {max_bytes} bytes at '{url}'. Received: more.")
        file.write(block)
