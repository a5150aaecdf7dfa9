"""The plots of one task's evidence, and the numbers of the first for pages.

accuracy.svg, .png   the metric by number of examples, a line for each mode; a row for each if one number was tried
learning.svg, .png   the training loss by step
saving.svg, .png     how many examples from scratch are worth those with the piece
preview.json         the numbers of `accuracy`
"""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from piecehub.facts.reference import metric_words
from piecehub.transfer.evidence import Cell, Evidence
from piecehub.transfer.guidance import Guidance
from piecehub.transfer.plot_style import (
    GRID,
    INK,
    PLAIN,
    QUIET,
    STYLES,
    draw_interval,
    draw_line,
    label_ends,
    new_axes,
    new_rows,
    save,
    set_shots,
    shots_words,
)
from piecehub.transfer.protocol import MAJORITY, mode_title


def write(evidence: Evidence, guidance: Guidance, test_examples: int, folder: Path) -> None:
    """Writes the plots of complete evidence, and `preview.json`, into `folder`."""
    save(lambda: _accuracy(evidence, test_examples), folder, "accuracy")
    save(lambda: _learning(evidence), folder, "learning")
    save(lambda: _saving(evidence, guidance), folder, "saving")
    (folder / "preview.json").write_text(_preview(evidence), encoding="utf-8")


def _title(evidence: Evidence) -> str:
    words = metric_words(evidence.metric)
    return f"{words[0].upper()}{words[1:]} on {evidence.task}"


def _accuracy(evidence: Evidence, test_examples: int) -> Figure:
    if len(evidence.protocol.shots) == 1:
        return _accuracy_in_rows(evidence, test_examples)
    # The floor lies far below: on the same axis it would press all that matters into a strip.
    trained = [cell for cell in evidence.cells if cell.mode != MAJORITY]
    floor = next((f"; majority: {100 * c.mean:z.0f} %" for c in evidence.cells if c.mode == MAJORITY), "")
    note = f"{test_examples} test examples{floor}; bands: 95 % intervals over seeds and test examples"
    figure, axes = new_axes(_title(evidence), note)
    ends: list[tuple[float, str, str]] = []
    for mode in dict.fromkeys(cell.mode for cell in trained):
        row = _row(trained, mode)
        draw_line(axes, mode, *([getattr(c, key) for c in row] for key in ("shots", "mean", "low", "high")))
        ends.append((row[-1].mean, mode, f"{mode_title(mode, evidence.parent)} {100 * row[-1].mean:.1f} %"))
    # A band of raw inputs may reach far below all that is of interest.
    low, high = min(cell.mean for cell in trained), max(cell.high for cell in trained)
    low = max(low - 0.25 * (high - low), min(cell.low for cell in trained))
    margin = 0.06 * max(0.05, high - low)
    axes.set_ylim(low - margin, min(1.0, high + margin) + 0.004)
    label_ends(axes, evidence.protocol.shots[-1], ends)
    set_shots(axes, list(evidence.protocol.shots), evidence.kind)
    axes.yaxis.set_major_formatter(_percent)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    return figure


def _accuracy_in_rows(evidence: Evidence, test_examples: int) -> Figure:
    """Bands and lines need two numbers of examples; with one, intervals side by side can be compared."""
    [shots], cells = evidence.protocol.shots, evidence.cells
    note = f"{test_examples} test examples; bars: 95 % intervals over seeds and test examples"
    labels = [mode_title(cell.mode, evidence.parent) for cell in cells]
    figure, axes = new_rows(_title(evidence), note, labels, list(range(len(cells))))
    for y, cell in enumerate(cells):
        colour, marker, _ = STYLES.get(cell.mode, PLAIN)
        draw_interval(axes, y, cell.low, cell.mean, cell.high, colour, marker, bold=True)
    axes.xaxis.set_major_formatter(_percent)
    axes.set_xlabel(f"{metric_words(evidence.metric)} with {shots} {shots_words(evidence.kind)}", color=INK)
    return figure


