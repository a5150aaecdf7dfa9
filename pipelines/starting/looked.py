"""What was found in somebody's data: enough to write a recipe for it."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from piecehub.errors import DataError
from piecehub.training.recipe_modules import load_module

# What a record of the recipe may hold, as the schema calls it.
Type = Literal["BYTES", "FLOAT", "INT"]


@dataclass(frozen=True)
class Feature:
    """A feature of a record, but for the label.

    Attributes:
        size: how many values it has; 0 is one value, without a dimension.
        there: the share of examples that have it; below 1 it may be missing.
    """

    name: str
    type: Type
    size: int = 0
    there: float = 1.0


@dataclass(frozen=True)
class Trained:
    """A model that is there already.

    Attributes:
        layer: up to which it is shared; empty to share all of it.
        own: whether it has classes of its own, which stand in `own.py`.
        write: writes `model.keras`, and `own.py` if there is one, or `saved_model/`, into a recipe's folder.
        inputs: of a Reusable SavedModel, as an expression that makes them; empty for a Keras model.
        trust: whether Python that it holds may run, such as a Lambda layer.
        unfreeze: whether layers of it are frozen, and shall be trained where it is fine-tuned.
    """

    layer: str
    own: bool
    write: Callable[[Path], None]
    inputs: str = ""
    trust: bool = False
    unfreeze: bool = False


@dataclass(frozen=True)
class Looked:
    """Data of one form, and what its examples are.

    Attributes:
        source: where it lies.
        data, model: the templates of `data.py` and `model.py`.
        counts: examples of each class, equal ones once; of a value all of them, under "".
        description: of the network that the template has, for the model page.
        classes: whether the label is a class.
        hub_tasks: what TensorFlow Hub's documentation calls such a piece.
        arguments: of the function that builds the model, beside the number of its outputs.
        constants: what stands in capitals at the head of either file, by template and name.
        columns: what `columns.json` holds; None where there is none.
        notes: what was guessed, a sentence each.
        network: what the network takes, as a sentence.
        side: of pictures, the median of their shorter sides, in pixels; 0 is not known.
        trained: the model, where it is there already; then nothing is trained.
    """

    source: Path
    data: str
    model: str
    features: tuple[Feature, ...]
    counts: Mapping[Any, int]
    description: str
    classes: bool = True
    hub_tasks: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    columns: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    side: int = 0
    trained: Trained | None = None


TEMPLATES = Path(__file__).with_name("templates")


def template(name: str) -> ModuleType:
    """A template of `data.py` as the module that it will be: a looker reads with what the recipe reads with later."""
    return load_module(TEMPLATES, f"{name}.py")


@dataclass
class Differing:
    """Counts the examples of each class as `write_splits` does: of equal ones the first, whatever their labels."""

    counts: Counter[Any] = field(default_factory=Counter[Any])
    equal: int = 0
    _seen: set[Any] = field(default_factory=set[Any])

    def add(self, label: Any, content: Hashable) -> None:
        """An example; its content is all that it has but the label."""
        if content in self._seen:
            self.equal += 1
        else:
            self._seen.add(content)
            self.counts[label] += 1

    @property
    def notes(self) -> list[str]:
        """How many are left out."""
        of_them = f"{self.equal:,} {'is' if self.equal == 1 else 'are'}"
        return [f"{of_them} equal to another but for the label, and left out."] if self.equal else []


def evenly(of: Sequence[Any], count: int) -> list[Any]:
    """At most `count` items, spread evenly."""
    taken = min(count, len(of))
    return [of[place * len(of) // taken] for place in range(taken)]


def splits_of(reader: ModuleType, source: Path, classes: Sequence[str]) -> list[str]:
    """A note on what is called like a split, above the classes or in the place of one; none if nothing is.

    A class may be called `train`, which is a vehicle too, where examples lie in it at once and no other is called so.

    Args:
        reader: the template that reads folders, which knows such names.
        source: the folder of folders.
        classes: which it found.

    Raises:
        DataError: if another class is called like a split: then it is one, beside folders that are none.
    """
    parts = sorted(name for name in classes if name.lower() in reader.SPLITS)
    vehicle = [part.lower() for part in parts] == ["train"] and not any(
        place.is_dir() for place in (source / parts[0]).glob("[!._]*")
    )
    if parts and not vehicle:
        raise DataError(
            f"Expected one folder a class, or folders called like splits with those in each. Received: '{parts[0]}', "
            "which is called like a split; name one of the splits as the PATH, or put the examples of each class "
            "together: the recipe makes splits of its own."
        )
    if vehicle:
        return [f"'{parts[0]}' is taken for a class, and not for a split, since no folders lie in it."]
    names = ", ".join(place.name for place in reader.splits(source))
    return [f"What lies in {names} is taken together: the recipe makes splits of its own."] if names else []


def what_lies_in(source: Path) -> str:
    """What there is instead of what was looked for: how many files, and how they are called."""
    if source.is_file():
        return "which is a file"
    found = Counter(file.suffix.lower() for file in source.rglob("*") if file.is_file())
    names = ", ".join(name or "no ending" for name, _ in found.most_common(3))
    more = ", …" if len(found) > 3 else ""
    return f"without any, but with {found.total():,} other files ({names}{more})" if found else "which is empty"


def left_out(source: Path, endings: Sequence[str]) -> list[str]:
    """A note on the files in the classes' folders that are called otherwise than what is read; none if there are none.

    Args:
        source: the folder of folders; hidden ones, and those that begin with `_`, are no classes.
        endings: of the names of what is read, in lower case.
    """
    found = Counter(
        file.suffix.lower() or file.name
        for place in source.iterdir()
        if place.is_dir() and not place.name.startswith((".", "_"))
        for file in place.rglob("*")
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() not in endings
    )
    names = ", ".join(name for name, _ in found.most_common(5))
    more = ", …" if len(found) > 5 else ""
    return [f"{found.total():,} files are left out by their names: {names}{more}."] if found else []
