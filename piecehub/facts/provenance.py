"""Lineage by value: `provenance.json` lies in every artifact that a component of ours writes.

    {"schema": 1,
     "statement": {"component", "output", "digest", "splits"?, "inputs": {key: [input…]}, "parameters", "code_digest",
                   "lock_digest"},
     "ancestors": {"sha256:<hex>": statement, …}}

`digest` is the content digest of the artifact without this file. An input is {"type", "digest", "statement"}, where
`statement` is the sha256 of the statement that the input carried, or null for an artifact of stock TFX; examples
also carry `splits`, the digest of each split's records. `ancestors` holds every statement that the chain refers
to, so one artifact tells its whole history without a database.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts.content import canonical_json, content_digest, list_files, sha256_bytes

FILE_NAME = "provenance.json"
Statement = dict[str, Any]
# What is noted of an output, in ML Metadata, beside its files.
Facts = dict[str, str | int | float]


@dataclass(frozen=True)
class Provenance:
    """A statement about one artifact, with all statements before it."""

    statement: Statement
    ancestors: dict[str, Statement]

    @property
    def digest(self) -> str:
        """The sha256 of the statement, by which later statements refer to it."""
        return statement_digest(self.statement)

    @property
    def chain(self) -> dict[str, Statement]:
        """Every statement by its digest, this one included."""
        return {**self.ancestors, self.digest: self.statement}

    def to_json(self) -> str:
        """The text of `provenance.json`."""
        value = {"schema": 1, "statement": self.statement, "ancestors": self.ancestors}
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Input:
    """An artifact that a component read."""

    type: str
    digest: str
    splits: Mapping[str, str] | None = None
    provenance: Provenance | None = None

    def reference(self) -> Statement:
        """How a statement refers to this input."""
        value: Statement = {
            "type": self.type,
            "digest": self.digest,
            "statement": self.provenance.digest if self.provenance else None,
        }
        return {**value, "splits": dict(self.splits)} if self.splits else value


def is_place(parameter: str) -> bool:
    """True for a parameter that says where, not what: it stays out of statements (published too) and cache keys."""
    return parameter.endswith("_folder")


def statement_digest(statement: Statement) -> str:
    """The digest by which a statement is referred to."""
    return f"sha256:{sha256_bytes(canonical_json(statement))}"


def artifact_digest(folder: Path) -> str:
    """The content digest of an artifact's folder, without its `provenance.json`."""
    return content_digest(list_files(folder, leave_out={FILE_NAME}))


def make(
    component: str,
    output: str,
    digest: str,
    inputs: Mapping[str, Sequence[Input]],
    parameters: Mapping[str, Any],
    code_digest: str,
    lock_digest: str,
) -> Provenance:
    """The provenance of one output of one component."""
    statement: Statement = {
        "component": component,
        "output": output,
        "digest": digest,
        "inputs": {key: [i.reference() for i in inputs[key]] for key in sorted(inputs)},
        "parameters": dict(sorted(parameters.items())),
        "code_digest": code_digest,
        "lock_digest": lock_digest,
    }
    ancestors: dict[str, Statement] = {}
    for sources in inputs.values():
        for source in sources:
            if source.provenance:
                ancestors |= source.provenance.chain
    return Provenance(statement, ancestors)


def read(folder: Path) -> Provenance | None:
    """The provenance that lies in `folder`, or None if there is none (stock TFX writes none)."""
    path = folder / FILE_NAME
    return from_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(folder: Path, provenance: Provenance) -> None:
    """Writes `provenance.json` into `folder`."""
    (folder / FILE_NAME).write_text(provenance.to_json(), encoding="utf-8")


def from_json(text: str) -> Provenance:
    """Reads `provenance.json`.

    Raises:
        PiecehubError: if a statement was changed or is missing, so the chain does not hold.
    """
    value = json.loads(text)
    provenance = Provenance(value["statement"], value["ancestors"])
    for digest, statement in provenance.ancestors.items():
        if statement_digest(statement) != digest:
            raise PiecehubError(f"Expected a statement whose digest is {digest}. Received: another; it was changed.")
    for statement in provenance.chain.values():
        for reference in references(statement):
            if reference["statement"] and reference["statement"] not in provenance.ancestors:
                raise PiecehubError(f"Expected the statement {reference['statement']}. Received: none; it is missing.")
    return provenance


def references(statement: Statement) -> Iterator[Statement]:
    """The inputs of a statement."""
    for inputs in statement["inputs"].values():
        yield from inputs
