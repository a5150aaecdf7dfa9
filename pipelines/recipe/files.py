"""What a recipe names in its folder: files that must be there, and functions of them. Nothing of them is run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from piecehub.facts.pointers import refuse_pointers
from piecehub.facts.spans import fixed_part
from piecehub.facts.tables import KERAS_OPTIMIZERS
from piecehub.store.place import is_uri
from pipelines.recipe.faults import Fault, fault, refused
from pipelines.recipe.lines import Path
from pipelines.recipe.python_files import Module, Takes, Unreadable, read_module, takes
from pipelines.recipe.sentences import did_you_mean
from pipelines.recipe.spelling import closest
from pipelines.recipe.tables import Recipe

_GOLDEN = ("synthetic", "none")
_protos: Any = schema_pb2  # generated: the type checker sees none of its names


def file_faults(recipe: Recipe, folder: Folder) -> Iterator[Fault]:
    """All that a recipe names and its folder does not hold."""
    files = _Files(folder)
    yield from _data_faults(recipe, files)
    yield from _model_faults(recipe, files)
    yield from _checkpoint_faults(recipe.model.checkpoint, folder)
    yield from _schema_faults(recipe, files)


@dataclass
class _Files:
    """A recipe's folder, of which each file is read once, and what is wrong with it told once."""

    folder: Folder
    modules: dict[str, Module | None] = field(default_factory=dict[str, Module | None])
    schemas: dict[str, list[str] | None] = field(default_factory=dict[str, list[str] | None])

    def module(self, file: str, entry: Path | str) -> Iterator[Fault]:
        """Reads a Python file."""
        path = self.folder / file
        self.modules.setdefault(file, None)
        if path.suffix != ".py" or not path.is_file() or not path.resolve().is_relative_to(self.folder.resolve()):
            yield fault(
                f"Expected a Python file in the recipe's folder. Received: '{file}', not found in {self.folder}.", entry
            )
            return
        if pointers := list(refused(entry, refuse_pointers, [path], "a Python file")):
            yield from pointers
            return
        try:
            self.modules[file] = read_module(path)
        except Unreadable as error:
            yield Fault((), f"Expected Python in '{file}'. Received: {error}.", file, error.line)

    def function(self, file: str, name: str, entry: Path | str, known: Iterable[str] = ()) -> Iterator[Fault]:
        """Looks for a function of a Python file that was read; in its place may stand a name that is `known`."""
        module = self.modules.get(file)
        if module and module.lacks(name):
            other = closest(name, sorted({*module.names, *known}))
            end = did_you_mean(other) if other else "; define it."
            yield fault(f"Expected a function '{name}' in '{file}'. Received: none{end}", entry)

    def arguments(
        self, file: str, name: str, given: dict[str, Any], ours: int | tuple[str, ...], entry: str
    ) -> Iterator[Fault]:
        """Holds the arguments that a recipe gives a function against those that it takes.

        Args:
            file: where the function is.
            name: its name.
            given: by the recipe, by name.
            ours: how many we give it by place, or which by name.
            entry: the table of the recipe that gives them.
        """
        module = self.modules.get(file)
        function = module.functions.get(name) if module else None
        if function is None:
            return
        wanted = takes(function)
        own = ours if isinstance(ours, tuple) else wanted.names[: max(0, ours - wanted.by_place)]
        yield from _argument_faults(wanted, name, given, own, entry)

    def schema(self, file: str, entry: Path | str) -> Iterator[Fault]:
        """Reads a schema."""
        if file in self.schemas:
            return
        self.schemas[file] = None
        path = self.folder / file
        if not path.is_file():
            yield fault(f"Expected a schema in the recipe's folder. Received: '{file}', not found there.", entry)
            return
        if pointers := list(refused(entry, refuse_pointers, [path], "a schema")):
            yield from pointers
            return
        try:
            schema = text_format.Parse(path.read_text(encoding="utf-8"), _protos.Schema())
        except (text_format.ParseError, UnicodeDecodeError) as error:
            line = error.GetLine() if isinstance(error, text_format.ParseError) else 0
            why = str(error).partition(" : ")[2] or error
            yield Fault((), f"Expected a schema in '{file}'. Received: {why}.", file, line or 0)
            return
        self.schemas[file] = [feature.name for feature in schema.feature]


