"""Checks that read a SavedModel's files and protos only: safe on a model that nobody trusts yet."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from piecehub.conformance import Finding, Level
from piecehub.modeling.conformance.graph import Graph, attribute_strings, constant_strings, read_graph
from piecehub.provenance import FILE_NAME as PROVENANCE

# tfhub.dev, tools/validator.py (_check_valid_remote_asset): the files of a model, and the characters of a name.
_FILES = re.compile(
    r"saved_model\.pb|saved_model\.pbtxt|tfhub_module\.pb|keras_metadata\.pb|fingerprint\.pb"
    r"|variables/variables\.[^/]+|assets/.+|assets\.extra/.+"
)
_SEGMENT = re.compile(r"[\w-][-!',_\w.=:% ]*")

# Operations that run Python, touch files, print, write summaries, call other machines or end the process. A graph
# that holds one does not stand alone.
_DENIED = re.compile(
    r"PyFunc|PyFuncStateless|EagerPyFunc"
    r"|ReadFile|WriteFile|MatchingFiles|Save.*|Restore.*|MergeV2Checkpoints|.*Reader(V2)?|Reader.*"
    r"|(TFRecord|TextLine|FixedLengthRecord|CSV|ExperimentalCSV|Load|Snapshot|Sql|Lmdb|LMDB).*Dataset.*"
    r"|Print|PrintV2|.*Summary.*|Debug.*|Rpc.*|Grpc.*|.*DataService.*|Abort"
)

# `/a/b` at the start or behind a sign that ends no word, as in the `hash_table_/home/me/vocabulary.txt` that Keras
# writes; `C:\`; `scheme://`.
_PATH_IN_ATTRIBUTE = re.compile(
    r"(?<![\w.)\]}-])/[\w.+-]+/[\w.+-]|_/[\w.+-]+/[\w.+-]|\b[A-Za-z]:\\|\b[a-z][a-z0-9+.-]+://"
)
_PATH = re.compile(r"(/[\w.+ -]+){2,}/?|[A-Za-z]:\\.+|[a-z][a-z0-9+.-]+://\S+")


@dataclass(frozen=True)
class _Model:
    paths: list[str]
    graph: Graph


def static_findings(folder: Path) -> list[Finding]:
    """The findings of S1, S2, S3, S4, S8 and S13 about the SavedModel in `folder`.

    Raises:
        NotReusableError: if `folder` holds no SavedModel.
        ArchiveError: if its `saved_model.pb` is damaged.
    """
    graph = read_graph(folder)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    model = _Model([path for path in paths if path != PROVENANCE], graph)
    return [_finding(model, *check) for check in _CHECKS]


def _finding(
    model: _Model, number: str, title: str, level: Level, passed: str, check: Callable[[_Model], str | None]
) -> Finding:
    fault = check(model)
    return Finding(number, title, level, fault is None, fault or passed)


def _files(model: _Model) -> str | None:
    strange = [path for path in model.paths if not _allowed(path)]
    if not strange:
        return None
    return f"Expected only files of a SavedModel. Received: {_some(strange)}; remove them, or use 'assets.extra/'."


def _allowed(path: str) -> bool:
    return bool(_FILES.fullmatch(path)) and all(_SEGMENT.fullmatch(segment) for segment in path.split("/"))


def _one_meta_graph(model: _Model) -> str | None:
    tags = model.graph.tags
    return (
        None if tags == [["serve"]] else f"Expected one MetaGraph with the tag 'serve'. Received: {tags}; save again."
    )


def _callable(model: _Model) -> str | None:
    if model.graph.call:
        return None
    found = "signatures only; it can serve, not be fine-tuned" if model.graph.signatures else "none"
    return f"Expected a '__call__' that is a tf.function with a trace. Received: {found}; export it with piecehub."


def _stands_alone(model: _Model) -> str | None:
    found = {f"{n.op} in {where or 'the main graph'}" for where, n in model.graph.nodes() if _DENIED.fullmatch(n.op)}
    if not found:
        return None
    return f"Expected operations that need nothing outside the model. Received: {_some(found)}; take them out."


def _no_paths(model: _Model) -> str | None:
    found = {
        text
        for _, node in model.graph.nodes()
        for text in (
            *filter(_PATH_IN_ATTRIBUTE.search, attribute_strings(node)),
            *filter(_PATH.fullmatch, constant_strings(node)),
        )
    }
    if not found:
        return None
    return f"Expected no absolute path and no address in the graph. Received: {_some(found)}; use an asset instead."


def _serves(model: _Model) -> str | None:
    if "serving_default" in model.graph.signatures:
        return None
    received = ", ".join(model.graph.signatures) or "no signature"
    return f"Expected the signature 'serving_default'. Received: {received}; pass one to tf.saved_model.save."


def _some(found: set[str] | list[str]) -> str:
    """At most three of them, in order, each cut to a length that a sentence bears."""
    texts = [f"'{text[:80]}'" for text in sorted(found)]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


_CHECKS: tuple[tuple[str, str, Level, str, Callable[[_Model], str | None]], ...] = (
    ("S1", "only a SavedModel's files", "fail", "Every file belongs to a SavedModel.", _files),
    ("S2", "one MetaGraph, tagged 'serve'", "fail", "One MetaGraph, tagged 'serve'.", _one_meta_graph),
    ("S3", "'__call__' is a traced function", "fail", "'__call__' is a function with traces.", _callable),
    ("S4", "operations stand alone", "fail", "No operation runs Python or leaves the model.", _stands_alone),
    ("S8", "no absolute path or address", "fail", "No path and no address in the graph.", _no_paths),
    ("S13", "'serving_default' is there", "warn", "'serving_default' is there.", _serves),
)
