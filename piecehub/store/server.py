"""The hosting protocol of TensorFlow Hub (its docs/hosting.md), over a store.

    GET /<publisher>/<name>/<N>?tf-hub-format=compressed     the archive, for ever the same, in chunks
    GET /<publisher>/<name>/<N>?tf-hub-format=uncompressed   303 with the body `gs://…`, where there is such a copy
    GET /<publisher>/<name>?tf-hub-format=compressed         the newest archive
    GET /<publisher>/<name>/<N>                              the page about it; JSON for who accepts only JSON
    GET /<publisher>/<name>                                  302 to that page of the newest version
    GET /<publisher>/<name>/<N>/model.tar.gz                 the archive, at the place that model pages name
    GET /<publisher>                                         that publisher's models: the newest version of each
    GET /healthz, /api/v1/models…                            for machines (api.py)

A yanked version is served to those who name it, with the field Deprecation (RFC 9745), and is in no list of what there
is to take; `/api/v1/models/<publisher>/<name>` tells every version's status. A quarantined one is answered with 410.
A private publisher's models take a token (tokens.py), else 401, whether they exist or not. GET and HEAD only.
"""

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from piecehub.facts.handle import Handle, check_publisher
from piecehub.facts.manifest import ARCHIVE_TITLE, DOCUMENTATION_TITLE, Manifest
from piecehub.store import describe, expanded
from piecehub.store.api import ASK_AGAIN, api_routes, version_response
from piecehub.store.blob_response import blob_response
from piecehub.store.catalog import Store
from piecehub.store.listing import Listing
from piecehub.store.tokens import Tokens
from piecehub.store.wanted import Found, Service, find, status_of_errors

Document = Callable[[Request, Manifest], Awaitable[Response]]

_JSON = "application/json"
_ARCHIVE = f"/{ARCHIVE_TITLE}"


def hub_routes(
    open_store: Callable[[], Store],
    document: Document | None = None,
    tokens: Tokens | None = None,
    publisher: Callable[[Request], Response] | None = None,
    listing: Listing | None = None,
) -> list[Route]:
    """The routes of the protocol; put them last, for they take every path of two parts or more.

    Args:
        open_store: called for each request.
        document: answers a request for the page of a version; None answers with its `documentation.md`.
        tokens: of private publishers; None: there are none.
        publisher: answers a request for a publisher's models; None answers with JSON.
        listing: what was read of the store's index; None: one of its own.
    """
    service = Service(open_store, tokens or Tokens(), listing=listing or Listing())

    async def model(request: Request) -> Response:
        path = f"{request.path_params['publisher']}/{request.path_params['name']}".rstrip("/")
        with status_of_errors():
            archive = path.endswith(_ARCHIVE)
            found = await run_in_threadpool(find, service, request, path.removesuffix(_ARCHIVE))
            wanted = "compressed" if archive else request.query_params.get("tf-hub-format")
            if wanted is not None:
                return await run_in_threadpool(_model, service, request, found, wanted)
            if not found.is_versioned:
                return _to_newest(request, found)
            answer = await _described(service, request, found, document)
            answer.headers.update(found.headers | {"Vary": "Accept"})
            return answer

    def models(request: Request) -> Response:
        refuse_models(request)
        with status_of_errors():
            shown = models_of(service, request, request.path_params["publisher"])
        return JSONResponse([describe.summary(m, str(request.base_url)) for m in shown], headers=ASK_AGAIN)

    return [*api_routes(service), Route("/{publisher}", publisher or models), Route("/{publisher}/{name:path}", model)]


def refuse_models(request: Request) -> None:
    """Raises HTTPException 404 where somebody asks for a model at an address that is none: a page is no archive."""
    if "tf-hub-format" in request.query_params:
        raise HTTPException(404, "Expected a model's address, publisher/name/N. Received: another path.")


def models_of(service: Service, request: Request, publisher: str) -> list[Manifest]:
    """The newest version of each model of a publisher.

    Raises:
        HTTPException: 401 without the token that it needs, 404 if it has none.
    """
    service.admit(request, check_publisher(publisher))
    store = service.open_store()
    states = [state for state in store.states() if state.newest and state.model.partition("/")[0] == publisher]
    if not states:
        raise HTTPException(404, f"Expected a publisher of models. Received: '{publisher}'; {describe.API} lists them.")
    return [store.manifest(Handle.parse(f"{state.model}/{state.newest}")) for state in states]


def _model(service: Service, request: Request, found: Found, wanted: str) -> Response:
    """The model itself, in the form that `tf-hub-format` asks for."""
    publisher = found.manifest.handle.publisher
    headers = found.headers | {"Cache-Control": service.cache_control(publisher, found.is_versioned)}
    if wanted == "compressed":
        return blob_response(request, found.store.backend, found.manifest.archive, headers, service.sound)
    if wanted != "uncompressed":
        raise HTTPException(404, f"Expected tf-hub-format=compressed. Received: {wanted[:50]!a}.")
    place = expanded.location(found.store, found.manifest)
    if place is None:  # the client takes only a 303 to gs:// here
        raise HTTPException(404, "Expected 'compressed': there is no copy of it on gs://. Received: 'uncompressed'.")
    # No Location: urllib would refuse to follow it to gs://; the client reads the body, to its last byte.
    return PlainTextResponse(place, 303, headers)


def _to_newest(request: Request, found: Found) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""  # a token, perhaps
    return RedirectResponse(f"{request.scope.get('root_path', '')}/{found.manifest.handle}{query}", 302)


async def _described(service: Service, request: Request, found: Found, document: Document | None) -> Response:
    if request.headers.get("accept", "").partition(";")[0].strip() == _JSON:
        return await run_in_threadpool(version_response, request, found)
    if document is not None:
        return await document(request, found.manifest)
    return await run_in_threadpool(_documentation, service, request, found)


def _documentation(service: Service, request: Request, found: Found) -> Response:
    blob = found.manifest.blob(DOCUMENTATION_TITLE)
    if blob is None:
        raise HTTPException(404, f"Expected documentation of '{found.manifest.handle}'. Received: none was published.")
    return blob_response(request, found.store.backend, blob, {"Cache-Control": "no-cache"}, service.sound)
