"""What a version is recommended for: one sentence, and whether a snippet trains it, for page, pages and terminal.

It comes from the verdict and from what the evidence of each task recommends (piecehub/transfer/guidance.py), and from
nowhere else. A task on which nothing helps, such as a negative control, decides only where there is no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TRAINED = ("fine_tuning", "lp_ft")


@dataclass(frozen=True)
class Recommendation:
    """The sentence for a person; `trains` says whether fine-tuning is what is recommended."""

    trains: bool
    sentence: str

    @property
    def argument(self) -> str:
        """What a snippet adds to the arguments of a layer; nothing freezes the piece."""
        return ", trainable=True" if self.trains else ""


def recommend(blessed: bool, guidance: Sequence[Mapping[str, Any]], *, frozen: bool = False) -> Recommendation:
    """What to do with a version.

    Args:
        blessed: whether its evidence was, so that its publisher may say what it is good for.
        guidance: the JSON of `guidance.json` of each task; none of a version from before there was any.
        frozen: whether its frozen features were judged, and not fine-tuning.
    """
    if frozen and blessed:
        return Recommendation(False, "Frozen features are recommended: they were judged, and fine-tuning was not.")
    if frozen:
        return Recommendation(False, "Frozen features are not recommended.")
    if not blessed:
        return Recommendation(False, "Fine-tuning is not recommended.")
    tuned = [found["task"] for found in guidance if found["recommended"] in _TRAINED]
    probed = [found["task"] for found in guidance if found["recommended"] == "feature_extraction"]
    if tuned and probed:
        said = f"Fine-tuning is recommended for {', '.join(tuned)}, and frozen features for {', '.join(probed)}."
        return Recommendation(True, said)
    if probed:
        return Recommendation(False, "Frozen features are recommended: fine-tuning is possible, and brings less.")
    if guidance and not tuned:
        return Recommendation(False, "Nothing is recommended: on no task that was tried does the piece help for sure.")
    return Recommendation(True, "Fine-tuning is recommended.")
