"""The evidence of one task as lines of text: what a person reads when a run or an evaluation has ended."""

from collections.abc import Mapping
from typing import Any

from piecehub.documentation.advice import advice
from piecehub.facts.reference import CONTROLS, metric_words, mode_words, reference_words

Json = Mapping[str, Any]
FINE_TUNING = "fine_tuning"


def evidence_table(evidence: Json, guidance: Json | None = None) -> str:
    """A row for each mode, the gain, and the guidance if there is one; `evidence` is the JSON of `evidence.json`."""
    if evidence["incomplete_because"]:
        return f"\n{evidence['task']}: {evidence['incomplete_because']}"
    parent: str = evidence["parent"]
    cells: list[dict[str, Any]] = evidence["cells"]
    shots = list(dict.fromkeys(cell["shots"] for cell in cells))
    per = "examples a class" if evidence["kind"] == "classification" else "examples"
    lines = [f"\n{evidence['task']}: {metric_words(evidence['metric'])} with 95 % intervals, by {per}"]
    lines.append(f"  {'':<24}" + "".join(f"{count:>24}" for count in shots))
    for mode in dict.fromkeys(cell["mode"] for cell in cells):
        row = [interval_text(cell["mean"], cell["low"], cell["high"]) for cell in cells if cell["mode"] == mode]
        lines.append(f"  {mode_words(mode, parent):<24}" + "".join(f"{value:>24}" for value in row))
    gain = main_gain(evidence)
    lines.append(
        f"  gain of fine-tuning over {reference_words(parent)}: {100 * gain['estimate']:+.1f} points "
        f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    )
    return "\n".join([*lines, *(f"  {line}" for line in (advice(guidance, evidence) if guidance else ()))])


def main_gain(evidence: Json) -> dict[str, Any]:
    """The contrast that says whether the piece pays: fine-tuning over from scratch, over the curve."""
    return gain_of(evidence, FINE_TUNING)


def gain_of(evidence: Json, mode: str) -> dict[str, Any]:
    """The contrast of a mode with its control, over the curve."""
    wanted = (mode, CONTROLS[mode], "curve")
    return next(c for c in evidence["contrasts"] if (c["candidate"], c["reference"], c["shots"]) == wanted)


def interval_text(mean: float, low: float, high: float) -> str:
    """A metric, a share of 1, with its interval: `48.4 % [44.9, 52.1]`."""
    return f"{100 * mean:z.1f} % [{100 * low:z.1f}, {100 * high:z.1f}]"
