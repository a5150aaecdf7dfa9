"""The plot of accuracy by number of examples, and the same numbers for pages.

Each mode has its colour (Okabe and Ito's palette, safe for colour-blind readers), marker and dash pattern, so it is
told apart in grey too. Equal cells give equal bytes: no date and no random id goes into the SVG.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from piecehub.transfer.protocol import MAJORITY, mode_title


class AccuracyCell(Protocol):
    """What the plot needs of a cell (`evidence.Cell`)."""

    @property
    def mode(self) -> str:
        """A name of `protocol.MODES`, or the majority floor."""
        ...

    @property
    def shots(self) -> int:
        """Examples per class."""
        ...

    @property
    def mean(self) -> float:
        """Accuracy, a share of 1; `low` and `high` are its interval."""
        ...

    @property
    def low(self) -> float:
        """Lower end."""
        ...

    @property
    def high(self) -> float:
        """Upper end."""
        ...


# Colour, marker, dashes (on, off in points; empty is solid).
_STYLES: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "fine_tuning": ("#0072B2", "o", ()),
    "feature_extraction": ("#009E73", "s", (6, 2)),
    "from_scratch": ("#D55E00", "^", (2, 1.5)),
    "random_features": ("#7A6A8E", "D", (6, 2, 1.5, 2)),
}
_PLAIN = ("#333333", "o", ())
_INK, _GRID = "#222222", "#DDDDDD"
_RC: dict[Any, Any] = {
    "svg.hashsalt": "piecehub",
    "svg.fonttype": "path",
    "font.size": 10,
    "font.family": "DejaVu Sans",
}


def write(task: str, examples: int, cells: Sequence[AccuracyCell], folder: Path, parent: str = "") -> None:
    """Writes `accuracy.svg`, `accuracy.png` and `preview.json`.

    `examples` is the size of the test part, `parent` the handle of the piece's parent, if it has one.
    """
    with mpl.rc_context(_RC):
        # A figure each: the SVG canvas changes its figure's resolution.
        svg, png = (_draw(task, examples, cells, parent) for _ in range(2))
        FigureCanvasSVG(svg).print_svg(str(folder / "accuracy.svg"), metadata={"Date": None})
        FigureCanvasAgg(png).print_png(str(folder / "accuracy.png"), metadata={"Software": None})
    (folder / "preview.json").write_text(_preview(task, cells, parent), encoding="utf-8")


def _draw(task: str, examples: int, cells: Sequence[AccuracyCell], parent: str) -> Figure:
    figure = Figure(figsize=(7.2, 4.4), dpi=144, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.set_xscale("log")
    ends: list[tuple[float, str, str]] = []
    shots = sorted({cell.shots for cell in cells})
    # The floor lies far below: on the same axis it would press all that matters into a strip.
    trained = [cell for cell in cells if cell.mode != MAJORITY]
    for mode in dict.fromkeys(cell.mode for cell in trained):
        row = sorted((c for c in trained if c.mode == mode), key=lambda c: c.shots)
        _line(axes, mode, row)
        ends.append((row[-1].mean, mode, mode_title(mode, parent)))
    low, high = min(cell.low for cell in trained), max(cell.high for cell in trained)
    margin = 0.06 * max(0.05, high - low)
    axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin) + 0.004)
    _label(axes, shots, ends)
    axes.set_xlim(shots[0] * 0.9, shots[-1] * 1.12)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("labelled examples per class (log scale)", color=_INK)
    axes.set_title(f"Accuracy on {task}", loc="left", color=_INK, fontweight="bold", pad=22)
    floor = next((f"; majority: {100 * c.mean:.0f} %" for c in cells if c.mode == MAJORITY), "")
    note = f"{examples} test examples{floor}; bands: 95 % intervals over seeds and test examples"
    axes.text(0, 1.02, note, transform=axes.transAxes, fontsize=8.5, color="#555555", va="bottom")
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=_INK, length=0)
    return figure


def _line(axes: Any, mode: str, row: Sequence[AccuracyCell]) -> None:
    colour, marker, dashes = _STYLES.get(mode, _PLAIN)
    x = [cell.shots for cell in row]
    axes.fill_between(x, [c.low for c in row], [c.high for c in row], color=colour, alpha=0.13, linewidth=0)
    style = (0, dashes) if dashes else "solid"
    axes.plot(
        x,
        [cell.mean for cell in row],
        color=colour,
        marker=marker,
        markersize=6,
        markeredgecolor="white",
        linestyle=style,
        linewidth=1.8,
    )


def _label(axes: Any, shots: Sequence[int], ends: Sequence[tuple[float, str, str]]) -> None:
    """The modes' names at the ends of their lines, pushed apart where they would lie on each other."""
    bottom, top = axes.get_ylim()
    gap = 0.062 * (top - bottom)
    position = top + gap
    for value, mode, title in sorted(ends, reverse=True):
        position = min(value, position - gap)
        axes.annotate(
            f"{title} {100 * value:.1f} %",
            (shots[-1], value),
            xytext=(1.012, position),
            textcoords=axes.get_yaxis_transform(),
            color=_STYLES.get(mode, _PLAIN)[0],
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def _preview(task: str, cells: Sequence[AccuracyCell], parent: str) -> str:
    series = [
        {
            "name": mode_title(mode, parent),
            "x": [c.shots for c in cells if c.mode == mode],
            "y": [c.mean for c in cells if c.mode == mode],
            "low": [c.low for c in cells if c.mode == mode],
            "high": [c.high for c in cells if c.mode == mode],
        }
        for mode in dict.fromkeys(cell.mode for cell in cells)
    ]
    value = {
        "schema": 1,
        "kind": "curves",
        "title": f"Accuracy on {task}",
        "data": {"x_label": "labelled examples per class", "x_scale": "log", "y_label": "accuracy", "series": series},
    }
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
