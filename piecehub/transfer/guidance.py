"""Guidance for consumers, out of evidence (G12): how to use the piece, with what settings, from how many examples on.

    guidance.json   schema 2: the fields of `Guidance`

Everything is measured, nothing is chosen by hand: a mode is recommended because its paired interval lies above the
others'. Label saving says how many examples from scratch give what the piece gives: where the curve of from scratch,
interpolated over the logarithm of the examples, reaches fine-tuning's mean. Equal evidence gives equal bytes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from piecehub.facts.reference import reference_words
from piecehub.transfer.evidence import Contrast, Evidence
from piecehub.transfer.statistics import CONFIDENCE, two_way_means

FILE_NAME = "guidance.json"
SCHEMA = 2
Recommendation = Literal["fine_tuning", "lp_ft", "feature_extraction", "from_scratch"]
# A number of examples, or where it lies beyond those that were tried.
Count = float | Literal["fewer", "more"]
_DIGITS = 1


@dataclass(frozen=True)
class Setting:
    """The learning rate that validation chose at a number of shots, and how often training diverged with it."""

    shots: int
    learning_rate: float
    diverged: int
    seeds: int


@dataclass(frozen=True)
class Saving:
    """How many examples from scratch are worth `shots` with the piece, with its 95 % interval.

    Where that lies beyond the examples that were tried, it is `fewer` than the fewest, or `more` than the most.
    """

    shots: int
    equals: Count
    low: Count
    high: Count


@dataclass(frozen=True)
class Guidance:
    """What the evidence of one task says to a consumer.

    Attributes:
        recommended: the mode to use; `from_scratch` where the piece does not help.
        because: one sentence with the interval that decides.
        settings: of the recommended mode if it trains, else of fine-tuning.
        wins_over_frozen_from: the fewest shots from which fine-tuning beats feature extraction at each larger number
            too, interval above 0; None if it does at none.
        gain_over_frozen: the gain there, or at the largest number.
        wins_over_scratch_up_to: the most shots at which fine-tuning beats from scratch; None if it does at none.
        gain_over_scratch: the gain there, or at the smallest number.
        savings: for each number of shots.
        batch_sizes: those whose change of the metric has an interval that holds 0, the protocol's own among them.
    """

    task: str
    metric: str
    recommended: Recommendation
    because: str
    settings: tuple[Setting, ...]
    wins_over_frozen_from: int | None
    gain_over_frozen: Contrast
    wins_over_scratch_up_to: int | None
    gain_over_scratch: Contrast
    savings: tuple[Saving, ...]
    batch_sizes: tuple[int, ...]


def guide(evidence: Evidence) -> Guidance:
    """The guidance of one task's evidence, which must be complete."""
    frozen = [evidence.contrast("fine_tuning", "feature_extraction", k) for k in evidence.protocol.shots]
    scratch = [evidence.contrast("fine_tuning", "from_scratch", k) for k in evidence.protocol.shots]
    mode, because = _recommended(evidence)
    first = next((i for i in range(len(frozen)) if all(c.low > 0 for c in frozen[i:])), None)
    last = next((i for i in reversed(range(len(scratch))) if scratch[i].low > 0), None)
    return Guidance(
        task=evidence.task,
        metric=evidence.metric,
        recommended=mode,
        because=because,
        settings=_settings(evidence, mode),
        wins_over_frozen_from=None if first is None else evidence.protocol.shots[first],
        gain_over_frozen=frozen[-1 if first is None else first],
        wins_over_scratch_up_to=None if last is None else evidence.protocol.shots[last],
        gain_over_scratch=scratch[0 if last is None else last],
        savings=tuple(_savings(evidence)),
        batch_sizes=tuple(s.batch_size for s in evidence.sensitivity if s.change_low <= 0 <= s.change_high),
    )


