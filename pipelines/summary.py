"""What a person reads when a run has ended: the accuracies with their intervals, and where to look further."""

import json
from pathlib import Path
from typing import Any

from piecehub import runs
from piecehub.workdir import DEFAULT_NAME, Workdir
from pipelines.local_runner import Outcome


def text(outcome: Outcome, workdir: Workdir, store_url: str) -> str:
    """The summary of a finished run."""
    parts = [
        _evidence_text(json.loads((path / "evidence.json").read_text("utf-8"))) for path in _evidence(outcome, workdir)
    ]
    return "\n".join([*parts, _ending(outcome, workdir, store_url)])


def _evidence(outcome: Outcome, workdir: Workdir) -> list[Path]:
    events = runs.read_events(workdir, outcome.run)
    return [Path(event.outputs["evidence"]) for event in events if "evidence" in event.outputs]


def _evidence_text(evidence: dict[str, Any]) -> str:
    cells: list[dict[str, Any]] = evidence["cells"]
    shots = list(dict.fromkeys(cell["shots"] for cell in cells))
    lines = [f"\n{evidence['task']}: accuracy with 95 % intervals, by examples a class"]
    lines.append(f"  {'':<20}" + "".join(f"{count:>22}" for count in shots))
    for mode in dict.fromkeys(cell["mode"] for cell in cells):
        row = [_interval(cell) for cell in cells if cell["mode"] == mode]
        lines.append(f"  {mode.replace('_', ' '):<20}" + "".join(f"{value:>22}" for value in row))
    gain = next(c for c in evidence["contrasts"] if c["shots"] == "curve" and c["reference"] == "from_scratch")
    lines.append(
        f"  gain of fine-tuning over from scratch: {100 * gain['estimate']:+.1f} points "
        f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    )
    return "\n".join(lines)


def _interval(cell: dict[str, Any]) -> str:
    return f"{100 * cell['mean']:.1f} % [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


def _ending(outcome: Outcome, workdir: Workdir, store_url: str) -> str:
    option = "" if workdir.root == Path(DEFAULT_NAME) else f" --workdir {workdir.root}"
    if not outcome.pushed:
        return f"\nnot published: {outcome.why}\n  page     piecehub serve{option}, then {store_url}/runs/{outcome.run}"
    verb = "published" if not outcome.why else "already published as"
    return "\n".join(
        [
            f"\n{verb} {outcome.handle}",
            f"  serve    piecehub serve{option}",
            f'  use      hub.KerasLayer("{store_url}/{outcome.handle}", trainable=True)',
            f"  page     {store_url}/models/{outcome.handle}",
            f"  run      {store_url}/runs/{outcome.run}",
            f"  lineage  piecehub lineage {outcome.handle}{option}",
        ]
    )
