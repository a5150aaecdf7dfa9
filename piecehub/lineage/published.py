"""The lineage of a published version: its data, code, parameters and evaluation, as one value.

Two records tell it, and must tell the same: the chain of statements that was published with the version
(`piecehub/facts/provenance.py`), and ML Metadata where the run was recorded (`metadata.py`). Each is read into
`Step`s, one for each execution of a component of ours; everything after that is common to both. Components of stock
TFX make no statement: what they made is known as what our components read.

    {"schema": 1, "handle", "digest",
     "parents": [{"handle", "digest"}],
     "preprocessors": [{"handle", "digest"}],            where one makes the inputs
     "made_by": {"runner", "run", "image"},              where a run on a cluster published it
     "data": [{"role", "component", "key", "type", "splits": {split: digest}}],
     "components": [{"component", "code_digest", "lock_digest", "parameters", "inputs": [{"key", "type", "digest"}]}],
     "evaluation": {"evidence": [digest…], "conformance": [digest…], "blessing": [digest…]}}
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from piecehub.errors import RecipeError, StoreError
from piecehub.facts import provenance
from piecehub.facts.content import FileEntry, canonical_json, content_digest
from piecehub.facts.made_by import MadeBy
from piecehub.facts.manifest import Blob, Manifest
from piecehub.facts.provenance import Provenance, Statement
from piecehub.facts.steps import Read, Step, sorted_reads
from piecehub.facts.tables import unfolded
from piecehub.store.catalog import Store
from piecehub.store.curate import named
from piecehub.store.shelf import Address, ServerShelf, small_file

# Artifact types by which the chain tells what it is about (components/artifacts.py; TFX's standard artifacts).
_MODEL, _EVIDENCE, _CONFORMANCE = (f"components.{t}" for t in ("ReusableSavedModel", "Evidence", "ConformanceReport"))
_BLESSING = "ModelBlessing"
# The component that brings a published piece to start from (components/parent_resolver.py).
_PARENT = "ParentResolver"
_DIGEST_START = "sha256:"
_DIGESTS = ("code_digest", "lock_digest")

Role = Literal["upstream", "downstream"]
_Thing = TypeVar("_Thing", "Step", "Data")


@dataclass(frozen=True)
class Data:
    """Examples that a component read; upstream ones shaped the piece, downstream ones judged it."""

    role: Role
    component: str
    key: str
    type: str
    splits: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The examples as plain JSON."""
        return {
            "role": self.role,
            "component": self.component,
            "key": self.key,
            "type": self.type,
            "splits": dict(sorted(self.splits.items())),
        }


@dataclass(frozen=True)
class Parent:
    """A piece that this one starts from, with the content digest of its SavedModel; a mere folder has no handle."""

    handle: str
    digest: str


@dataclass(frozen=True)
class Lineage:
    """Everything that a published version was made from; `steps` stand in the order of the data.

    `preprocessors` are the versions that make its inputs, and `made_by` is the run of a cluster that published it.
    """

    handle: str
    digest: str
    parents: tuple[Parent, ...]
    steps: tuple[Step, ...]
    data: tuple[Data, ...]
    evidence: tuple[str, ...]
    conformance: tuple[str, ...]
    blessing: tuple[str, ...]
    preprocessors: tuple[Parent, ...] = ()
    made_by: MadeBy | None = None

    @property
    def lacks(self) -> str:
        """What there is to say of a version that no run made; empty for others."""
        if self.steps:
            return ""
        return (
            "No run of piecehub made it: it was published without a record of its data, code and evaluation, as "
            "`piecehub publish` does."
        )

    @property
    def lock_digests(self) -> tuple[str, ...]:
        """The digests of `requirements.lock`; one, unless a step came from the cache of an older environment."""
        return tuple(sorted({step.lock_digest for step in self.steps}))

    def to_json(self) -> dict[str, Any]:
        """The lineage as plain JSON; equal lineages give equal values, whichever record they were read from."""
        inputs_by = {"preprocessors": [asdict(each) for each in self.preprocessors]} if self.preprocessors else {}
        return {
            "schema": 1,
            "handle": self.handle,
            "digest": self.digest,
            "parents": [asdict(parent) for parent in self.parents],
            **inputs_by,
            **(self.made_by.facts() if self.made_by else {}),
            "data": [data.to_json() for data in self.data],
            "components": [step.to_json() for step in self.steps],
            "evaluation": {
                "evidence": list(self.evidence),
                "conformance": list(self.conformance),
                "blessing": list(self.blessing),
            },
        }