def write(guidance: Guidance, folder: Path) -> None:
    """Writes `guidance.json` into `folder`."""
    value = {"schema": SCHEMA, **asdict(guidance)}
    (folder / FILE_NAME).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def _recommended(evidence: Evidence) -> tuple[Recommendation, str]:
    """The mode, and why: fine-tuning where it beats from scratch and is no worse than frozen features, which cost less.

    From the probe's head if that is better still.
    """
    gain = evidence.contrast("fine_tuning", "from_scratch")
    over_frozen = evidence.contrast("fine_tuning", "feature_extraction")
    frozen = _difference(evidence, "feature_extraction", "from_scratch")
    if gain.low > 0 and (over_frozen.estimate >= 0 or frozen[1] <= 0):
        probed = _difference(evidence, "lp_ft", "fine_tuning")
        if probed[1] > 0:
            return "lp_ft", f"starting from the head of a linear probe, fine-tuning gains {_words(*probed)} points more"
        said = _words(gain.estimate, gain.low, gain.high)
        return "fine_tuning", f"fine-tuning gains {said} points over {reference_words(evidence.parent)}"
    if frozen[1] > 0:
        return "feature_extraction", f"frozen features gain {_over_reference(evidence, frozen)}"
    said = f"{_words(gain.estimate, gain.low, gain.high)} points over {reference_words(evidence.parent)}"
    return "from_scratch", f"fine-tuning gains {said}, which may be nothing"


def _over_reference(evidence: Evidence, over_scratch: tuple[float, float, float]) -> str:
    """What frozen features gain, a mode held against the same mode; of a piece without a parent there is none."""
    if not evidence.parent:
        return f"{_words(*over_scratch)} points over training from scratch"
    same = _difference(evidence, "feature_extraction", "random_features")
    return (
        f"{_words(*same)} points over the frozen features of {reference_words(evidence.parent)}, and "
        f"{_words(*over_scratch)} points over fine-tuning it"
    )


def _difference(evidence: Evidence, candidate: str, reference: str) -> tuple[float, float, float]:
    """The paired difference over the curve, with its interval."""
    table = evidence.curve(candidate) - evidence.curve(reference)
    low, high = _interval(two_way_means(table))
    return float(table.mean()), low, high


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _settings(evidence: Evidence, mode: Recommendation) -> tuple[Setting, ...]:
    trains = mode if mode in ("fine_tuning", "lp_ft") else "fine_tuning"
    cells = [cell for cell in evidence.cells if cell.mode == trains]
    return tuple(Setting(c.shots, c.setting["learning_rate"], c.diverged, len(c.per_seed)) for c in cells)


def _savings(evidence: Evidence) -> list[Saving]:
    """For each number of shots the equivalent from scratch, resampling seeds and examples of both alike."""
    shots = np.log(np.array(evidence.protocol.shots, np.float64))
    tables = evidence.scores["from_scratch"], evidence.scores["fine_tuning"]
    scratch, tuned = (np.stack([two_way_means(table) for table in mode]) for mode in tables)
    found: list[Saving] = []
    for i, count in enumerate(evidence.protocol.shots):
        [mean] = _equivalents(shots, tables[0].mean(axis=(1, 2))[:, None], np.array([tables[1][i].mean()]))
        draws = _equivalents(shots, scratch, tuned[i])
        # Beyond what was tried a draw is infinite, so a quantile of enough of them is, too.
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], method="nearest")
        found.append(Saving(count, *map(_count, (float(mean), float(low), float(high)))))
    return found


def _equivalents(
    log_shots: NDArray[np.float64], curves: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How many examples each of `curves` `[shots, draws]` needs for its one of `values` `[draws]`.

    0 or infinite beyond their ends. The curves are made to rise; between two points it is what `np.interp` gives.
    """
    rising = np.maximum.accumulate(curves, axis=0)
    below = np.clip(np.sum(rising <= values, axis=0) - 1, 0, None)
    above = np.minimum(below + 1, len(log_shots) - 1)
    y0, y1 = (np.take_along_axis(rising, i[None], axis=0)[0] for i in (below, above))
    x0, x1 = log_shots[below], log_shots[above]
    # Where the value is the point's own, or lies beyond, there may be no slope.
    slope = (x1 - x0) / np.where(y1 > y0, y1 - y0, 1.0)
    count = np.exp(np.where(values == y0, x0, slope * (values - y0) + x0))
    return np.where(values < rising[0], 0.0, np.where(values > rising[-1], np.inf, count))


def _count(value: float) -> Count:
    if value == 0:
        return "fewer"
    return "more" if np.isinf(value) else round(value, _DIGITS)


def _words(estimate: float, low: float, high: float) -> str:
    return f"{100 * estimate:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
