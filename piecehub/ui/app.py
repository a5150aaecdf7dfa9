"""The server's routes: pages for people, their JSON twins, and the hosting protocol below them.

    /                                        the newest models and runs
    /runs?recipe=&state=&outcome=&since=&publisher=&before=|after=
                                             runs, the newest first
    /runs/<id>                               a run: DAG, components, parameters, outputs
    /runs/<id>/logs/<component>              the end of a log, as text
    /runs/<id>/plots/<component>/<output>/<plot>
    /models?q=&publisher=&task=&show=&before=|after=
                                             versions, the newest first
    /models/<publisher>/<name>/<version>     a model; without the version 302 to the newest
    /models/<…>/<version>/files/<title>      a blob that was published with it
    /api/v1/runs, /api/v1/runs/<id>, /api/v1/models; /api/v1/openapi.json describes them
    /metrics                                 for Prometheus (metrics.py), with `hub_only` too
    /<publisher>                             a publisher's models
    /healthz, /<publisher>/<name>[/<version>]  the hosting protocol (piecehub/store/server.py); with `hub_only` no more
                                             than that: the JSON API of models is of it, runs and logs are not

Read-only: GET and HEAD. No path is made from a URL: every file is found by looking its name up in what the page shows.
"""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts import run_index
from piecehub.facts.addresses import is_loopback
from piecehub.facts.handle import VERSION_PATTERN
from piecehub.facts.manifest import Manifest
from piecehub.facts.workdir import Workdir
from piecehub.store.api import page_size, sought_by
from piecehub.store.blob_response import blob_response
from piecehub.store.catalog import Store
from piecehub.store.listing import PAGE, Listing
from piecehub.store.server import hub_routes, models_of, refuse_models
from piecehub.store.tokens import Tokens
from piecehub.store.wanted import Found, Service, find, status_of_errors
from piecehub.ui import words
from piecehub.ui.headers import PLOT_HEADERS, SECURITY_HEADERS, SecurityHeaders
from piecehub.ui.metrics import CONTENT_TYPE, Scheduled, metrics_text
from piecehub.ui.model_pages import model_cards, model_page, newest_cards
from piecehub.ui.run_list import RunList, address, listed_json
from piecehub.ui.run_pages import log_text, plot_path, run_json, run_page
from piecehub.ui.warnings import warnings

_HERE = Path(__file__).parent
_LOOPBACK = ["localhost", "127.0.0.1", "::1", "[::1]"]
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
    pages = _Pages(workdir, store)
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


@contextmanager
def bad_request() -> Generator[None]:
    """Turns a query that asks for what cannot be into 400."""
    try:
        yield
    except RecipeError as error:
        raise HTTPException(400, error.sentence) from error


class _Pages:
    """The pages of one working folder."""

    def __init__(self, workdir: Workdir, store: Path | str | None = None) -> None:
        self._workdir = workdir
        self._store = workdir.store if store is None else store
        self._service = Service(self.open_store, listing=Listing(workdir.root))
        self._runs = RunList(workdir)
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        shared: dict[str, Any] = {"words": words, "address": address, "run_index": run_index}
        self._templates.globals.update(shared)  # type: ignore[reportUnknownMemberType]

    def open_store(self) -> Store:
        return Store.open(self._store)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.index),
            Route("/runs", self.runs),
            Route("/models", self.models),
            Route("/runs/{run}", self.run),
            Route("/runs/{run}/logs/{node:path}", self.log),
            Route("/runs/{run}/plots/{node}/{output}/{plot}", self.plot),
            Route("/api/v1/runs", self.api_runs),
            Route("/api/v1/runs/{run}", self.api_run),
            Route("/api/v1/openapi.json", self.openapi),
            Route("/models/{path:path}", self.model),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
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
        return self._html("index.html", found=found, models=models, cards=cards, warnings=told)

    def publisher(self, request: Request) -> Response:
        refuse_models(request)
        name = request.path_params["publisher"]
        with status_of_errors():
            models_of(self._service, request, name)
        return self._html("publisher.html", publisher=name, cards=model_cards(self.open_store(), name))

    def models(self, request: Request) -> Response:
        refuse_models(request)
        query = request.query_params
        with bad_request():
            sought = sought_by(query, show="newest")
            edges = {"before": query.get("before", ""), "after": query.get("after", "")}
            limit = page_size(query.get("limit", ""), PAGE)
            found = self._service.listing.sought(self.open_store(), sought, **edges, limit=limit)
        return self._html("models.html", sought=sought, found=found)

    def runs(self, request: Request) -> Response:
        refuse_models(request)
        with bad_request():
            wanted, found = self._runs.asked(request.query_params)
        return self._html("runs.html", wanted=wanted, found=found)

    def run(self, request: Request) -> Response:
        page = run_page(self._workdir, request.path_params["run"])
        if page is None:
            raise HTTPException(404, f"Expected a run. Received: '{request.path_params['run']}'; none has that id.")
        return self._html("run.html", page=page)

    def log(self, request: Request) -> Response:
        text = log_text(self._workdir, request.path_params["run"], request.path_params["node"])
        if text is None:
            raise HTTPException(404, "Expected a component's log. Received: none of that name.")
        return PlainTextResponse(text)

    def plot(self, request: Request) -> Response:
        keys = ("run", "node", "output", "plot")
        path = plot_path(self._workdir, *(request.path_params[key] for key in keys))
        if path is None:
            raise HTTPException(404, "Expected a component's plot. Received: none of that name.")
        return FileResponse(path, media_type="image/svg+xml", headers=PLOT_HEADERS)

    def api_runs(self, request: Request) -> Response:
        """A page of runs, newest first; `?before=<id>` goes on where `next` says, the filters are those of the page."""
        with bad_request():
            _, found = self._runs.asked(request.query_params)
        return JSONResponse(listed_json(found))

    def api_run(self, request: Request) -> Response:
        page = run_page(self._workdir, request.path_params["run"])
        if page is None:
            raise HTTPException(404, f"Expected a run. Received: '{request.path_params['run']}'; none has that id.")
        return JSONResponse(run_json(page))

    def openapi(self, _: Request) -> Response:
        return FileResponse(_HERE / "static" / "openapi.json", media_type="application/json")

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
        return self._html("model.html", page=model_page(self.open_store(), manifest, str(request.base_url)))

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
        return self._html("problem.html", status, headers, status=status, sentence=sentence)

    def _html(self, template: str, status_code: int = 200, headers: Any = None, /, **values: Any) -> Response:
        text = self._templates.get_template(template).render(**values)
        return HTMLResponse(text, status_code, {"Cache-Control": "no-cache", **(headers or {})})
