"""What machines read of a store, as JSON and as the bytes that were published.

    GET /api/v1/models?q=&publisher=&task=&show=&limit=&before=
                                                             the versions that there are to take, newest first; a header
                                                             Link tells where the list goes on (RFC 8288)
    GET /api/v1/models/<publisher>/<name>                    every version with its status; aliases
    GET /api/v1/models/<publisher>/<name>/<N>                one version: status, archive, blobs, files, facts
    GET /api/v1/models/<publisher>/<name>/<N>/manifest       the manifest, byte for byte
    GET /api/v1/models/<publisher>/<name>/<N>/files          path, size and sha256 of each file of the SavedModel
    GET /api/v1/models/<publisher>/<name>/<N>/blobs/<digest or title>
    GET /api/v1/models/<publisher>/<name>/<N>/provenance     the blob that says what it was made from
    GET /api/v1/models/<publisher>/<name>/<N>/signature      the blob that signs it

A segment of a name is never a plain number, so the first number in a path is the version.
"""

import re
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piecehub.errors import RecipeError
from piecehub.facts.content import sha256_bytes
from piecehub.facts.handle import VERSION_PATTERN
from piecehub.facts.manifest import MEDIA_TYPE
from piecehub.store import describe, layout
from piecehub.store.blob_response import blob_response, is_known
from piecehub.store.listing import MOST, Sought
from piecehub.store.wanted import Found, Service, find, status_of_errors

_PATH = re.compile(rf"(?P<model>[^/]+(?:/[^/]+)+?)(?:/(?P<version>{VERSION_PATTERN})(?:/(?P<what>.+))?)?")
# A blob may be HTML or SVG of anybody: opened by itself it can run and load nothing.
_INERT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
ASK_AGAIN = {"Cache-Control": "no-cache"}


def api_routes(service: Service) -> list[Route]:
    """The routes of the JSON API; they come before those of the hosting protocol."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def models(request: Request) -> Response:
        with status_of_errors():
            return _models(service, request)

    def model(request: Request) -> Response:
        with status_of_errors():
            asked = _PATH.fullmatch(request.path_params["path"].strip("/"))
            if asked is None:
                raise HTTPException(404, f"Expected {describe.API}/publisher/name/N. Received: another path.")
            if asked["version"] is None:
                return _model(service, request, asked["model"])
            found = find(service, request, f"{asked['model']}/{asked['version']}")
            return _part(service, request, found, asked["what"] or "")

    return [
        Route("/healthz", healthz),
        Route(describe.API, models),
        Route(f"{describe.API}/{{path:path}}", model),
    ]


def _models(service: Service, request: Request) -> Response:
    """Lists read the index; where there is none, the log, and a header says why."""
    query = request.query_params
    limit = page_size(query.get("limit", ""), MOST)
    try:
        sought = sought_by(query, show="published")
        hidden = service.hidden(request)
        found = service.listing.sought(
            service.open_store(), sought, before=query.get("before", ""), limit=limit, hidden=hidden
        )
    except RecipeError as error:
        raise HTTPException(400, error.sentence) from error
    headers = dict(ASK_AGAIN)
    if found.older:
        following = request.url.include_query_params(before=found.older).remove_query_params("token")
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    if found.from_log:
        headers["Piecehub-Index"] = "none; piecehub store reindex makes one"
    store_url = str(request.base_url)
    return JSONResponse([describe.listed(row, store_url) for row in found.rows], headers=headers)


def sought_by(query: Mapping[str, str], show: str) -> Sought:
    """What the query of an address asks for; `show` where it does not say of what."""
    told = {key: query.get(key, "").strip() for key in ("q", "publisher", "task")}
    return Sought(**told, show=query.get("show", "") or show)


def page_size(limit: str, otherwise: int) -> int:
    """How many of a list are asked for."""
    return min(max(int(limit[:9]), 1), MOST) if limit.isascii() and limit.isdigit() else otherwise


def _model(service: Service, request: Request, path: str) -> Response:
    publisher, _, name = path.partition("/")
    service.admit(request, publisher)
    state = service.open_store().state(publisher, name)
    if not state.versions:
        raise HTTPException(404, f"Expected a model. Received: '{path}'; {describe.API} lists them.")
    return JSONResponse(describe.model(state), headers=ASK_AGAIN)


def version_response(request: Request, found: Found) -> Response:
    """One version for a machine; its status may change, so it is asked for again."""
    value = describe.version(found.manifest, found.state, str(request.base_url))
    return JSONResponse(value, headers=found.headers | ASK_AGAIN)


def _part(service: Service, request: Request, found: Found, what: str) -> Response:
    kind, _, name = what.partition("/")
    if not what:
        return version_response(request, found)
    if what == "manifest":
        return _manifest(service, request, found)
    if what == "files":
        return JSONResponse(describe.files(found.manifest), headers=found.headers | _forever(service, found))
    titles = (name,) if kind == "blobs" else describe.SPECIAL.get(what, ())
    blob = describe.blob_named(found.manifest, titles)
    if blob is None:
        sentence = f"Expected something of {found.manifest.handle}. Received: '{what}'; it has none such."
        raise HTTPException(404, sentence)
    return blob_response(
        request, found.store.backend, blob, found.headers | _forever(service, found) | _INERT, service.sound
    )


def _manifest(service: Service, request: Request, found: Found) -> Response:
    text = found.store.backend.read(layout.manifest_key(found.manifest.handle)) or b""
    headers = found.headers | _forever(service, found) | {"ETag": f'"sha256:{sha256_bytes(text)}"'}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type=MEDIA_TYPE)


def _forever(service: Service, found: Found) -> dict[str, str]:
    return {"Cache-Control": service.cache_control(found.manifest.handle.publisher, is_versioned=True)}
