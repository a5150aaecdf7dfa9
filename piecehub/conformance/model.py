"""What the static checks look at: a folder and its graph."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from piecehub.conformance.graph import Graph, Where
from piecehub.facts.provenance import FILE_NAME as PROVENANCE


@dataclass(frozen=True)
class Model:
    """A SavedModel as files and protos, not loaded."""

    folder: Path
    graph: Graph

    @cached_property
    def paths(self) -> list[str]:
        """Everything that is no folder, links among them, as paths with '/'; without our own provenance."""
        found = [path for path in self.folder.rglob("*") if path.is_symlink() or not path.is_dir()]
        return sorted({path.relative_to(self.folder).as_posix() for path in found} - {PROVENANCE})

    @cached_property
    def nodes(self) -> list[Where]:
        """Every node of every MetaGraph with the name of its function."""
        return [found for graph in self.graph.each for found in graph.all_nodes]

    @property
    def is_hub_module(self) -> bool:
        """Whether it is a module in TF1 Hub format, as tensorflow_hub tells it (module_v2.py)."""
        return "tfhub_module.pb" in self.paths

    def is_regular(self, path: str) -> bool:
        """Whether `path` is a file of this folder: no link, no folder, no device."""
        return not (self.folder / path).is_symlink() and (self.folder / path).is_file()


def some(found: set[str] | list[str]) -> str:
    """At most three texts, in order, each cut to a length that a sentence bears."""
    texts = [f"'{text[:80]}'" for text in sorted(found)]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
