"""What a person reads when a run has ended: the accuracies with their intervals, and where to look further."""

import json
import shlex
from pathlib import Path

from piecehub.documentation.evidence_table import evidence_table
from piecehub.documentation.page import GUIDANCE
from piecehub.documentation.recommendation import Recommendation, recommend
from piecehub.facts.workdir import Workdir
from pipelines.outcome import Outcome, PieceOutcome
from pipelines.planning.repeat import NOTHING_TO_DO


def text(outcome: Outcome, workdir: Workdir, store_url: str) -> str:
    """The summary of a finished run, piece by piece."""
    parts = [part for piece in outcome.pieces for part in _piece(piece, outcome, workdir, store_url)]
    if len(outcome.pieces) > 1 and not outcome.pushed:
        refused = ", ".join(piece.name for piece in outcome.pieces if not piece.pushed)
        parts.append(f"\nnot published of {len(outcome.pieces)} pieces: {refused}")
    repeated = [f"{NOTHING_TO_DO} That was run {outcome.run}:"] if outcome.is_repeated else []
    return "\n".join([*repeated, *parts])


def _piece(piece: PieceOutcome, outcome: Outcome, workdir: Workdir, store_url: str) -> list[str]:
    heading = [f"\n{piece.name}"] if len(outcome.pieces) > 1 else []
    return [*heading, *map(_evidence, piece.evidence), _ending(piece, outcome.run, workdir, store_url)]


def _evidence(folder: Path) -> str:
    guidance = folder / GUIDANCE
    said = json.loads(guidance.read_text("utf-8")) if guidance.is_file() else None
    return evidence_table(json.loads((folder / "evidence.json").read_text("utf-8")), said)


def _recommendation(piece: PieceOutcome) -> Recommendation:
    """What stands on the page of a piece that was published, and so was blessed."""
    frozen, files = piece.mode == "feature_extraction", [folder / GUIDANCE for folder in piece.evidence]
    guidance = [json.loads(file.read_text("utf-8")) for file in files if file.is_file()]
    return recommend(True, guidance, frozen=frozen)


def _ending(piece: PieceOutcome, run: str, workdir: Workdir, store_url: str) -> str:
    serve = shlex.join(["piecehub", "serve", *workdir.options])
    if not piece.pushed:
        return f"\nnot published: {piece.why}\n  page     {serve}, then {store_url}/runs/{run}"
    if workdir.store_at:
        more = f"store    {shlex.join(['piecehub', 'store', 'show', piece.handle, '--store', workdir.store_at])}"
    else:
        more = f"lineage  {shlex.join(['piecehub', 'lineage', piece.handle, *workdir.options])}"
    verb = "published" if not piece.why else "already published as"
    return "\n".join(
        [
            f"\n{verb} {piece.handle}",
            f"  serve    {serve}",
            f'  use      hub.KerasLayer("{store_url}/{piece.handle}"{_recommendation(piece).argument})',
            f"  page     {store_url}/models/{piece.handle}",
            f"  run      {store_url}/runs/{run}",
            f"  {more}",
        ]
    )
