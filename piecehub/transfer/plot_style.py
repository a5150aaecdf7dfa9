"""How the plots of the evidence look, and how they are written: the same SVG and PNG for the same numbers.

Each mode has its colour (Okabe and Ito's palette, safe for colour-blind readers), marker and dash pattern, so it is
told apart in grey too. No date and no random id goes into a file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Colour, marker, dashes (on, off in points; empty is solid).
STYLES: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "fine_tuning": ("#0072B2", "o", ()),
    "lp_ft": ("#B0387A", "v", (8, 1.5)),
    "feature_extraction": ("#009E73", "s", (6, 2)),
    "from_scratch": ("#D55E00", "^", (2, 1.5)),
    "random_features": ("#7A6A8E", "D", (6, 2, 1.5, 2)),
    "raw_input": ("#8A6D00", "P", (1, 1.5)),
}
PLAIN = ("#333333", "o", ())
INK, QUIET, GRID = "#222222", "#555555", "#DDDDDD"
_RC: dict[Any, Any] = {
    "svg.hashsalt": "piecehub",
    "svg.fonttype": "path",
    "font.size": 10,
    "font.family": "DejaVu Sans",
}


def save(draw: Callable[[], Figure], folder: Path, name: str) -> None:
    """Writes `<name>.svg` and `<name>.png` of what `draw` draws."""
    with mpl.rc_context(_RC):
        # A figure each: the SVG canvas changes its figure's resolution.
        svg, png = draw(), draw()
        FigureCanvasSVG(svg).print_svg(str(folder / f"{name}.svg"), metadata={"Date": None})
        FigureCanvasAgg(png).print_png(str(folder / f"{name}.png"), metadata={"Software": None})


def new_axes(title: str, note: str, height: float = 4.4) -> tuple[Figure, Any]:
    """An empty figure with its title and a line of small text below."""
    figure = Figure(figsize=(7.2, height), dpi=144, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontweight="bold", pad=22)
    # In points above the axes, whatever the figure's height.
    axes.annotate(note, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8.5, color=QUIET, va="bottom")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=INK, length=0)
    return figure, axes


def new_rows(
    title: str, note: str, labels: "list[str]", places: "list[float]", below: float = 0.6
) -> tuple[Figure, Any]:
    """An empty figure with labelled rows at places from the top down, and `below` rows of space under the last."""
    figure, axes = new_axes(title, note, height=1.6 + 0.3 * places[-1])
    axes.set_yticks(places, labels)
    axes.set_ylim(places[-1] + below, -0.6)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return figure, axes


def draw_line(
    axes: Any, mode: str, x: "list[float]", mean: "list[float]", low: "list[float]", high: "list[float]"
) -> None:
    """A mode's line, with its band."""
    colour, marker, dashes = STYLES.get(mode, PLAIN)
    axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        mean,
        color=colour,
        marker=marker if len(x) <= 8 else None,
        markersize=6,
        markeredgecolor="white",
        linestyle=(0, dashes) if dashes else "solid",
        linewidth=1.8,
    )


def draw_interval(
    axes: Any, y: float, low: float, middle: float, high: float, colour: str, marker: str = "o", *, bold: bool = False
) -> None:
    """A value and its interval, in a row of their own; `bold` makes it stand before the others."""
    alpha, width, size = (1.0, 3.0, 8) if bold else (0.55, 1.6, 5)
    axes.plot([low, high], [y, y], color=colour, lw=width, alpha=alpha, solid_capstyle="butt")
    axes.plot(middle, y, marker, color=colour, alpha=alpha, markersize=size)


def label_ends(axes: Any, x: float, ends: "list[tuple[float, str, str]]") -> None:
    """Texts at the right ends of lines, `(value, mode, text)`, pushed apart where they would lie on each other."""
    bottom, top = axes.get_ylim()
    gap = 0.062 * (top - bottom)
    # Pushed down from the top, and up again if the last would fall below the axes.
    positions: list[float] = []
    for value, _, _ in sorted(ends, reverse=True):
        positions.append(min(value, positions[-1] - gap) if positions else value)
    for i in reversed(range(len(positions))):
        floor = bottom if i == len(positions) - 1 else positions[i + 1] + gap
        positions[i] = max(positions[i], floor)
    for position, (value, mode, text) in zip(positions, sorted(ends, reverse=True), strict=True):
        axes.annotate(
            text,
            (x, value),
            xytext=(1.012, position),
            textcoords=axes.get_yaxis_transform(),
            color=STYLES.get(mode, PLAIN)[0],
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def set_shots(axes: Any, shots: "list[int]", kind: str) -> None:
    """The axis of labelled examples, logarithmic, with a tick at each number that was tried."""
    axes.set_xscale("log")
    axes.set_xlim(shots[0] * 0.9, shots[-1] * 1.12)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.set_xlabel(f"{shots_words(kind)} (log scale)", color=INK)


def shots_words(kind: str) -> str:
    """What shots count: examples of each class, or in all."""
    return "labelled examples per class" if kind == "classification" else "labelled examples"
