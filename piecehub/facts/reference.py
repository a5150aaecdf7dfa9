"""What fine-tuning a piece is measured beside, in words: the same model from scratch, or the parent of the piece.

No seed re-initialises the weights of a published piece. So the controls of a piece that starts from one have its
parent's own weights, with what the recipe put on top re-initialised, and evidence of it says who the parent is. Modes
keep their names in files; here is what a person reads.
"""

# The modes that a gate judges, each with what it is held against: the same, with the weights of the control.
CONTROLS = {"fine_tuning": "from_scratch", "feature_extraction": "random_features"}
_OF_A_PARENT = {"from_scratch": "fine-tuning its parent", "random_features": "features of its parent"}
_SPOKEN = {"fine_tuning": "fine-tuning", "lp_ft": "probe, then fine-tuning"}
_METRICS = {"accuracy": "accuracy", "f1": "F1", "r2": "R²"}


def mode_words(mode: str, parent: str = "") -> str:
    """How a person calls a mode; `parent` is the handle of the piece's parent, empty if it has none."""
    special = _OF_A_PARENT | _SPOKEN if parent else _SPOKEN
    return special.get(mode, mode.replace("_", " "))


def reference_words(parent: str = "") -> str:
    """What the gain of fine-tuning is a gain over."""
    return f"its parent {parent}" if parent else "from scratch"


def used_words(mode: str) -> str:
    """What is done with a piece by a mode that a gate judges."""
    return "frozen features" if mode == "feature_extraction" else "fine-tuning"


def control_words(mode: str, parent: str = "") -> str:
    """What the gain of such a mode is a gain over: the same, with the weights of the control."""
    if mode == "feature_extraction":
        return f"those of its parent {parent}" if parent else "random ones"
    return reference_words(parent)


def metric_words(metric: str) -> str:
    """How a person calls a metric; all are shares of 1, so a point is 0.01 of it."""
    return _METRICS.get(metric, metric)
