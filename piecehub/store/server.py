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
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse
from starlette.routing import Route

from piecehub.errors import RecipeError, StoreError
from piecehub.handle import Handle
from piecehub.manifest import DOCUMENTATION_TITLE, Blob, Manifest
from piecehub.store.catalog import Store

Document = Callable[[Request, Manifest], Awaitable[Response]]

_BLOCK_BYTES = 1 << 20
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
# A number, as `str(int)` spells it; longer ones are no versions, and Python refuses to read very long ones.
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def hub_routes(open_store: Callable[[], Store], document: Document | None = None) -> list[Route]:
    """The routes of the protocol; put them last, for they take every path of two parts or more.

    Args:
        open_store: called for each request.
        document: answers a request for the page of a version; None answers with its `documentation.md`.
    """

    def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def models(request: Request) -> Response:
        return JSONResponse([_summary(m, str(request.base_url)) for m in _looked_up(open_store().models)])

    async def model(request: Request) -> Response:
        store, path = open_store(), f"{request.path_params['publisher']}/{request.path_params['name']}"
        manifest, is_versioned = _looked_up(lambda: _resolve(store, path.rstrip("/")))
        wanted = request.query_params.get("tf-hub-format")
        if wanted is not None:
            return _hosted(request, store, manifest, wanted, _FOREVER if is_versioned else _ASK_AGAIN)
        if not is_versioned:
            return RedirectResponse(f"{request.scope.get('root_path', '')}/{manifest.handle}", 302)
        return await document(request, manifest) if document else _documentation(request, store, manifest)

    return [
        Route("/healthz", healthz),
        Route("/api/v1/models", models),
        Route("/{publisher}/{name:path}", model),
    ]


def _resolve(store: Store, path: str) -> tuple[Manifest, bool]:
    """The version that a URL's path names, and whether it gave a number; raises HTTPException 404 if there is none."""
    rest, _, last = path.rpartition("/")
    try:
        if _VERSION.fullmatch(last) and "/" in rest:
            manifest, is_versioned = store.find(Handle.parse(path)), True
        else:
            publisher, _, name = path.partition("/")
            manifest, is_versioned = store.newest(publisher, name), False
    except RecipeError as error:
        raise HTTPException(404, error.sentence) from error
    if manifest is None:
        raise HTTPException(404, f"Expected a published version. Received: '{path}'; see /api/v1/models.")
    return manifest, is_versioned


def _looked_up[T](look_up: Callable[[], T]) -> T:
    return look_up()


def _hosted(request: Request, store: Store, manifest: Manifest, wanted: str, caching: str) -> Response:
    if wanted == "compressed":
        return _archive(request, store, manifest, caching)
    if wanted == "uncompressed":
        sentence = "Expected tf-hub-format=compressed. Received: 'uncompressed', which needs a store on gs://."
        raise HTTPException(404, f"{sentence[:-1]}; unset TFHUB_MODEL_LOAD_FORMAT.")
    raise HTTPException(404, f"Expected tf-hub-format=compressed. Received: {wanted!a}.")
