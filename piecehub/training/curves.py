"""Learning curves as a plot and as a preview for the pages; equal histories give equal bytes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

_TITLE = "Learning curves of the full model"


def write(history: Mapping[str, Sequence[float]], folder: Path) -> None:
    """Writes `learning_curves.svg` and `preview.json`.

    Args:
        history: by metric, one number an epoch, as Keras records it (`loss`, `val_loss`, `accuracy`, …).
        folder: where to; it exists.
    """
    preview = {"schema": 1, "kind": "curves", "title": _TITLE, "data": {"x": "epoch", "series": dict(history)}}
    text = json.dumps(preview, indent=2, sort_keys=True)
    (folder / "preview.json").write_text(text + "\n", encoding="utf-8")
    # A random salt and the date are all that differs between two drawings (matplotlib's svg backend).
    with mpl.rc_context({"svg.hashsalt": "piecehub"}):
        _draw(history).savefig(folder / "learning_curves.svg", metadata={"Date": None})


def _draw(history: Mapping[str, Sequence[float]]) -> Figure:
    names = [name for name in history if not name.startswith("val_")] or ["loss"]
    figure = Figure(figsize=(4.5 * len(names), 3.2), layout="constrained")
    for index, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), index, xlabel="epoch", title=name)
        for key, text in ((name, "training"), (f"val_{name}", "evaluation")):
            if history.get(key):
                axes.plot(range(1, len(history[key]) + 1), history[key], marker=".", label=text)
        if axes.lines:
            axes.legend()
        else:
            axes.text(0.5, 0.5, "not trained (0 epochs)", ha="center", transform=axes.transAxes)
    return figure
