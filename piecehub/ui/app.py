"""The server's routes: pages for people, their JSON twins, and the hosting protocol below them.

    /                                        the newest models and runs
    /runs?recipe=&state=&outcome=&since=&publisher=&before=|after=
                                             runs, the newest first
    /pipelines/<name>                        a recipe: what its newest run was to do, and why
    /runs/<id>                               a run: DAG, components, parameters, outputs
    /runs/<id>/live                          tells a page that watches the run that there is something new
    /runs/<id>/log/<component>?q=            the end of a log; /runs/<id>/logs/<component>: the same as text
    /runs/<id>/outputs/<component>/<output>  what lies in an artifact
    /runs/<id>/plots/<component>/<output>/<plot>
    /models?q=&publisher=&task=&show=&before=|after=
                                             versions, the newest first
    /models/<publisher>/<name>/<version>     a model; without the version 302 to the newest
    /models/<…>/<version>/files/<title>      a blob that was published with it
    /api/v1/runs, /api/v1/runs/<id>[/outputs/<component>/<output>], /api/v1/pipelines/<name>, /api/v1/models;
                                             /api/v1/openapi.json describes them
    /metrics                                 for Prometheus (metrics.py), with `hub_only` too
    /<publisher>                             a publisher's models
    /healthz, /<publisher>/<name>[/<version>]  the hosting protocol (piecehub/store/server.py); with `hub_only` no more
                                             than that: the JSON API of models is of it, runs and logs are not

Read-only: GET and HEAD. No path is made from a URL: every file is found by looking its name up in what the page shows.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts import run_index, runs
from piecehub.facts.addresses import is_loopback
from piecehub.facts.handle import VERSION_PATTERN
from piecehub.facts.manifest import Manifest
from piecehub.facts.workdir import Workdir
from piecehub.store.api import page_size, sought_by
from piecehub.store.blob_response import blob_response
from piecehub.store.catalog import Store
from piecehub.store.listing import PAGE, Listing
from piecehub.store.place import whole
from piecehub.store.server import hub_routes, models_of, refuse_models
from piecehub.store.tokens import Tokens
from piecehub.store.wanted import Found, Service, find, status_of_errors
from piecehub.ui.answers import HERE, Pages, bad_request
from piecehub.ui.headers import PLOT_HEADERS, SECURITY_HEADERS, SecurityHeaders
from piecehub.ui.metrics import CONTENT_TYPE, Scheduled, metrics_text
from piecehub.ui.model_pages import model_cards, model_page, newest_cards
from piecehub.ui.plan_routes import PlanRoutes
from piecehub.ui.run_list import RunList
from piecehub.ui.run_routes import RunRoutes
from piecehub.ui.warnings import warnings

_LOOPBACK = ["localhost", "127.0.0.1", "::1", "[::1]"]
# How long a model's page may read runs that the index does not know yet.
_MAKER_S = 0.3
_RUNS_ON_FIRST_PAGE, _MODELS_ON_FIRST_PAGE = 8, 6
# A name has no segment that is a plain number (piecehub/facts/handle.py), so the first such segment is the version.
_MODEL_PATH = re.compile(rf"(?P<model>[^/]+(?:/[^/]+)+?)(?:/(?P<version>{VERSION_PATTERN})(?:/files/(?P<title>.+))?)?")
_IMAGES = ("image/svg+xml", "image/png")


def create_app(
    workdir: Workdir,
    *,
    host: str = "127.0.0.1",
    hub_only: bool | None = None,
    tokens: Tokens | None = None,
    store: Path | str | None = None,
    scheduled: Scheduled | None = None,
) -> Starlette:
    """The server of one working folder.

    Args:
        workdir: whose runs and store are shown.
        host: the address that the server listens on.
        hub_only: serve the hosting protocol only, because runs tell parameters, folders and logs. None: so on other
            machines' side of the address (anything but loopback), and wherever there are tokens.
        tokens: of private publishers.
        store: the folder or uri of another store than the working folder's.
        scheduled: asks a Kubeflow server for the last run of each schedule, for `/metrics`; None if there is none.

    Raises:
        RecipeError: if the pages are asked for beside tokens, which they do not know.
    """
    if tokens is not None and hub_only is False:
        raise RecipeError(
            "Expected --tokens without the pages, for these show every model to everybody. Received: both; serve the "
            "pages by a second server, on loopback."
        )
    pages = _Site(workdir, store)
    if hub_only is None:
        hub_only = tokens is not None or not is_loopback(host)
    routes = hub_routes(pages.open_store, tokens=tokens) if hub_only else pages.routes()
    routes = [Route("/metrics", pages.metrics_of(tokens or Tokens(), scheduled)), *routes]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(host), www_redirect=False),
        ],
        exception_handlers={HTTPException: pages.http_error, PiecehubError: pages.damage, 500: pages.failure},
    )
    app.router.redirect_slashes = False
    return app


def _hosts(host: str) -> list[str]:
    """The `Host` headers that are answered; a page of another site that resolves to this machine has another one."""
    return ["*"] if host in ("", "0.0.0.0", "::") else [*_LOOPBACK, host.lower()]


class _Site:
    """The pages of one working folder."""

    def __init__(self, workdir: Workdir, store: Path | str | None = None) -> None:
        self._workdir = workdir if store is None else Workdir(workdir.root, whole(str(store)))
        self._service = Service(self.open_store, listing=Listing(workdir.root))
        self._runs = RunList(workdir)
        self._pages = Pages()

    def open_store(self) -> Store:
        return Store.open(self._workdir.store_place)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.index),
            *RunRoutes(self._workdir, self._runs, self._pages, self.open_store).routes(),
            Route("/models", self.models),
            *PlanRoutes(self._workdir, self._pages).routes(),
            Route("/api/v1/openapi.json", self.openapi),
            Route("/models/{path:path}", self.model),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *hub_routes(self.open_store, self.document, publisher=self.publisher, listing=self._service.listing),
        ]

    def metrics_of(self, tokens: Tokens, scheduled: Scheduled | None) -> Callable[[Request], Response]:
        """The answer to `/metrics`: what everybody may know of the store, and of the schedules."""

        def metrics(_: Request) -> Response:
            with status_of_errors():
                text = metrics_text(self.open_store(), self._service.listing, tokens.digests, scheduled)
            return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

        return metrics

    def index(self, request: Request) -> Response:
        refuse_models(request)
        _, found = self._runs.asked({"limit": str(_RUNS_ON_FIRST_PAGE)})
        store = self.open_store()
        models = self._service.listing.sought(store, limit=_MODELS_ON_FIRST_PAGE)
        told = warnings(self._workdir, store, self._service.listing)
        cards = newest_cards(store, models.rows)
        return self._pages.html("index.html", found=found, models=models, cards=cards, warnings=told)

    def publisher(self, request: Request) -> Response:
        refuse_models(request)
        name = request.path_params["publisher"]
        with status_of_errors():
            models_of(self._service, request, name)
        return self._pages.html("publisher.html", publisher=name, cards=model_cards(self.open_store(), name))

    def models(self, request: Request) -> Response:
        refuse_models(request)
        query = request.query_params
        with bad_request():
            sought = sought_by(query, show="newest")
            edges = {"before": query.get("before", ""), "after": query.get("after", "")}
            limit = page_size(query.get("limit", ""), PAGE)
            found = self._service.listing.sought(self.open_store(), sought, **edges, limit=limit)
        return self._pages.html("models.html", sought=sought, found=found)

    def openapi(self, _: Request) -> Response:
        return FileResponse(HERE / "static" / "openapi.json", media_type="application/json")

    def model(self, request: Request) -> Response:
        found = _MODEL_PATH.fullmatch(request.path_params["path"].strip("/"))
        if found is None:
            raise HTTPException(404, "Expected /models/publisher/name/version. Received: another path.")
        refuse_models(request)
        with status_of_errors():
            # The same question as the hosting protocol asks: no page hands out what that would refuse.
            wanted = find(self._service, request, "/".join(filter(None, (found["model"], found["version"]))))
        if found["version"] is None:
            return RedirectResponse(f"/models/{wanted.manifest.handle}", 302)
        if found["title"]:
            return self._file(request, wanted, found["title"])
        answer = self._model_page(request, wanted.manifest)
        answer.headers.update(wanted.headers)
        return answer

    async def document(self, request: Request, manifest: Manifest) -> Response:
        """The page that the hosting protocol shows where a person opens a handle."""
        return await run_in_threadpool(self._model_page, request, manifest)

    def _model_page(self, request: Request, manifest: Manifest) -> Response:
        page = model_page(self.open_store(), manifest, str(request.base_url))
        return self._pages.html("model.html", page=page, maker=self._maker(manifest))

    def _maker(self, manifest: Manifest) -> str:
        """The run of this working folder that published a version to this store."""
        found = run_index.makers_of(self._workdir, str(manifest.handle), at_most_s=_MAKER_S)
        records = ((run, runs.read_run(self._workdir, run)) for run in found)
        return next((run for run, record in records if record and runs.is_of_store(self._workdir, record)), "")

    def _file(self, request: Request, wanted: Found, title: str) -> Response:
        manifest = wanted.manifest
        blob = manifest.blob(title)
        if blob is None:
            raise HTTPException(404, f"Expected a file of {manifest.handle}. Received: '{title}'; it has none such.")
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(title.rpartition('/')[2])}"}
        if blob.media_type in _IMAGES:
            headers = PLOT_HEADERS
        return blob_response(request, wanted.store.backend, blob, headers | wanted.headers, self._service.sound)

    def http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._problem(request, error.status_code, error.detail, error.headers)

    def damage(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, PiecehubError)
        return self._problem(request, 500, error.sentence)

    def failure(self, request: Request, _: Exception) -> Response:
        sentence = "Expected to draw this page. Received: an error; see the server's log."
        # Starlette answers this one outside of all middleware.
        return self._problem(request, 500, sentence, SECURITY_HEADERS)

    def _problem(self, request: Request, status: int, sentence: str, headers: Any = None) -> Response:
        """One sentence: a page for browsers, JSON for the API, plain text for other clients."""
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": sentence}, status, headers)
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(f"{sentence}\n", status, headers)
        return self._pages.html("problem.html", status, headers, status=status, sentence=sentence)
