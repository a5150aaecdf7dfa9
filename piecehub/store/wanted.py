"""From a request to the version that it may have: its token, its name, what holds for it.

No path is made from a URL: its parts are checked as a handle, and the handle names the manifest.
"""

import logging
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.handle import VERSION_PATTERN, Handle
from piecehub.facts.manifest import Manifest
from piecehub.store.blob_response import SoundFiles
from piecehub.store.catalog import Store
from piecehub.store.events import ModelState
from piecehub.store.listing import Listing
from piecehub.store.tokens import Tokens

_FOREVER = "max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_VERSION = re.compile(VERSION_PATTERN)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What is served, and to whom.

    Attributes:
        open_store: called for each request.
        tokens: of private publishers.
        sound: the archives that were found right, of which the bytes are not hashed again.
        listing: what was read of the store's index.
    """

    open_store: Callable[[], Store]
    tokens: Tokens = field(default_factory=Tokens)
    sound: SoundFiles = field(default_factory=SoundFiles)
    listing: Listing = field(default_factory=Listing)

    def admit(self, request: Request, publisher: str) -> None:
        """Raises HTTPException 401 if the publisher is private and the request does not show one of its tokens.

        The same answer whether the model exists or not, so nobody learns a private model's name.
        """
        if not self.tokens.opens(publisher, token_of(request)):
            raise HTTPException(
                401,
                f"Expected a token of '{publisher}'. Received: none that opens it; send 'Authorization: Bearer …'.",
                {"WWW-Authenticate": 'Bearer realm="piecehub"', "Cache-Control": "no-store"},
            )

    def hidden(self, request: Request) -> list[str]:
        """The publishers that a list leaves out: private ones whose token the request does not show."""
        return [publisher for publisher in self.tokens.digests if not self.tokens.opens(publisher, token_of(request))]

    def cache_control(self, publisher: str, is_versioned: bool) -> str:
        """A version is for ever the same, but what a token opened belongs into nobody else's cache."""
        scope = "private" if self.tokens.is_private(publisher) else "public"
        return f"{scope}, {_FOREVER}" if is_versioned else _ASK_AGAIN


@dataclass(frozen=True)
class Found:
    """The version that a request may have; `headers` say what is to be known of it."""

    store: Store
    manifest: Manifest
    state: ModelState
    is_versioned: bool
    headers: dict[str, str]


def token_of(request: Request) -> str:
    """The token that a request shows: as a header, or as `?token=`, the one way of the unmodified client."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.query_params.get("token", "")


@contextmanager
def status_of_errors() -> Generator[None, None, None]:
    """Turns a name that is not allowed into 404, and a damaged store into 500 and a line in the log."""
    try:
        yield
    except RecipeError as error:
        raise HTTPException(404, error.sentence) from error
    except StoreError as error:
        _log.error(error.sentence)
        raise HTTPException(500, "Expected a whole store. Received: a damaged one; see the server's log.") from error


def find(service: Service, request: Request, path: str) -> Found:
    """The version that `publisher/name/N` names, or the newest one of `publisher/name`.

    Raises:
        HTTPException: 401 without the token that it needs, 404 if there is none, 410 if it is quarantined.
    """
    publisher, _, name = path.strip("/").partition("/")
    service.admit(request, publisher)
    store = service.open_store()
    name, version = _name_and_version(name)
    state = store.state(publisher, name)
    number = state.newest if version is None else version
    manifest = store.find(Handle(publisher, name, number)) if number else None
    if manifest is None:
        raise HTTPException(404, f"Expected a published model. Received: '{path}'; /api/v1/models lists them.")
    return Found(store, manifest, state, version is not None, _deprecation(state, manifest.handle))


def _name_and_version(text: str) -> tuple[str, int | None]:
    name, _, last = text.rpartition("/")
    return (name, int(last)) if name and _VERSION.fullmatch(last) else (text, None)


def _deprecation(state: ModelState, handle: Handle) -> dict[str, str]:
    if refusal := state.refusal(handle.version):
        raise HTTPException(410, f"Expected a version that may be served. Received: '{handle}', {refusal}")
    reason = state.reason(handle.version)
    if reason is None:
        return {}
    return {"Deprecation": f"@{int(datetime.fromisoformat(reason.at).timestamp())}"}