def _percent(value: float, _: int) -> str:
    return f"{100 * value:.0f} %"


def _row(cells: list[Cell], mode: str) -> list[Cell]:
    return sorted((cell for cell in cells if cell.mode == mode), key=lambda cell: cell.shots)


def _learning(evidence: Evidence) -> Figure:
    shots = evidence.learning[0].shots if evidence.learning else evidence.protocol.shots[0]
    note = f"chosen settings, {shots} {shots_words(evidence.kind)}; lines: mean of the seeds; bands: least and greatest"
    figure, axes = new_axes(f"Training loss on {evidence.task}", note)
    ends: list[tuple[float, str, str]] = []
    for curve in evidence.learning:
        draw_line(axes, curve.mode, *(list(map(float, v)) for v in (curve.step, curve.mean, curve.low, curve.high)))
        ends.append((curve.mean[-1], curve.mode, mode_title(curve.mode, evidence.parent)))
    means = [value for curve in evidence.learning for value in curve.mean]
    if means:
        # One seed that diverges for a while must not press the others onto the axis.
        axes.set_ylim(min(0.0, min(means)), 1.1 * max(means))
        axes.set_xlim(0, evidence.learning[0].step[-1])
        label_ends(axes, evidence.learning[0].step[-1], ends)
    axes.set_xlabel("step", color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    return figure


def _saving(evidence: Evidence, guidance: Guidance) -> Figure:
    """Points above the dashed line save labels; an arrow says that the end lies beyond what was tried."""
    shots = list(evidence.protocol.shots)
    note = "above the dashed line labels are saved; bars: 95 % intervals; arrows: beyond the numbers that were tried"
    figure, axes = new_axes(f"Labels saved on {evidence.task}", note)
    axes.plot([shots[0] * 0.9, shots[-1] * 1.12], [shots[0] * 0.9, shots[-1] * 1.12], color=QUIET, dashes=(4, 3), lw=1)
    colour, marker, _ = STYLES["fine_tuning"]
    bottom, top = shots[0] * 0.8, shots[-1] * 1.25
    for saving in guidance.savings:
        limits = saving.low, saving.high
        beyond = {"fewer": (bottom, "v"), "more": (top, "^")}
        ends = [beyond[end][0] if isinstance(end, str) else end for end in limits]
        axes.plot([saving.shots] * 2, ends, color=colour, lw=2, solid_capstyle="butt")
        for place, arrow in (beyond[end] for end in limits if isinstance(end, str)):
            axes.plot(saving.shots, place, marker=arrow, color=colour, markersize=7, clip_on=False)
        if not isinstance(saving.equals, str):
            axes.plot(saving.shots, saving.equals, marker=marker, color=colour, markersize=8, markeredgecolor="white")
            axes.annotate(
                f"{saving.equals:.0f}",
                (saving.shots, saving.equals),
                (9, 0),
                textcoords="offset points",
                color=colour,
                fontsize=9,
                va="center",
            )
    set_shots(axes, shots, evidence.kind)
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.set_yticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.set_xlabel(f"{shots_words(evidence.kind)}, with the piece", color=INK)
    axes.set_ylabel("as good as from scratch with", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    return figure


def _preview(evidence: Evidence) -> str:
    cells = evidence.cells
    keys = {"x": "shots", "y": "mean", "low": "low", "high": "high"}
    series = [
        {"name": mode_title(mode, evidence.parent)}
        | {key: [getattr(c, name) for c in cells if c.mode == mode] for key, name in keys.items()}
        for mode in dict.fromkeys(cell.mode for cell in cells)
    ]
    axes = {"x_label": shots_words(evidence.kind), "x_scale": "log", "y_label": metric_words(evidence.metric)}
    title = _title(evidence)
    value: dict[str, Any] = {"schema": 1, "kind": "curves", "title": title, "data": {**axes, "series": series}}
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
