"""How pages are drawn, and what a question that cannot be answered comes to."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from piecehub.errors import RecipeError
from piecehub.facts import run_index
from piecehub.ui import words
from piecehub.ui.run_list import address

HERE = Path(__file__).parent


@contextmanager
def bad_request() -> Generator[None]:
    """Turns a query that asks for what cannot be into 400."""
    try:
        yield
    except RecipeError as error:
        raise HTTPException(400, error.sentence) from error


class Pages:
    """The templates, which escape all that they are given."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        shared: dict[str, Any] = {"words": words, "address": address, "run_index": run_index}
        self._templates.globals.update(shared)  # type: ignore[reportUnknownMemberType]

    def html(self, template: str, status_code: int = 200, headers: Any = None, /, **values: Any) -> Response:
        """A page."""
        text = self._templates.get_template(template).render(**values)
        return HTMLResponse(text, status_code, {"Cache-Control": "no-cache", **(headers or {})})
