"""The model page: Markdown with TensorFlow Hub's metadata header.

The form is what TensorFlow Hub's documentation validator demands (tfhub.dev, tools/validator.py): the first line
`# Module <publisher>/<name>/<version>`, a description, then `<!-- key: value -->` lines up to the first heading. Texts
come from the recipe, every number from an artifact.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jinja2

from piecehub.documentation.advice import advice
from piecehub.documentation.evidence_table import FINE_TUNING, gain_of, main_gain
from piecehub.documentation.person import Person
from piecehub.documentation.recommendation import recommend
from piecehub.documentation.template import DRAFT, OFFERED, TEMPLATE
from piecehub.errors import NotReusableError
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import UNSAID
from piecehub.facts.piece_manifest import RANDOM, PieceManifest
from piecehub.facts.reference import control_words, metric_words, mode_words, used_words

FILE_NAME = "documentation.md"
GUIDANCE = "guidance.json"
_UNMEASURED: dict[str, Any] = {
    "reasons": ["Nobody has measured how well it fine-tunes."],
    "warnings": [],
    "rule": {"tasks": {}},
}
# What stands before the numbers of a task that was not judged.
_ROLES = {"gate": "", "report": "Reported, not judged. ", "negative_control": "A negative control: nothing can help. "}


@dataclass(frozen=True)
class Sources:
    """The artifacts' folders that the numbers come from."""

    full_model: Path
    piece: Path
    reusable_model: Path
    conformance: Path
    evidence: list[Path]
    blessing: Path
    incumbent: Path


def write(publisher: str, name: str, person: Person, sources: Sources, folder: Path) -> None:
    """Writes `documentation.md` into `folder`, and beside it what is still to be written by a person."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(page(publisher, name, person.provisional, sources), encoding="utf-8")
    if person.unsaid:
        (folder / UNSAID).write_text(json.dumps(person.unsaid), encoding="utf-8")


def page(publisher: str, name: str, person: Person, sources: Sources) -> str:
    """The text of the model page, for the version that a push of this candidate would get."""
    digest = content_digest(list_files(sources.reusable_model / "saved_model"))
    incumbent = _json(sources.incumbent / "incumbent.json")
    verdict = _json(sources.blessing / "verdict.json")
    shared = _shared(sources.reusable_model / "saved_model")
    full = _json(sources.full_model / "facts.json")
    blessed = (sources.blessing / "BLESSED").is_file()
    complete = [path for path in sources.evidence if (path / GUIDANCE).is_file()]
    return _template(TEMPLATE).render(
        publisher=publisher,
        name=name,
        # The same content keeps its version; other content gets the next one.
        version=incumbent["version"] + (incumbent["digest"] != digest),
        person=person,
        hub_tasks=json.loads(person.hub_tasks),
        digest=digest,
        piece=_json(sources.piece / "facts.json"),
        shared=shared,
        lost=[item for item in shared.lost if item.get("what") != RANDOM],
        parent=_parent(shared.parent),
        full=full,
        decode=full.get("decode"),  # full models of before say nothing of it
        optimizer_regularization=_optimizer_regularization(full["optimizer"]),
        **_judged(verdict, blessed, complete),
        conformance=_checks(ConformanceReport.read(sources.conformance)),
    )


@dataclass(frozen=True)
class Shown:
    """What is known of a model that no run of ours made.

    Attributes:
        shared: its manifest, or what its files tell in place of one.
        parameters: numbers in its variables.
        digest: of its content.
        evidence: the folders of complete evidence, one a task.
        verdict: the JSON of the verdict on it; None where nobody measured it.
    """

    shared: PieceManifest
    parameters: int
    digest: str
    evidence: Sequence[Path] = ()
    verdict: Mapping[str, Any] | None = None


def offered_page(publisher: str, name: str, version: int, person: Person, shown: Shown) -> str:
    """The page of a model that no run of ours made, for a person to finish."""
    shared, verdict = shown.shared, shown.verdict
    blessed = verdict is not None and verdict["status"] == "BLESSED"
    return _template(OFFERED).render(
        publisher=publisher,
        name=name,
        version=version,
        person=person,
        hub_tasks=json.loads(person.hub_tasks),
        digest=shown.digest,
        piece={
            "parameters": shown.parameters,
            "input": shared.input,
            "output": shared.output,
            "trainable_variables": shared.trainable_variables,
        },
        shared=shared,
        lost=[item for item in shared.lost if item.get("what") != RANDOM],
        parent=_parent(shared.parent),
        decode=None,
        optimizer_regularization="",
        **_judged(verdict or _UNMEASURED, blessed, shown.evidence),
    )


def draft(publisher: str, name: str, person: Person, inputs: Any, outputs: Any, hyperparameters: Sequence[str]) -> str:
    """What the page will say that a check of it looks at, before anything is measured, or even trained.

    Args:
        publisher: first part of the handle.
        name: second part of the handle.
        person: what the recipe says.
        inputs: of the piece, as `facts.json` of a piece has them.
        outputs: likewise.
        hyperparameters: the names of what consumers may set.
    """
    return _template(DRAFT).render(
        publisher=publisher,
        name=name,
        version=1,
        person=person.provisional,
        hub_tasks=json.loads(person.hub_tasks),
        fine_tunable=True,
        inputs=inputs,
        outputs=outputs,
        hyperparameters=hyperparameters,
    )


def draft_of(publisher: str, name: str, person: Person, saved_model: Path) -> str:
    """The same for a piece that is exported; raises NotReusableError if it says nothing of itself."""
    shared = _shared(saved_model)
    return draft(publisher, name, person, shared.input, shared.output, list(shared.hyperparameters))


def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.globals |= _WORDS  # type: ignore[operator]
    return environment.from_string(text)


def _shared(saved_model: Path) -> PieceManifest:
    """What the SavedModel says of itself.

    Raises:
        NotReusableError: if it says nothing.
    """
    manifest = piece_manifest.read(saved_model)
    if manifest is None:
        raise NotReusableError(f"Expected '{piece_manifest.FILE}' in the SavedModel. Received: none; export it again.")
    return manifest


def _parent(text: str) -> dict[str, str] | None:
    """The parent: `handle@digest` in the manifest, or one of the two."""
    handle, at, digest = text.rpartition("@")
    if not at:
        handle, digest = ("", text) if text.startswith("sha256:") else (text, "")
    return {"handle": handle, "digest": digest} if text else None


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _judged(verdict: Mapping[str, Any], blessed: bool, evidence: Sequence[Path]) -> dict[str, Any]:
    """What a page says of the verdict, and of the complete evidence that it was made of."""
    mode = verdict["rule"].get("mode", FINE_TUNING)
    frozen = mode != FINE_TUNING
    roles = {task: rule.get("role", "gate") for task, rule in verdict["rule"]["tasks"].items()}
    return {
        "blessed": blessed,
        "fine_tunable": blessed and not frozen,
        "recommendation": recommend(blessed, [_json(path / GUIDANCE) for path in evidence], frozen=frozen),
        "reasons": " ".join(verdict["reasons"]),
        "warnings": verdict["warnings"],
        "evidence": [_summary(path, roles, mode) for path in evidence],
    }


def _summary(folder: Path, roles: dict[str, str], mode: str) -> dict[str, Any]:
    """The evidence of one task as the page's table and list show it; `mode` is what was judged."""
    evidence = _json(folder / "evidence.json")
    metric = metric_words(evidence["metric"])
    cells: list[dict[str, Any]] = evidence["cells"]
    modes = {mode: [c for c in cells if c["mode"] == mode] for mode in dict.fromkeys(c["mode"] for c in cells)}
    told, gain = advice(_json(folder / GUIDANCE), evidence), main_gain(evidence)
    gains = [gain] if mode == FINE_TUNING else [gain_of(evidence, mode), gain]
    return {
        "task": evidence["task"],
        "parent": evidence["parent"],
        "shots": [cell["shots"] for cell in next(iter(modes.values()))],
        "modes": modes,
        "slices": [found for found in evidence.get("slices", ()) if found["mode"] == mode],
        "slice_heads": (used_words(mode), control_words(mode, evidence["parent"])),
        "gains": [_gain(found, evidence["parent"]) for found in gains],
        "examples": gain["examples"],
        "seeds": gain["seeds"],
        "unit": "examples a class" if evidence["kind"] == "classification" else "examples",
        "metric": metric[0].upper() + metric[1:],
        "role": _ROLES[roles.get(evidence["task"], "gate")],
        "advice": told if mode == FINE_TUNING else told[1:],  # the first recommends a mode, which the gate did here
    }


