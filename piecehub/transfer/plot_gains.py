"""`gains.svg`, `.png`: the gain of fine-tuning on each task, with the line that the gate draws; beside a verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from piecehub.reference import reference_words
from piecehub.transfer.evidence import CURVE, Evidence
from piecehub.transfer.plot_style import GRID, INK, PLAIN, QUIET, STYLES, new_axes, save
from piecehub.transfer.rule import Rule

NAME = "gains"
_ROLES = {"gate": "", "report": " (reported)", "negative_control": " (negative control)"}


def write(evidences: Sequence[Evidence], rule: Rule, folder: Path) -> None:
    """Writes the plot of the tasks whose evidence is complete into `folder`; nothing if there is none."""
    complete = [evidence for evidence in evidences if evidence.complete]
    if complete:
        save(lambda: _draw(complete, rule), folder, NAME)


def _draw(evidences: Sequence[Evidence], rule: Rule) -> Figure:
    rows: list[tuple[Evidence, int | Literal["curve"]]] = []
    for evidence in evidences:
        rows += [(evidence, shots) for shots in evidence.protocol.shots]
        rows.append((evidence, CURVE))
    reference = reference_words(evidences[0].parent)
    note = "points of the metric; bars: 95 % intervals over seeds and test examples; large: the average that is judged"
    figure, axes = new_axes(f"Gain of fine-tuning over {reference}", note, height=1.5 + 0.3 * len(rows))
    labels: list[str] = []
    for y, (evidence, shots) in enumerate(rows):
        gain, judged = evidence.contrast("fine_tuning", "from_scratch", shots), shots == CURVE
        task = rule.of(evidence.task)
        colour = STYLES["fine_tuning"][0] if task.role == "gate" else PLAIN[0]
        alpha, width = (1.0, 3.0) if judged else (0.55, 1.6)
        axes.plot([100 * gain.low, 100 * gain.high], [y, y], color=colour, lw=width, alpha=alpha, solid_capstyle="butt")
        axes.plot(100 * gain.estimate, y, "o", color=colour, alpha=alpha, markersize=8 if judged else 5)
        if judged and task.role == "gate":
            axes.plot([100 * task.min_gain] * 2, [y - 0.42, y + 0.42], color=STYLES["from_scratch"][0], lw=2)
            axes.annotate(
                "the gate",
                (100 * task.min_gain, y + 0.42),
                (0, -9),
                textcoords="offset points",
                fontsize=8,
                color=STYLES["from_scratch"][0],
                ha="center",
            )
        labels.append(f"{evidence.task}{_ROLES[task.role]}: average" if judged else f"{shots} examples")
    axes.axvline(0, color=QUIET, lw=1)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}" if value else "0")
    axes.set_xlabel("points", color=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return figure
