"""What became of each piece of a run, with the version that it made as it stands in the store by now."""

from dataclasses import dataclass

from piecehub.errors import PiecehubError
from piecehub.facts.handle import Handle
from piecehub.facts.runs import Result
from piecehub.store.catalog import Store
from piecehub.ui.model_pages import Number, gain_of


@dataclass(frozen=True)
class PieceOutcome:
    """What became of one piece.

    Attributes:
        result: what the run says.
        gain: what fine-tuning it gained; None where that is not known.
        elsewhere: another store than the one that is served, to which the run published.
        status: `published`, `yanked` or `quarantined`, as the version stands now; empty if it is not in the store.
    """

    result: Result
    gain: Number | None = None
    status: str = ""
    elsewhere: str = ""


def outcomes_of(results: tuple[Result, ...], store: Store, elsewhere: str = "") -> tuple[PieceOutcome, ...]:
    """The outcome of each piece; a version that the store does not have, or not whole, is told as the run told it.

    Args:
        results: what the run says.
        store: the one that is served.
        elsewhere: the store that the run published to, if it is another one: there the same handle is another version.
    """
    if elsewhere:
        return tuple(PieceOutcome(result, elsewhere=elsewhere) for result in results)
    return tuple(_outcome(result, store) for result in results)


def _outcome(result: Result, store: Store) -> PieceOutcome:
    if not result.published:
        return PieceOutcome(result)
    try:
        handle = Handle.parse(result.handle)
        manifest = store.find(handle)
        if manifest is None:
            return PieceOutcome(result)
        status = store.state(handle.publisher, handle.name).status(handle.version)
        return PieceOutcome(result, gain_of(store, manifest), status)
    except PiecehubError:
        return PieceOutcome(result)
