"""What PublishGate does: evidence of all tasks is judged by the recipe's rule, and the verdict drawn."""

import json
from pathlib import Path

from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.provenance import Facts
from piecehub.transfer import gate, plot_gains
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.rule import Rule


def judge_run(
    evidence: list[Path],
    conformance: Path,
    incumbent: Path,
    full_model: Path,
    blessing: Path,
    min_gain: float,
    non_inferiority_margin: float,
    min_seeds: int,
    confidence: float,
    incomparable_incumbent: str,
    min_tasks: int,
    mode: str,
    tasks: str,
) -> Facts:
    """Writes a stock ModelBlessing with the reasons beside it into `blessing`; returns facts of it.

    `tasks` is JSON of what the rule asks of each task; the other values are the recipe's `[gate]`.
    """
    rule = Rule(
        min_gain,
        non_inferiority_margin,
        min_seeds,
        confidence,
        incomparable_incumbent,
        min_tasks,
        json.loads(tasks),
        mode,
    )
    evidences = [Evidence.read(folder) for folder in evidence]
    verdict = gate.judge(
        evidences,
        ConformanceReport.read(conformance),
        gate.read_incumbent(incumbent),
        rule,
        json.loads((full_model / "facts.json").read_text(encoding="utf-8")),
    )
    verdict.write(blessing)
    plot_gains.write(evidences, rule, blessing)
    # The file and the property by which stock TFX (Pusher, LatestBlessedModelStrategy) knows a blessing.
    (blessing / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).write_bytes(b"")
    return {"blessed": int(verdict.blessed), "status": verdict.status}
