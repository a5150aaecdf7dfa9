"""Previews of what our own components make: each document's own room says what it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from piecehub.facts import piece_manifest, provenance
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport
from piecehub.facts.manifest import DOCUMENTATION_TITLE
from piecehub.facts.provenance import Statement
from piecehub.facts.reference import mode_words
from piecehub.ui import words
from piecehub.ui.markdown import render
from piecehub.ui.previews.values import Preview, pairs, read_bytes, read_json, table

MODEL = "saved_model"


def conformance(folder: Path) -> list[Preview]:
    """The checks of a SavedModel, those that fell short first."""
    read_bytes(folder / REPORT_NAME)
    found = ConformanceReport.read(folder)
    rows = [(f.outcome, f.check, f.title, f.sentence) for f in found.findings]
    rows.sort(key=lambda row: list(words.OUTCOMES).index(row[0]) if row[0] != "held" else len(words.OUTCOMES))
    return [Preview("Conformance", "checks", rows=tuple(rows), note=found.summary)]


def verdict(folder: Path) -> list[Preview]:
    """What the gate decided, and by which comparisons."""
    value = read_json(folder / "verdict.json")
    compared = [
        (
            "held" if c["held"] else "fell short",
            c["task"],
            _over(c["candidate"], c["reference"]),
            _points(c) + f", against {words.points(c['bound'])}",
        )
        for c in value["contrasts"]
    ]
    told = [
        *(("note", "", "", reason) for reason in value["reasons"]),
        *(("note", "", "", w) for w in value["warnings"]),
    ]
    decided = "The piece may be published" if value["status"] == "BLESSED" else "The piece may not be published"
    return [
        Preview("What the gate decided", "checks", rows=(*compared, *told), note=f"{decided}."),
        pairs("The rule of the gate", value["rule"]),
    ]


def evidence(folder: Path) -> list[Preview]:
    """The comparisons of a task's evidence, and what is recommended by them."""
    value = read_json(folder / "evidence.json")
    compared = [
        (_over(c["candidate"], c["reference"]), c["shots"], _points(c), c.get("p_superior"), c.get("examples"))
        for c in value["contrasts"]
    ]
    columns = (
        "what over what",
        "examples",
        "gain in points, 95 % interval",
        "probability that it is better",
        "tested on",
    )
    told = {key: value[key] for key in ("task", "metric", "kind", "incomplete_because", "protocol") if key in value}
    return [table("Comparisons", columns, compared), pairs("How it was measured", told)]


def documentation(folder: Path) -> list[Preview]:
    """The page of a model."""
    page = render(read_bytes(folder / DOCUMENTATION_TITLE).decode())
    return [
        pairs("Metadata of the page", dict(page.metadata)),
        Preview("The page", "page", text=f"{page.lead}{page.html}"),
    ]


def piece(folder: Path) -> list[Preview]:
    """The signature of a piece, and its variables."""
    told = piece_manifest.read(folder / MODEL)
    if told is None:
        return []
    specs = [("input", *spec) for spec in _specs(told.input)] + [("output", *spec) for spec in _specs(told.output)]
    settings = {"hyperparameters": told.hyperparameters, "lost": told.lost, "sub_pieces": told.sub_pieces}
    trainable = set(told.trainable_variables)
    return [
        table("Signature", ("side", "name", "dtype", "shape"), specs),
        table("Variables", ("variable", "trainable"), ((name, name in trainable) for name in told.variables)),
        pairs("What else it keeps", {"made_with": told.made_with, "return_losses": told.return_losses, **settings}),
    ]


def origin(folder: Path) -> list[Preview]:
    """What an artifact was made from: its inputs, code and parameters."""
    read_bytes(folder / "provenance.json")
    found = provenance.read(folder)
    if found is None:
        return []
    said = found.statement
    made = {key: said[key] for key in ("component", "output", "digest", "code_digest", "lock_digest") if key in said}
    inputs = cast("Mapping[str, list[Statement]]", said.get("inputs", {}))
    read = [
        (key, one.get("type"), _digests(one), _maker(one, found.ancestors))
        for key, all_ in inputs.items()
        for one in all_
    ]
    return [
        table("Made from", ("input", "type", "digest", "made by"), read),
        pairs("Made by", made),
        pairs("With these parameters", cast("Mapping[str, Any]", said.get("parameters", {}))),
    ]


def document(path: Path) -> list[Preview]:
    """Any other JSON file, by its keys."""
    value = read_json(path)
    if isinstance(value, dict):
        return [pairs(path.name, cast("dict[str, Any]", value))]
    values = cast("list[Any]", value if isinstance(value, list) else [value])
    return [table(path.name, ("value",), ([one] for one in values))]


def _over(candidate: str, reference: str) -> str:
    return f"{mode_words(candidate, '')} over {mode_words(reference, '')}"


def _points(contrast: Mapping[str, Any]) -> str:
    low, high = words.points(contrast["low"]), words.points(contrast["high"])
    return f"{words.points(contrast['estimate'])} [{low}, {high}]"


def _specs(value: Any, name: str = "") -> Iterable[tuple[str, str, str]]:
    """The tensors of a nested specification: name, dtype, shape."""
    if isinstance(value, dict) and "dtype" in value:
        spec = cast("dict[str, Any]", value)
        shape = spec.get("shape")
        sizes = ", ".join("any" if size is None else str(size) for size in shape) if shape is not None else "unknown"
        yield name, str(spec["dtype"]), f"({sizes})"
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _specs(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for place, inner in enumerate(cast("list[Any]", value)):
            yield from _specs(inner, f"{name}[{place}]")


def _digests(one: Statement) -> str:
    splits = cast("dict[str, str]", one.get("splits") or {})
    return "; ".join(f"{split} {digest}" for split, digest in splits.items()) or str(one.get("digest", ""))


def _maker(one: Statement, ancestors: Mapping[str, Statement]) -> str:
    maker = ancestors.get(str(one.get("statement")))
    return str(maker["component"]) if maker else ""
