"""Pushes a candidate from a run's artifacts into the store: what is blessed and conforms, and nothing else.

    outcome.json    {"pushed", "created", "handle", "digest", "why"}: what a PushedModel artifact holds

An unblessed candidate is no error: `pushed` is false and `why` says what the gate said.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import StoreError
from piecehub.facts import piece_manifest, provenance
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.made_by import MadeBy
from piecehub.facts.manifest import DOCUMENTATION_TITLE, UNSAID
from piecehub.store.catalog import Store
from piecehub.store.incumbent import EVIDENCE, read_incumbent
from piecehub.store.publish import Attest, publish

OUTCOME = "outcome.json"
_PUBLISHED_EVIDENCE = (
    "evidence.json",
    "predictions.parquet",
    "guidance.json",
    "accuracy.svg",
    "learning.svg",
    "saving.svg",
)
_GAINS = "gains.svg"


@dataclass(frozen=True)
class Candidate:
    """The folders of the artifacts that a push reads."""

    reusable_model: Path
    conformance: Path
    evidence: list[Path]
    blessing: Path
    incumbent: Path
    documentation: Path


@dataclass(frozen=True)
class Outcome:
    """What the push came to; `created` is false where the same content was published before."""

    pushed: bool
    created: bool
    handle: str
    digest: str
    why: str


def push(
    candidate: Candidate,
    publisher: str,
    name: str,
    store_folder: Path | str,
    destination: Path,
    attest: Attest | None = None,
    made_by: MadeBy | None = None,
) -> Outcome:
    """Publishes the candidate if it may be, signed by `attest`, and writes `outcome.json` into `destination`.

    `made_by` is the run of a cluster that publishes it; None for one on this machine.

    Raises:
        StoreError: if the report is about another SavedModel, the store cannot take it, or a newer version was
            published since the candidate was judged.
    """
    model = candidate.reusable_model / "saved_model"
    digest = content_digest(list_files(model))
    report = ConformanceReport.read(candidate.conformance)
    if report.digest != digest:
        raise StoreError(f"Expected a conformance report about {digest}. Received: one about {report.digest}.")
    refusal = _refusal(candidate, report)
    outcome = (
        Outcome(False, False, "", digest, refusal)
        if refusal
        else _publish(candidate, publisher, name, store_folder, attest, made_by)
    )
    destination.mkdir(parents=True, exist_ok=True)
    (destination / OUTCOME).write_text(json.dumps(asdict(outcome), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return outcome


def read_outcome(folder: Path) -> Outcome:
    """Reads `outcome.json`."""
    return Outcome(**json.loads((folder / OUTCOME).read_text(encoding="utf-8")))


def _refusal(candidate: Candidate, report: ConformanceReport) -> str:
    """Why the candidate may not be published; empty if it may."""
    if not report.conforms:
        return report.first_failure if report.verdict == "unfinished" else report.failures[0].sentence
    if not (candidate.blessing / "BLESSED").is_file():
        # The gate's first reason is the sentence that a person reads; verdict.json and the pages hold all of them.
        return next(iter(_verdict(candidate)["reasons"]), "The gate did not bless it.")
    if (unsaid := candidate.documentation / UNSAID).is_file():
        entries = ", ".join(json.loads(unsaid.read_text(encoding="utf-8")))
        return (
            f"Expected what only you know of it, for its page. Received: nothing for {entries}; write these in "
            "recipe.toml and run it again: no training and no trial is done anew."
        )
    return ""


def _verdict(candidate: Candidate) -> dict[str, Any]:
    return json.loads((candidate.blessing / "verdict.json").read_text(encoding="utf-8"))


def _publish(
    candidate: Candidate,
    publisher: str,
    name: str,
    store_folder: Path | str,
    attest: Attest | None,
    made_by: MadeBy | None,
) -> Outcome:
    incumbent, verdict = read_incumbent(candidate.incumbent), _verdict(candidate)
    published = publish(
        Store.create(store_folder),
        candidate.reusable_model / "saved_model",
        publisher,
        name,
        version=None,
        blobs=_blobs(candidate),
        facts={
            # Of fine-tuning nothing was judged where frozen features were.
            "fine_tunable": verdict["rule"].get("mode", "fine_tuning") == "fine_tuning",
            "verdict": verdict,
            "guidance": guidance_of(_complete(candidate)),
            **_parent(candidate),
            **(made_by.facts() if made_by else {}),
        },
        judged_against=incumbent.version,
        attest=attest,
    )
    why = "" if published.created else "The same content was published before."
    return Outcome(True, published.created, str(published.handle), published.digest, why)


def guidance_of(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """What complete evidence of each task says to a consumer (piecehub/transfer/guidance.py)."""
    return [json.loads((folder / "guidance.json").read_text(encoding="utf-8")) for folder in folders]


def evidence_blobs(folders: Iterable[Path]) -> dict[str, Path]:
    """What is published of complete evidence, by title; each folder is that of one task."""
    blobs: dict[str, Path] = {}
    for folder in folders:
        task = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))["task"]
        blobs |= {f"{EVIDENCE}{task}/{file}": folder / file for file in _PUBLISHED_EVIDENCE}
    return blobs


def _complete(candidate: Candidate) -> list[Path]:
    """The folders of the evidence whose trials were all run; of a task that is only reported some may be missing."""
    return [folder for folder in candidate.evidence if (folder / "guidance.json").is_file()]


def _parent(candidate: Candidate) -> dict[str, Any]:
    """The published piece that the candidate was fine-tuned from, as `handle@digest`, if there is one."""
    manifest = piece_manifest.read(candidate.reusable_model / "saved_model")
    return {"parent": manifest.parent} if manifest and manifest.parent else {}


def _blobs(candidate: Candidate) -> dict[str, Path]:
    """What is published beside the archive, by title."""
    blobs = {
        DOCUMENTATION_TITLE: candidate.documentation / "documentation.md",
        REPORT_NAME: candidate.conformance / REPORT_NAME,
        # The page was written last, from everything: its chain holds the statement of every artifact before it.
        provenance.FILE_NAME: candidate.documentation / provenance.FILE_NAME,
    }
    if (candidate.blessing / _GAINS).is_file():
        blobs[_GAINS] = candidate.blessing / _GAINS
    return blobs | evidence_blobs(_complete(candidate))