def of_published(store: Store, name: str) -> Lineage:
    """The lineage of a published version, from the chain that was published with it.

    Args:
        store: where it was published.
        name: `publisher/name/version`, `publisher/name@alias`, or `publisher/name` for the newest.

    Raises:
        RecipeError: if `name` is no handle.
        StoreError: if the version is unknown, or its chain tells of another model.
    """
    return of_manifest(store, _resolve(store, name))


def of_manifest(store: Store, manifest: Manifest) -> Lineage:
    """The lineage of the version with that manifest; raises StoreError as `of_published` does."""
    return _of(manifest, lambda blob: store.read_blob(blob.digest))


def of_address(url: str, server: str = "", token: str = "") -> Lineage:
    """The lineage of a version on a server of piecehub, as that server tells it: only `verify` says who vouches for it.

    Args:
        url: `https://server/publisher/name/version`.
        server: the part before the publisher, if the store is not at the server's root.
        token: of a private publisher.

    Raises:
        RecipeError: if it is no such address.
        EnvironmentProblem: if the server cannot be reached.
        StoreError: if its chain tells of another model.
        NotVerified: if a file has not the digest that the manifest says.
    """
    address = Address.parse(url, server)
    shelf = ServerShelf(address.server, token)
    return _of(shelf.manifest(address.handle), lambda blob: small_file(shelf, address.handle, blob))


def _of(manifest: Manifest, read: Callable[[Blob], bytes]) -> Lineage:
    """Of a version that no run made it is what it was fine-tuned from, and what makes its inputs."""
    blob = manifest.blob(provenance.FILE_NAME)
    if blob is None:
        parents, preprocessors = parents_of(manifest), preprocessors_of(manifest)
        return Lineage(str(manifest.handle), manifest.digest, parents, (), (), (), (), (), preprocessors)
    try:
        chain = provenance.from_json(read(blob).decode())
        found = from_chain(chain, manifest.digest, str(manifest.handle))
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # anybody may have published it
        raise StoreError(
            f"Expected '{provenance.FILE_NAME}' of {manifest.handle} as piecehub writes it. Received: another text "
            f"({type(error).__name__}: {error})."
        ) from error
    # The SavedModel lies in a folder of its own in the artifact whose digest the chain holds.
    artifact = content_digest(FileEntry(f"saved_model/{f.path}", f.size_bytes, f.sha256) for f in manifest.files)
    if artifact not in {r.digest for step in found.steps for r in step.reads if r.type == _MODEL}:
        raise StoreError(f"Expected the lineage of {manifest.handle}. Received: a chain about other models.")
    return replace(found, made_by=MadeBy.of(manifest.facts))


def parents_of(manifest: Manifest) -> tuple[Parent, ...]:
    """The piece that a version says it was fine-tuned from: all that is known of one that no run made."""
    return _named(str(manifest.facts.get("parent", "")))


def preprocessors_of(manifest: Manifest) -> tuple[Parent, ...]:
    """The version that makes the inputs of another, as that was told when it was published."""
    return _named(str(manifest.facts.get("preprocessor", "")))


def _named(told: str) -> tuple[Parent, ...]:
    """What a fact names: `handle@digest`, or one of the two; nothing if it is empty."""
    handle, at, digest = told.rpartition("@")
    if not told:
        return ()
    is_digest = told.startswith(_DIGEST_START)
    return (Parent(handle, digest) if at else Parent("" if is_digest else told, told if is_digest else ""),)


