"""The routes of a recipe's page: what its newest run was to do, and why; and the same values as JSON."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from piecehub.facts.workdir import Workdir
from piecehub.ui.answers import Pages
from piecehub.ui.plan_pages import PlanPage, plan_json, plan_page


class PlanRoutes:
    """The recipes that were run in one working folder."""

    def __init__(self, workdir: Workdir, pages: Pages) -> None:
        self._workdir, self._pages = workdir, pages

    def routes(self) -> list[BaseRoute]:
        """For the server."""
        return [Route("/pipelines/{name}", self.pipeline), Route("/api/v1/pipelines/{name}", self.api_pipeline)]

    def pipeline(self, request: Request) -> Response:
        """One recipe."""
        return self._pages.html("pipeline.html", page=self._page(request))

    def api_pipeline(self, request: Request) -> Response:
        """The same as JSON."""
        return JSONResponse(plan_json(self._page(request)))

    def _page(self, request: Request) -> PlanPage:
        name = request.path_params["name"]
        page = plan_page(self._workdir, name)
        if page is None:
            raise HTTPException(404, f"Expected a recipe that was run. Received: '{name}'; no run of it keeps a plan.")
        return page
