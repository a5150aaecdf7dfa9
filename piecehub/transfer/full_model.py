"""Whether the full model that a piece was cut from has learned its own labels: a word to a person, no verdict.

A piece may transfer though its full model is poor, and evidence of that is what is judged. But a full model that does
little better than naming the most frequent class is a sign of a training that went wrong. Two bounds, on the held-out
examples: the accuracy's 95 % interval (Wilson) must lie above the share of the most frequent class, or nothing is
shown to be learned; and half of the errors of naming that class must be gone, or most of what the labels say is not.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

_Z = 1.959964  # of a two-sided interval of 95 %


def weakness(facts: Mapping[str, Any]) -> list[str]:
    """What there is to say of a full model, by its `facts.json`; nothing of one that is good, or no classifier.

    Facts of earlier releases do not know the most frequent class.
    """
    majority, accuracy = facts.get("majority"), facts.get("evaluation", {}).get("accuracy")
    if majority is None or accuracy is None or not facts.get("eval_examples"):
        return []
    examples = facts["eval_examples"]
    low, high = wilson(accuracy, examples)
    received = (
        f"Received: {100 * accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}] on {examples:,} held-out examples; look "
        "at its learning curves and its data, for pieces of a full model that has learned its labels transfer better."
    )
    guess = f"always naming the most frequent class ({100 * majority:.1f} %)"
    if low <= majority:
        return [f"Expected a full model that is right more often than {guess}. {received}"]
    if 1 - accuracy > (1 - majority) / 2:
        return [f"Expected a full model with at most half the errors of {guess}. {received}"]
    return []


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of that many (Wilson 1927), which is of use near 0 and 1, too."""
    middle, spread = share + _Z**2 / (2 * count), _Z * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return (middle - spread) / (1 + _Z**2 / count), (middle + spread) / (1 + _Z**2 / count)
