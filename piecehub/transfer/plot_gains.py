"""`gains.svg`, `.png`: the gain of what is judged on each task, with the line that the gate draws; beside a verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from piecehub.facts.reference import control_words, used_words
from piecehub.transfer.evidence import CURVE, Evidence
from piecehub.transfer.plot_style import INK, PLAIN, QUIET, STYLES, draw_interval, new_rows, save
from piecehub.transfer.rule import Rule

NAME = "gains"
Shots = int | Literal["curve"]
_BETWEEN = 0.7  # rows of space between two tasks
_ROLES = {"gate": "", "report": " (reported)", "negative_control": " (negative control)"}


def write(evidences: Sequence[Evidence], rule: Rule, folder: Path) -> None:
    """Writes the plot of the tasks whose evidence is complete into `folder`; nothing if there is none."""
    complete = [evidence for evidence in evidences if evidence.complete]
    if complete:
        save(lambda: _draw(complete, rule), folder, NAME)


def _draw(evidences: Sequence[Evidence], rule: Rule) -> Figure:
    rows: list[tuple[Evidence, Shots]] = []
    for evidence in evidences:
        rows += [*((evidence, shots) for shots in evidence.protocol.shots), (evidence, CURVE)]
    # Tasks stand apart, and each ends with its average.
    places = [number + _BETWEEN * evidences.index(evidence) for number, (evidence, _) in enumerate(rows)]
    note = "points of the metric; bars: 95 % intervals; large: the average that is judged"
    title = f"Gain of {used_words(rule.mode)} over {control_words(rule.mode, evidences[0].parent)}"
    labels = [_label(evidence, shots, rule) for evidence, shots in rows]
    figure, axes = new_rows(title, note, labels, places, below=0.9)  # where the gate's name stands
    for y, (evidence, shots) in zip(places, rows, strict=True):
        _draw_gain(axes, y, evidence, shots, rule)
    axes.axvline(0, color=QUIET, lw=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    axes.set_xlabel("points", color=INK)
    return figure


def _draw_gain(axes: Any, y: float, evidence: Evidence, shots: Shots, rule: Rule) -> None:
    """One interval; beside the one that is judged, the line that it must lie right of."""
    gain, judged, asked = evidence.contrast(rule.mode, rule.control, shots), shots == CURVE, rule.of(evidence.task)
    colour = STYLES[rule.mode][0] if asked.role == "gate" else PLAIN[0]
    draw_interval(axes, y, 100 * gain.low, 100 * gain.estimate, 100 * gain.high, colour, bold=judged)
    if judged and asked.role == "gate":
        line, least = STYLES[rule.control][0], 100 * asked.min_gain
        axes.plot([least] * 2, [y - 0.42, y + 0.42], color=line, lw=2)
        axes.annotate(
            "the gate", (least, y + 0.55), (5, 0), textcoords="offset points", fontsize=8, color=line, va="center"
        )


def _label(evidence: Evidence, shots: Shots, rule: Rule) -> str:
    role = _ROLES[rule.of(evidence.task).role]
    return f"{evidence.task}{role}: average" if shots == CURVE else f"{shots} examples"
