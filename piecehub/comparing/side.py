"""One of the two models that are compared: what its files say, and what was published with it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from piecehub.comparing.interface import Interface, interface_of
from piecehub.conformance.graph import Graph, read_graph
from piecehub.conformance.static import refuse_damaged
from piecehub.errors import StoreError
from piecehub.facts import piece_manifest
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import Manifest
from piecehub.lineage import published as lineage
from piecehub.store.catalog import Store
from piecehub.store.incumbent import copy_evidence
from piecehub.store.source import Source
from piecehub.transfer.evidence import Evidence, read_all
from piecehub.transfer.rule import Rule


@dataclass(frozen=True)
class Side:
    """A SavedModel.

    Attributes:
        name: as it was asked for.
        digest: its content digest.
        size_bytes: of its files.
        parameters: how many numbers its variables hold.
        operations: how often each operation stands in its graph, but for saving and restoring.
        interface: what can be called.
        data: by role and split, such as `upstream train`, the digests of the examples that it was made from and judged
            by; None if nothing was published that tells it.
        evidence: of each task.
        rule: what it had to fulfil to be published; None if it was not published by a run.
    """

    name: str
    digest: str
    size_bytes: int
    parameters: int
    operations: Mapping[str, int]
    interface: Interface
    data: Mapping[str, tuple[str, ...]] | None
    evidence: tuple[Evidence, ...]
    rule: Rule | None


def read_side(name: str, source: Source, store_folder: Path, scratch: Path, evidence: Path | None = None) -> Side:
    """Reads a SavedModel; nothing of it is loaded or run.

    Args:
        name: how to call it.
        source: where it lies.
        store_folder: of the local store, for what was published with a version.
        scratch: an empty folder, for the evidence of a published version.
        evidence: a folder that `piecehub evaluate --out` wrote; its evidence counts instead.

    Raises:
        NotReusableError: if it is no SavedModel.
        ArchiveError: if it is damaged.
        DataError: if its evidence is damaged.
    """
    files = list_files(source.folder)
    graph = read_graph(source.folder)
    refuse_damaged(name, source.folder, graph)
    published, data = source.manifest, None
    if published:
        store = Store.open(store_folder)
        data = _data(store, published)
        if evidence is None:
            copy_evidence(store, published, scratch)
    return Side(
        name=name,
        digest=content_digest(files),
        size_bytes=sum(file.size_bytes for file in files),
        parameters=_parameters(graph),
        operations=dict(sorted(Counter(node.op for _, node in graph.nodes()).items())),
        interface=interface_of(graph, piece_manifest.read(source.folder)),
        data=data,
        evidence=read_all(evidence or scratch),
        rule=_rule(published),
    )


def _parameters(graph: Graph) -> int:
    """The numbers in the variables of the object graph whose sizes are known; a TF1 model has none there."""
    shapes = [node.variable.shape for node in graph.first.object_graph_def.nodes if node.HasField("variable")]
    known = [shape for shape in shapes if not shape.unknown_rank]
    return sum(prod(max(dim.size, 0) for dim in shape.dim) for shape in known)  # -1 is an open dimension


def _data(store: Store, manifest: Manifest) -> dict[str, tuple[str, ...]] | None:
    try:
        found = lineage.of_manifest(store, manifest)
    except StoreError:  # its chain is damaged, or another model's
        return None
    if not found.steps:  # made elsewhere
        return None
    digests: dict[str, set[str]] = defaultdict(set)
    for data in found.data:
        for split, digest in data.splits.items():
            digests[f"{data.role} {split}"].add(digest)
    return {where: tuple(sorted(digests[where])) for where in sorted(digests)}


def _rule(manifest: Manifest | None) -> Rule | None:
    verdict: Any = manifest.facts.get("verdict") if manifest else None
    return Rule.from_json(verdict["rule"]) if verdict else None
