"""What is wrong with a recipe: each fault is one sentence, and knows the entries that it is about."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.errors import PiecehubError, RecipeError, SeveralFaults
from pipelines.recipe.lines import Path

FILE = "recipe.toml"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        entries: the entries that it is about; it is told where the first of them stands.
        sentence: what is wrong, and what to do.
        file, line: where it stands, if that is in another file of the recipe.
    """

    entries: tuple[Path, ...]
    sentence: str
    file: str = ""
    line: int = 0


def fault(sentence: str, *entries: Path | str) -> Fault:
    """A fault of entries, given as paths, or as a person writes them where they are in no list: `train.seed`."""
    paths = (tuple(entry.split(".")) if isinstance(entry, str) else entry for entry in entries)
    return Fault(tuple(paths), sentence)


def refused(entry: Path | str, check: Callable[..., Any], *arguments: Any) -> Iterator[Fault]:
    """The fault of an entry that a check of ours raises an error about; none if it passes."""
    try:
        check(*arguments)
    except PiecehubError as error:
        yield fault(error.sentence, entry)


@dataclass(frozen=True, order=True)
class Told:
    """A fault as a person reads it; `line` is 0 where no line has it, and `file` is empty if a setting brought it."""

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.sentence}" if place else self.sentence


def told(faults: Iterable[Fault], lines: Mapping[Path, int], settings: Iterable[Path] = ()) -> list[Told]:
    """The faults with their places, by file and line, each once.

    Args:
        faults: in any order.
        lines: where each entry of the recipe stands.
        settings: the entries that were laid over it, which stand in no file.
    """
    laid = tuple(settings)
    return sorted({_told(found, lines, laid) for found in faults})


def refuse(found: list[Told]) -> None:
    """Passes if there are no faults.

    Raises:
        RecipeError: with the one that there is.
        SeveralFaults: with all of them.
    """
    if len(found) > 1:
        raise SeveralFaults("\n".join(map(str, found)))
    if found:
        raise RecipeError(str(found[0]))


def touch(one: Path, other: Path) -> bool:
    """Whether one path leads to the other, or through it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _told(found: Fault, lines: Mapping[Path, int], settings: tuple[Path, ...]) -> Told:
    sentence = " ".join(found.sentence.split())
    if found.file:
        return Told(found.file, found.line, sentence)
    entry = found.entries[0] if found.entries else ()
    names = tuple(part for part in entry if isinstance(part, str))
    if any(names[: len(path)] == path for path in settings):
        return Told("", 0, sentence)
    return Told(FILE, _line(entry, lines), sentence)


def _line(entry: Path, lines: Mapping[Path, int]) -> int:
    """The line of an entry, or of the table that lacks it; 0 if that is missing, too."""
    return next((lines[entry[:n]] for n in range(len(entry), 0, -1) if entry[:n] in lines), 0)
