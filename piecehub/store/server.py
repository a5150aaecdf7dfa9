"""The hosting protocol of TensorFlow Hub (its docs/hosting.md), over a store on this machine.

    GET /<publisher>/<name>/<N>?tf-hub-format=compressed     the archive, for ever the same
    GET /<publisher>/<name>?tf-hub-format=compressed         the newest archive
    GET /<publisher>/<name>/<N>                              the page about it, for people
    GET /<publisher>/<name>                                  302 to that page of the newest version
    GET /healthz, /api/v1/models                             for machines

The archive is sent in chunks, without a Content-Length. The client of tensorflow_hub 0.16.1 does not compare lengths:
a body cut between two members would stand in its cache for ever, even once the server is well again (2.5 % of all
cuts, measured). A chunked body that is cut raises IncompleteRead, and the cache stays clean. Requests for a Range, and
HEAD, get the length.

No path is made from a URL: its parts are checked as a handle, the manifest names the digest, the digest names the file.
"""

import base64
import logging
import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from piecehub.errors import RecipeError, StoreError
from piecehub.handle import Handle
from piecehub.manifest import DOCUMENTATION_TITLE, Blob, Manifest
from piecehub.store.catalog import Store

Document = Callable[[Request, Manifest], Awaitable[Response]]

_BLOCK_BYTES = 1 << 20
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
# A version as `str(int)` spells it; Python refuses to read numbers of thousands of digits.
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_log = logging.getLogger(__name__)


def hub_routes(open_store: Callable[[], Store], document: Document | None = None) -> list[Route]:
    """The routes of the protocol; put them last, for they take every path of two parts or more.

    Args:
        open_store: called for each request.
        document: answers a request for the page of a version; None answers with its `documentation.md`.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def models(request: Request) -> Response:
        with _status_of_errors():
            return JSONResponse([_summary(manifest, str(request.base_url)) for manifest in open_store().models()])

    async def model(request: Request) -> Response:
        path = f"{request.path_params['publisher']}/{request.path_params['name']}".rstrip("/")
        with _status_of_errors():
            store = await run_in_threadpool(open_store)
            manifest, is_versioned = await run_in_threadpool(_resolve, store, path)
            wanted = request.query_params.get("tf-hub-format")
            if wanted is not None:
                return _archive(request, store, manifest, wanted, _FOREVER if is_versioned else _ASK_AGAIN)
            if not is_versioned:
                return RedirectResponse(f"{request.scope.get('root_path', '')}/{manifest.handle}", 302)
            return await document(request, manifest) if document else _documentation(request, store, manifest)

    return [
        Route("/healthz", healthz),
        Route("/api/v1/models", models),
        Route("/{publisher}/{name:path}", model),
    ]


@contextmanager
def _status_of_errors() -> Generator[None, None, None]:
    """Turns a name that is not allowed into 404, and a damaged store into 500 and a line in the log."""
    try:
        yield
    except RecipeError as error:
        raise HTTPException(404, error.sentence) from error
    except StoreError as error:
        _log.error(error.sentence)
        raise HTTPException(500, "Expected a whole store. Received: a damaged one; see the server's log.") from error


def _resolve(store: Store, path: str) -> tuple[Manifest, bool]:
    """The version that a URL's path names, and whether it gave a number; raises HTTPException 404 if there is none."""
    publisher, _, name = path.partition("/")
    is_versioned = "/" in name and _VERSION.fullmatch(name.rpartition("/")[2]) is not None
    manifest = store.find(Handle.parse(path)) if is_versioned else store.newest(publisher, name)
    if manifest is None:
        raise HTTPException(404, f"Expected a published model. Received: '{path}'; /api/v1/models lists them.")
    return manifest, is_versioned


def _summary(manifest: Manifest, store_url: str) -> dict[str, str]:
    return {
        "name": str(manifest.handle),
        "handle": manifest.handle.url(store_url),
        "digest": manifest.digest,
        "published_at": manifest.published_at,
    }


def _archive(request: Request, store: Store, manifest: Manifest, wanted: str, caching: str) -> Response:
    if wanted == "uncompressed":  # the client takes only a 303 to gs:// here
        raise HTTPException(404, "Expected 'compressed': this store is not on gs://. Received: 'uncompressed'.")
    if wanted != "compressed":
        raise HTTPException(404, f"Expected tf-hub-format=compressed. Received: {wanted[:50]!a}.")
    return _blob(request, store, manifest.archive, caching)


def _documentation(request: Request, store: Store, manifest: Manifest) -> Response:
    blob = manifest.blob(DOCUMENTATION_TITLE)
    if blob is None:
        raise HTTPException(404, f"Expected documentation of '{manifest.handle}'. Received: none was published.")
    return _blob(request, store, blob, _ASK_AGAIN)


def _blob(request: Request, store: Store, blob: Blob, caching: str) -> Response:
    path = store.blob_path(blob.digest)
    if path.stat().st_size != blob.size_bytes:
        raise StoreError(f"Expected {blob.size_bytes} bytes of {blob.digest}. Received: another size; restore it.")
    headers = {"ETag": f'"{blob.digest}"', "Cache-Control": caching}
    if _is_known(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers |= {"Accept-Ranges": "bytes", "Repr-Digest": _repr_digest(blob.digest)}
    if request.method == "HEAD" or "range" in request.headers:
        return _BlockFileResponse(path, headers=headers, media_type=blob.media_type)
    return StreamingResponse(_blocks(path), headers=headers, media_type=blob.media_type)


class _BlockFileResponse(FileResponse):
    chunk_size = _BLOCK_BYTES


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether the client holds these bytes already (RFC 9110, 13.1.2: weak comparison, a list, or '*')."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known


def _repr_digest(digest: str) -> str:
    """The digest as the field of RFC 9530 has it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest.partition(':')[2])).decode()}:"