def _resolve(store: Store, name: str) -> Manifest:
    if "@" in name or name.strip("/").rpartition("/")[2].isdigit():
        return store.manifest(named(store, name))
    publisher, _, model = name.strip("/").partition("/")
    if not model:
        raise RecipeError(f"Expected 'publisher/name/version' or 'publisher/name'. Received: '{name}'.")
    newest = store.newest(publisher, model)
    if newest is None:
        raise StoreError(
            f"Expected a published model. Received: '{name}', of which nothing stands in '{store.uri}'; `piecehub "
            "models` lists what does, and --workdir names another place."
        )
    return newest


def from_chain(chain: Provenance, digest: str, handle: str = "") -> Lineage:
    """The lineage that a chain of statements tells.

    Args:
        chain: of the artifact that was made last.
        digest: the content digest of the SavedModel, which the chain itself does not hold.
        handle: what it was published as.
    """
    statements = chain.chain
    ids = {key: _statement_step_id(statement) for key, statement in statements.items()}
    steps = {ids[key]: _statement_step(statement, ids) for key, statement in statements.items()}
    return _assemble(steps, digest, handle)


def _statement_step_id(statement: Statement) -> str:
    """The same for all outputs of one execution."""
    return canonical_json({k: v for k, v in statement.items() if k not in ("output", "digest", "splits")}).decode()


def _statement_step(statement: Statement, ids: Mapping[str, str]) -> Step:
    reads = tuple(
        Read(key, i["type"], i["digest"], i.get("splits", {}), ids[i["statement"]] if i["statement"] else "")
        for key, inputs in statement["inputs"].items()
        for i in inputs
    )
    code_digest, lock_digest = (statement[key] for key in _DIGESTS)
    return Step(statement["component"], statement["parameters"], code_digest, lock_digest, reads)


def from_ml_metadata(metadata: Path, digest: str, handle: str = "") -> Lineage:
    """The lineage that ML Metadata tells of the SavedModel with the content digest `digest`.

    Args:
        metadata: the SQLite file.
        digest: of the SavedModel, as its manifest has it.
        handle: what it was published as; needed only where one content has several names.

    Raises:
        StoreError: if no push of that content is recorded.
    """
    from piecehub.lineage import metadata as records

    push = records.find_push(metadata, digest, handle)
    steps = records.steps_before(metadata, push)
    return _assemble(steps, digest, push.handle)


def from_ml_metadata_before_push(metadata: Path, statement: str, digest: str) -> Lineage:
    """The lineage that ML Metadata tells of a SavedModel that is about to be pushed.

    Args:
        metadata: the SQLite file.
        statement: the digest of the statement of the artifact that was made last.
        digest: the content digest of the SavedModel.

    Raises:
        StoreError: if no artifact with that statement is recorded.
    """
    from piecehub.lineage import metadata as records

    return _assemble(records.steps_to(metadata, statement), digest, "")


def agree(one: Lineage, other: Lineage) -> list[str]:
    """What two lineages tell differently, a sentence each; empty if they agree."""
    return list(_differences(one.to_json(), other.to_json(), ""))


