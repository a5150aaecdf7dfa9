"""Evidence that comes with a model: what `piecehub evaluate --out` kept, held to the model and judged by the gate.

    <task>/evidence.json, predictions.parquet, …    of each task
    verdict.json                                    the recipe's rule, and what it said

Who publishes measured by whose tasks they liked; the rule is that of the recipe, which `verdict.json` holds, and the
verdict itself is made anew from the predictions.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import RecipeError
from piecehub.facts.conformance_report import ConformanceReport, Finding, report
from piecehub.facts.handle import Handle
from piecehub.store.catalog import Store
from piecehub.store.incumbent import Incumbent, write_incumbent
from piecehub.store.push import evidence_blobs, guidance_of
from piecehub.transfer import gate
from piecehub.transfer.evidence import FACTS, Evidence, read_all
from piecehub.transfer.rule import Rule
from piecehub.transfer.verdict import VERDICT, Verdict

# Where no recipe's rule came with the evidence: a rule of 0 points would bless some networks that gain nothing.
DEFAULT_RULE = Rule(min_gain=0.0075)
_KEPT = "what `piecehub evaluate MODEL --recipe RECIPE --out FOLDER` kept: the folder, or an 'evidence.json' in it"


@dataclass(frozen=True)
class Proof:
    """Evidence of one or more tasks about one model, and the rule that judges it."""

    evidences: tuple[Evidence, ...]
    rule: Rule

    @property
    def folders(self) -> list[Path]:
        """The folders of the tasks whose trials were all run."""
        return [evidence.folder for evidence in self.evidences if evidence.complete]

    def blobs(self, scratch: Path) -> dict[str, Path]:
        """What is published of it, by title, as a run's push has it; the plot of all tasks is drawn into `scratch`."""
        from piecehub.transfer import plot_gains  # with matplotlib, which a model without evidence need not wait for

        plot_gains.write(self.evidences, self.rule, scratch)
        drawn = scratch / f"{plot_gains.NAME}.svg"
        return evidence_blobs(self.folders) | ({drawn.name: drawn} if drawn.is_file() else {})

    def facts(self, verdict: Verdict) -> dict[str, Any]:
        """What pages read of it, as a run's push has it."""
        return {"verdict": json.loads(verdict.to_json()), "guidance": guidance_of(self.folders)}


@dataclass(frozen=True)
class Judged:
    """A verdict, and the newest published version that it was made against."""

    verdict: Verdict
    incumbent: Incumbent


def read_proof(place: Path) -> Proof:
    """The evidence below a folder, or that of the file `evidence.json`.

    Raises:
        RecipeError: if there is none.
        DataError: if it is damaged.
    """
    if place.is_file() and place.name not in (FACTS, VERDICT):
        raise RecipeError(
            f"Expected {_KEPT}. Received: '{place}', which holds no predictions to judge; evaluate again with --out, "
            "finished trials are kept."
        )
    folder = place.parent if place.is_file() else place
    evidences = read_all(folder) if folder.is_dir() else ()
    if not evidences:
        raise RecipeError(f"Expected {_KEPT}. Received: '{place}', in which no evidence of this release lies.")
    return Proof(evidences, next((Verdict.read(each).rule for each in _rules(folder)), DEFAULT_RULE))


def _rules(folder: Path) -> list[Path]:
    """Where the rule may lie: in the folder, or beside it if it is that of one task."""
    return [each for each in (folder, folder.parent) if (each / VERDICT).is_file()]


def about_another(proof: Proof, digest: str) -> str:
    """The sentence that says that the evidence is another model's; empty if it is about that with `digest`."""
    for evidence in proof.evidences:
        if evidence.piece_digest != digest:
            return (
                f"Expected evidence about the model that is published, {digest}. Received: that of "
                f"{evidence.piece_digest} on {evidence.task}; evaluate this one."
            )
    return ""


def judge(proof: Proof, conformance: ConformanceReport, store: Store, handle: Handle) -> Judged:
    """The gate's verdict, against the newest published version of that name.

    Raises:
        DataError: if predictions are missing or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="piecehub-incumbent-") as scratch:
        incumbent = write_incumbent(store.uri, handle.publisher, handle.name, Path(scratch))
        published = gate.read_incumbent(Path(scratch))
        return Judged(gate.judge(proof.evidences, conformance, published, proof.rule), incumbent)


def as_if_it_conformed(digest: str) -> ConformanceReport:
    """A report for a verdict before the checks are made, so that who waits for them knows what the evidence says."""
    return report(digest, [Finding("S1", "not made yet", "fail", True, "It is made later.")], "process limits")


def unblessed(verdict: Verdict) -> str:
    """The sentence for a page that promises what the gate did not bless."""
    return (
        f"Expected '<!-- fine-tunable: false -->', since the evidence is {verdict.status}. Received: 'true'; "
        f"{verdict.reasons[0]}"
    )
