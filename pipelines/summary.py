"""What a person reads when a run has ended: the accuracies with their intervals, and where to look further."""

import json
from pathlib import Path
from typing import Any

from piecehub.reference import mode_words, reference_words
from piecehub.workdir import DEFAULT_NAME, Workdir
from pipelines.local_runner import Outcome, PieceOutcome


def text(outcome: Outcome, workdir: Workdir, store_url: str) -> str:
    """The summary of a finished run, piece by piece."""
    parts = [part for piece in outcome.pieces for part in _piece(piece, outcome, workdir, store_url)]
    if len(outcome.pieces) > 1 and not outcome.pushed:
        refused = ", ".join(piece.name for piece in outcome.pieces if not piece.pushed)
        parts.append(f"\nnot published of {len(outcome.pieces)} pieces: {refused}")
    return "\n".join(parts)


def _piece(piece: PieceOutcome, outcome: Outcome, workdir: Workdir, store_url: str) -> list[str]:
    heading = [f"\n{piece.name}"] if len(outcome.pieces) > 1 else []
    evidence = [_evidence(json.loads((path / "evidence.json").read_text("utf-8"))) for path in piece.evidence]
    return [*heading, *evidence, _ending(piece, outcome.run, workdir, store_url)]


def _evidence(evidence: dict[str, Any]) -> str:
    parent: str = evidence.get("parent", "")
    cells: list[dict[str, Any]] = evidence["cells"]
    shots = list(dict.fromkeys(cell["shots"] for cell in cells))
    lines = [f"\n{evidence['task']}: accuracy with 95 % intervals, by examples a class"]
    lines.append(f"  {'':<24}" + "".join(f"{count:>22}" for count in shots))
    for mode in dict.fromkeys(cell["mode"] for cell in cells):
        row = [_interval(cell) for cell in cells if cell["mode"] == mode]
        lines.append(f"  {mode_words(mode, parent):<24}" + "".join(f"{value:>22}" for value in row))
    gain = next(c for c in evidence["contrasts"] if c["shots"] == "curve" and c["reference"] == "from_scratch")
    lines.append(
        f"  gain of fine-tuning over {reference_words(parent)}: {100 * gain['estimate']:+.1f} points "
        f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    )
    return "\n".join(lines)


def _interval(cell: dict[str, Any]) -> str:
    return f"{100 * cell['mean']:.1f} % [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


def _ending(piece: PieceOutcome, run: str, workdir: Workdir, store_url: str) -> str:
    option = "" if workdir.root == Path(DEFAULT_NAME) else f" --workdir {workdir.root}"
    if not piece.pushed:
        return f"\nnot published: {piece.why}\n  page     piecehub serve{option}, then {store_url}/runs/{run}"
    verb = "published" if not piece.why else "already published as"
    return "\n".join(
        [
            f"\n{verb} {piece.handle}",
            f"  serve    piecehub serve{option}",
            f'  use      hub.KerasLayer("{store_url}/{piece.handle}", trainable=True)',
            f"  page     {store_url}/models/{piece.handle}",
            f"  run      {store_url}/runs/{run}",
            f"  lineage  piecehub lineage {piece.handle}{option}",
        ]
    )
