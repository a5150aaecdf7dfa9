"""The page of one artifact of a run: what lies in it, which component made it, and which come after."""

import math
from dataclasses import asdict, dataclass
from typing import Any, cast

from piecehub.facts.workdir import Workdir
from piecehub.ui.previews.artifact import Artifact, artifact
from piecehub.ui.previews.chart import Chart, chart, numbers_of
from piecehub.ui.previews.values import Preview
from piecehub.ui.run_pages import Component, Output, run_page


@dataclass(frozen=True)
class OutputPage:
    """Everything on the page of an artifact; `read_by` are the components that follow its maker."""

    run: str
    pipeline: str
    component: Component
    output: Output
    read_by: tuple[str, ...]
    artifact: Artifact

    def chart_of(self, preview: Preview) -> Chart | None:
        """The drawing of curves of which the artifact holds none."""
        return chart(preview) if preview.kind == "curves" and not self.artifact.plots else None

    def numbers_of(self, preview: Preview) -> tuple[list[str], list[list[str]]]:
        """The curves as a table."""
        return numbers_of(preview)


def output_page(workdir: Workdir, run_id: str, node: str, key: str) -> OutputPage | None:
    """The page of an output; None unless the run's page shows one of that name that lies in the working folder."""
    page = run_page(workdir, run_id)
    component = page.by_id.get(node) if page else None
    output = next((output for output in component.outputs if output.key == key), None) if component else None
    if page is None or component is None or output is None or not output.is_here:
        return None
    read_by = tuple(other.id for other in page.components if node in other.upstream)
    found = artifact(workdir.root / output.place)
    return OutputPage(run_id, page.row.pipeline, component, output, read_by, found)


def output_json(page: OutputPage) -> dict[str, Any]:
    """The page as plain JSON; what is empty in a preview is left out."""
    return {
        "schema": 1,
        "run": page.run,
        "component": page.component.id,
        "output": page.output.key,
        "place": page.output.place,
        "read_by": page.read_by,
        "plots": page.artifact.plots,
        "previews": [_told(preview) for preview in page.artifact.previews],
        "files": [{"file": name, "size": size} for name, size in page.artifact.files.rows],
    }


def _told(preview: Preview) -> dict[str, Any]:
    return {key: _finite(value) for key, value in asdict(preview).items() if value}


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in cast("dict[str, Any]", value).items()}
    return [_finite(inner) for inner in cast("list[Any]", value)] if isinstance(value, list | tuple) else value