def _argument_faults(
    wanted: Takes, name: str, given: dict[str, Any], own: tuple[str, ...], entry: str
) -> Iterator[Fault]:
    free = [argument for argument in wanted.names if argument not in own]
    open_ones = [argument for argument in free if argument not in given]
    meant: set[str] = set()
    for argument in given:
        if not wanted.others and argument not in free:
            meant.add(other := closest(argument, open_ones))
            end = did_you_mean(other) if other else f"; it takes {', '.join(free) or 'none'}."
            yield fault(
                f"Expected only arguments that '{name}' takes in '{entry}'. Received: '{argument}'{end}",
                (*entry.split("."), argument),
            )
    for argument in wanted.needed:
        if argument in open_ones and argument not in meant:
            yield fault(
                f"Expected the argument '{argument}' of '{name}' in '{entry}'. Received: none; add it, or give it a "
                "default.",
                entry,
            )


def _data_faults(recipe: Recipe, files: _Files) -> Iterator[Fault]:
    data = recipe.data
    # A bucket, or which spans there are, is looked at when records are read.
    if data.folder and not is_uri(data.folder) and not (files.folder / fixed_part(data.folder)).is_dir():
        yield fault(f"Expected a folder of TFRecords. Received: '{data.folder}', not found.", "data.folder")
    if data.module:
        yield from files.module(data.module, "data.module")
        yield from files.function(data.module, "write", "data.module")
        yield from files.arguments(data.module, "write", data.arguments, 1, "data.arguments")


def _model_faults(recipe: Recipe, files: _Files) -> Iterator[Fault]:
    model = recipe.model
    if model.module != recipe.data.module:
        yield from files.module(model.module, "model.module")
    named: list[tuple[Path, str]] = [
        (("model", "function"), model.function),
        (("data", "decode"), recipe.data.decode),
        *((("train", key), name) for key, name in recipe.train.functions().items()),
        *((("task", number, "decode"), task.decode) for number, task in enumerate(recipe.task)),
        *((("piece", n, "golden"), p.golden) for n, p in enumerate(recipe.piece) if p.golden not in _GOLDEN),
    ]
    told: set[str] = set()
    for entry, name in named:
        if name and name not in told:
            told.add(name)
            known = KERAS_OPTIMIZERS if entry == ("train", "optimizer") else ()
            yield from files.function(model.module, name, entry, known)
    ours = ("seed", *(["parent"] if model.parent else []))
    yield from files.arguments(model.module, model.function, model.arguments, ours, "model.arguments")


def _checkpoint_faults(checkpoint: str, folder: Folder) -> Iterator[Fault]:
    """A file, a folder, or what TensorFlow's files of a checkpoint begin with."""
    path = folder / checkpoint
    if not checkpoint or path.exists() or path.with_name(f"{path.name}.index").is_file():
        return
    yield fault(
        f"Expected a checkpoint in the recipe's folder. Received: '{checkpoint}', not found there.", "model.checkpoint"
    )


def _schema_faults(recipe: Recipe, files: _Files) -> Iterator[Fault]:
    """Schemas that are not there or lack the label, which a `decode` may make."""
    data = recipe.data
    parts: list[tuple[Path, str, str, str, str]] = [
        (("data",), "upstream", data.schema, data.decode, data.label),
        *((("task", n), t.name, t.schema, t.decode, t.label) for n, t in enumerate(recipe.task)),
    ]
    told: set[tuple[str, str]] = set()
    for table, part, schema, decode, label in parts:
        yield from files.schema(schema, (*table, "schema"))
        features = files.schemas[schema]
        if features is None or not label or decode or (schema, label) in told:
            continue
        told.add((schema, label))
        if label not in features:
            other = closest(label, features)
            yield fault(
                f"Expected a schema with the label '{label}' of the examples of '{part}'. Received: "
                f"{', '.join(sorted(features))} in '{schema}'{did_you_mean(other) if other else '; add it.'}",
                (*table, "label"),
                (*table, "schema"),
                ("data", "label"),
                ("data", "schema"),
            )
    for number, task in enumerate(recipe.task):
        features = files.schemas[task.schema]
        for name in task.slices:
            if features is not None and not task.decode and name not in features:
                yield fault(
                    f"Expected the feature '{name}' of 'task.slices' in '{task.schema}'. Received: "
                    f"{', '.join(sorted(features))}{did_you_mean(closest(name, features))}",
                    ("task", number, "slices"),
                    ("task", number, "schema"),
                )
    weight = recipe.train.sample_weight
    known = files.schemas[data.schema]
    if weight and known is not None and not data.decode and weight not in known:
        yield fault(
            f"Expected a feature '{weight}' in '{data.schema}', for 'train.sample_weight'. Received: none; add it.",
            "train.sample_weight",
        )