def _differences(one: Any, other: Any, where: str) -> Iterator[str]:
    match one, other:
        case {}, {}:
            for key in sorted({*one, *other}):
                yield from _differences(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
        case [*_], [*_] if len(one) == len(other):
            for index in range(len(one)):
                yield from _differences(one[index], other[index], f"{where}[{index}]")
        case [*_], [*_]:
            yield f"{where}: {len(one)} entries in one, {len(other)} in the other."
        case _ if one != other:
            yield f"{where}: {json.dumps(one)} in one, {json.dumps(other)} in the other."
        case _:
            pass


def text(lineage: Lineage) -> str:
    """The lineage for a person to read, some lines a fact."""
    lines = [f"{lineage.handle}  {lineage.digest}", ""]
    lines += [f"fine-tuned from {parent.handle or 'a folder'}  {parent.digest}\n" for parent in lineage.parents]
    lines += [f"inputs made by {each.handle}  {each.digest}\n" for each in lineage.preprocessors]
    if made_by := lineage.made_by:
        lines += [f"made by {made_by.runner}, run {made_by.run}, image {made_by.image}\n"]
    if lineage.lacks:
        return "\n".join([*lines, lineage.lacks])
    lines += ["data"]
    for data in lineage.data:
        lines += [f"  {data.role:<10}  {data.component}.{data.key}"]
        lines += [f"    {split:<10}{digest}" for split, digest in sorted(data.splits.items())]
    lines += ["", "code and parameters"]
    for step in lineage.steps:
        lines += [f"  {step.component}  {step.code_digest}"]
        lines += [
            f"    {k} = {json.dumps(v, ensure_ascii=False)}" for k, v in sorted(unfolded(step.parameters).items())
        ]
        lines += [f"    read {read.key:<18}{read.digest}" for read in sorted_reads(step.reads) if read.digest]
    lines += ["", "evaluation"]
    for title, digests in (
        ("evidence", lineage.evidence),
        ("conformance", lineage.conformance),
        ("blessing", lineage.blessing),
        ("lock", lineage.lock_digests),
    ):
        lines += [f"  {title:<12}{digest}" for digest in digests]
    return "\n".join(lines)


def _assemble(steps: Mapping[str, Step], digest: str, handle: str) -> Lineage:
    """A lineage of steps by id; steps that are equal by value, such as one from the cache, become one."""
    reads = [read for step in steps.values() for read in step.reads]
    shaping = _with_ancestors(steps, {read.source for read in reads if read.type == _MODEL and read.source})
    order = _in_order_of_data(steps)
    # The evaluator reads upstream's examples too, to see whether it has its own from there; they do not judge.
    upstream = [dict(read.splits) for step in shaping for read in steps[step].reads if read.splits]
    data = [
        Data("upstream" if step in shaping else "downstream", steps[step].component, r.key, r.type, r.splits)
        for step in order
        for r in sorted_reads(steps[step].reads)
        if r.splits and (step in shaping or dict(r.splits) not in upstream)
    ]
    return Lineage(
        handle,
        digest,
        tuple(_parents(steps.values())),
        _once(steps[step] for step in order),
        _once(data),
        evidence=_digests_of(reads, _EVIDENCE),
        conformance=_digests_of(reads, _CONFORMANCE),
        blessing=_digests_of(reads, _BLESSING),
    )


def _parents(steps: Iterable[Step]) -> list[Parent]:
    found = {(str(s.parameters["handle"]), str(s.parameters["digest"])) for s in steps if s.component == _PARENT}
    return [Parent(*pair) for pair in sorted(found)]


def _once(things: Iterable[_Thing]) -> tuple[_Thing, ...]:
    return tuple({canonical_json(thing.to_json()): thing for thing in things}.values())


def _digests_of(reads: Iterable[Read], kind: str) -> tuple[str, ...]:
    return tuple(sorted({read.digest for read in reads if read.type == kind and read.digest}))


def _with_ancestors(steps: Mapping[str, Step], start: set[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        step = waiting.pop()
        if step not in seen:
            seen.add(step)
            waiting += [read.source for read in steps[step].reads if read.source]
    return seen


def _in_order_of_data(steps: Mapping[str, Step]) -> list[str]:
    """The steps' ids, each after those that it read from; ties by value, so both records give one order."""
    depths: dict[str, int] = {}

    def depth(step: str) -> int:
        if step not in depths:
            depths[step] = 1 + max((depth(r.source) for r in steps[step].reads if r.source), default=-1)
        return depths[step]

    return sorted(steps, key=lambda step: (depth(step), canonical_json(steps[step].to_json())))
