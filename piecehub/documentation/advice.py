"""What evidence says to a consumer, in sentences: the lines of a model page, of a summary and of `piecehub evaluate`.

They are made of the JSON of `guidance.json` and `evidence.json` (piecehub/transfer), so this needs neither numpy nor
TensorFlow.
"""

from collections.abc import Mapping
from typing import Any

from piecehub.facts.reference import mode_words, reference_words

Json = Mapping[str, Any]


def advice(guidance: Json, evidence: Json) -> list[str]:
    """One sentence each: mode, learning rate, from how many examples, labels saved, batch sizes, what is in common."""
    parent = evidence["parent"]
    lines = [
        f"Recommended: {mode_words(guidance['recommended'], parent)}, for {guidance['because']}.",
        f"Learning rate of Adam, by number of examples: {_rates(guidance)}.",
        _against_frozen(guidance),
        _saved(guidance, f"with {reference_words(parent)}" if parent else "from scratch"),
    ]
    if evidence["sensitivity"]:
        lines.append(f"Batch size: {'; '.join(map(_change, evidence['sensitivity']))}.")
    return [*lines, *in_common(evidence)]


def in_common(evidence: Json) -> list[str]:
    """One sentence each: how many examples upstream has seen, and how many of the test part stand in the pool, too.

    What nobody looked for is not told, and evidence of earlier releases knows nothing of the pool.
    """
    told = (
        ("leakage", "examples", "one that the piece was trained on"),
        ("overlap", "test examples", "one of the pool, from which the labelled examples are drawn"),
    )
    return [
        f"Of {found['examples']} {what} {found['exact']} equal {like}, and {found['near']} nearly equal one."
        for key, what, like in told
        if (found := evidence.get(key))
    ]


def _rates(guidance: Json) -> str:
    return ", ".join(f"{setting['learning_rate']:g} ({setting['shots']})" for setting in guidance["settings"])


def _against_frozen(guidance: Json) -> str:
    gain, first = guidance["gain_over_frozen"], guidance["wins_over_frozen_from"]
    if first is None:
        return (
            "Fine-tuning beats frozen features at no number of examples that was tried for sure: "
            f"{_interval(gain)} points at {gain['shots']}."
        )
    return f"Fine-tuning beats frozen features from {first} examples on: {_interval(gain)} points there."


def _saved(guidance: Json, reference: str) -> str:
    return f"Labels saved: {'; '.join(_saving(saving, reference) for saving in guidance['savings'])}."


def _saving(saving: Json, reference: str) -> str:
    low, equals, high = (_count(saving[key]) for key in ("low", "equals", "high"))
    interval = "" if low == equals == high else f" [{low}, {high}]"
    return f"{saving['shots']} examples are worth {equals} {reference}{interval}"


def _count(value: float | str) -> str:
    return f"{value} than were tried" if isinstance(value, str) else f"{value:.0f}"


def _change(found: Json) -> str:
    low, high = 100 * found["change_low"], 100 * found["change_high"]
    return f"{found['batch_size']} changes it by {100 * found['change']:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _interval(gain: Json) -> str:
    return f"{100 * gain['estimate']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