def _gain(contrast: dict[str, Any], parent: str) -> str:
    """The gain of a mode over its control, as a sentence."""
    mode = contrast["candidate"]
    return (
        f"Gain of {used_words(mode)} over {control_words(mode, parent)}: {_points(contrast['estimate'])} points "
        f"[{_points(contrast['low'])}, {_points(contrast['high'])}], paired over seeds and test examples."
    )


def _checks(report: ConformanceReport) -> str:
    return f"Checked against the Reusable SavedModel interface: {report.summary}."


def _optimizer_regularization(optimizer: dict[str, Any]) -> str:
    """Regularization that lives in the optimizer and that no SavedModel carries (TensorFlow Hub, export guide).

    Args:
        optimizer: as Keras serializes it; empty if there was none of Keras'.
    """
    config: dict[str, Any] = optimizer.get("config", {})
    strengths = ("l1_regularization_strength", "l2_regularization_strength", "l2_shrinkage_regularization_strength")
    keys = ("weight_decay", "use_ema", *strengths)
    return ", ".join(f"{key} = {config[key]}" for key in keys if config.get(key))


def _percent(value: float) -> str:
    return f"{100 * value:z.1f} %"


def _interval(cell: dict[str, Any]) -> str:
    return f"{_percent(cell['mean'])} [{_percent(cell['low'])}, {_percent(cell['high'])}]"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def spec_words(specs: Any) -> str:
    """Specs of tensors, one `{"shape", "dtype"}` or a list or dict of them, as a reader writes them."""
    if isinstance(specs, list):
        return ", ".join(map(spec_words, cast(list[Any], specs)))
    if "shape" not in specs:
        return ", ".join(f"{key}: {spec_words(spec)}" for key, spec in specs.items())
    if specs["shape"] is None:
        return f"`{specs['dtype']}` of any shape"
    sizes = [("any" if place else "batch") if d is None else str(d) for place, d in enumerate(specs["shape"])]
    return f"`{specs['dtype']} [{', '.join(sizes)}]`"


_WORDS = {
    "interval": _interval,
    "mode_words": mode_words,
    "percent": _percent,
    "points": _points,
    "spec": spec_words,
}
