"""How a run ended, for each of the recipe's pieces; light, for it is told of a run that need not be made again, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.store.push import read_outcome
from pipelines.recipe.node_ids import evaluator_ids, piece_suffixes
from pipelines.recipe.tables import Piece, Recipe


@dataclass(frozen=True)
class PieceOutcome:
    """What became of one piece: `handle` is empty if it was not published, and `why` then says why.

    Attributes:
        evidence: the folders of its evidence, one a task.
        mode: what the gate judged of it, fine-tuning or frozen features.
    """

    name: str
    pushed: bool
    handle: str
    why: str
    evidence: tuple[Path, ...]
    mode: str = "fine_tuning"


@dataclass(frozen=True)
class Outcome:
    """How a run ended, for each of the recipe's pieces.

    Attributes:
        run: its id.
        pieces: what became of each.
        is_repeated: whether nothing had changed since that run, so that none was made now.
    """

    run: str
    pieces: tuple[PieceOutcome, ...]
    is_repeated: bool = False

    @property
    def pushed(self) -> bool:
        """Whether every piece stands in the store now."""
        return all(piece.pushed for piece in self.pieces)


def outcome_of(workdir: Workdir, run: runs.Run, config: Recipe) -> Outcome:
    """How a run ended that came to its end."""
    states = runs.node_states(run, runs.read_events(workdir, run.run))
    suffixes = zip(piece_suffixes(config), config.piece, strict=True)
    return Outcome(run.run, tuple(_piece_outcome(piece, suffix, config, states) for suffix, piece in suffixes))


def _piece_outcome(piece: Piece, suffix: str, config: Recipe, states: Mapping[str, runs.Event]) -> PieceOutcome:
    pushed = read_outcome(Path(states[f"HubPusher{suffix}"].outputs["pushed_model"]))
    evidence = [Path(states[node].outputs["evidence"]) for node in evaluator_ids(config, piece, suffix)]
    return PieceOutcome(piece.name, pushed.pushed, pushed.handle, pushed.why, tuple(evidence), config.gate.mode)
