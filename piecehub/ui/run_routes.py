"""The routes of runs: their list, a page of each, its logs and plots, and the same values as JSON."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.server import refuse_models
from piecehub.ui import logs
from piecehub.ui.answers import Pages, bad_request
from piecehub.ui.headers import PLOT_HEADERS
from piecehub.ui.live import watched
from piecehub.ui.output_pages import OutputPage, output_json, output_page
from piecehub.ui.plan_pages import planned
from piecehub.ui.run_list import RunList, listed_json
from piecehub.ui.run_outcomes import outcomes_of
from piecehub.ui.run_pages import RunPage, known_log, log_text, mark_of, plot_path, read_row, run_json, run_page


class RunRoutes:
    """The runs of one working folder."""

    def __init__(self, workdir: Workdir, runs: RunList, pages: Pages, open_store: Callable[[], Store]) -> None:
        self._workdir, self._runs, self._pages, self._open_store = workdir, runs, pages, open_store

    def routes(self) -> list[BaseRoute]:
        """For the server."""
        return [
            Route("/runs", self.runs),
            Route("/runs/{run}", self.run),
            Route("/runs/{run}/live", self.live),
            Route("/runs/{run}/log/{node:path}", self.log_page),
            Route("/runs/{run}/logs/{node:path}", self.log),
            Route("/runs/{run}/plots/{node}/{output}/{plot}", self.plot),
            Route("/runs/{run}/outputs/{node}/{output}", self.output),
            Route("/api/v1/runs/{run}/outputs/{node}/{output}", self.api_output),
            Route("/api/v1/runs", self.api_runs),
            Route("/api/v1/runs/{run}", self.api_run),
        ]

    def runs(self, request: Request) -> Response:
        """The list."""
        refuse_models(request)
        with bad_request():
            wanted, found = self._runs.asked(request.query_params)
        return self._pages.html("runs.html", wanted=wanted, found=found)

    def run(self, request: Request) -> Response:
        """One run."""
        page = self._page(request)
        record = runs.read_run(self._workdir, page.row.run)
        elsewhere = runs.store_of(record) if record and not runs.is_of_store(self._workdir, record) else ""
        outcomes = outcomes_of(page.row.results, self._open_store(), elsewhere)
        return self._pages.html("run.html", page=page, outcomes=outcomes, planned=planned(self._workdir, page.row))

    def live(self, request: Request) -> Response:
        """What a page that watches the run is told."""
        run = request.path_params["run"]
        if read_row(self._workdir, run) is None:
            raise _no_such_run(run)

        def has_ended() -> bool:
            row = read_row(self._workdir, run)
            return row is None or row.state != "running"

        return watched(request, lambda: mark_of(self._workdir, run), has_ended)

    def log_page(self, request: Request) -> Response:
        """The end of a log, in which a text may be looked for."""
        run, node = request.path_params["run"], request.path_params["node"]
        sought = request.query_params.get("q", "")[:200]
        path = known_log(self._workdir, run, node)
        log = logs.log_page(path, sought) if path else None
        if log is None:
            raise HTTPException(404, "Expected a component's log. Received: none of that name.")
        return self._pages.html("log.html", run=run, node=node, log=log, sought=sought)

    def log(self, request: Request) -> Response:
        """The end of a log, as text."""
        text = log_text(self._workdir, request.path_params["run"], request.path_params["node"])
        if text is None:
            raise HTTPException(404, "Expected a component's log. Received: none of that name.")
        return PlainTextResponse(text)

    def plot(self, request: Request) -> Response:
        """A drawing in an artifact."""
        keys = ("run", "node", "output", "plot")
        path = plot_path(self._workdir, *(request.path_params[key] for key in keys))
        if path is None:
            raise HTTPException(404, "Expected a component's plot. Received: none of that name.")
        return FileResponse(path, media_type="image/svg+xml", headers=PLOT_HEADERS)

    def output(self, request: Request) -> Response:
        """What lies in an artifact."""
        return self._pages.html("output.html", page=self._output_page(request))

    def api_output(self, request: Request) -> Response:
        """The same as JSON."""
        return JSONResponse(output_json(self._output_page(request)))

    def api_runs(self, request: Request) -> Response:
        """A page of runs, newest first; `?before=<id>` goes on where `next` says, the filters are those of the page."""
        with bad_request():
            _, found = self._runs.asked(request.query_params)
        return JSONResponse(listed_json(found))

    def api_run(self, request: Request) -> Response:
        """One run, as JSON."""
        return JSONResponse(run_json(self._page(request)))

    def _output_page(self, request: Request) -> OutputPage:
        page = output_page(self._workdir, *(request.path_params[key] for key in ("run", "node", "output")))
        if page is None:
            raise HTTPException(404, "Expected an output of a component. Received: none of that name that is here.")
        return page

    def _page(self, request: Request) -> RunPage:
        run = request.path_params["run"]
        page = run_page(self._workdir, run)
        if page is None:
            raise _no_such_run(run)
        return page


def _no_such_run(run: str) -> HTTPException:
    return HTTPException(404, f"Expected a run. Received: '{run}'; none has that id.")
