"""The examples of this recipe: texts of several classes.

    SOURCE/<class>/…/<any name>.txt      a file a text, in one folder a class
    SOURCE/<class>.txt                   a line a text, in one file a class
    SOURCE/train/<class>…                where all that SOURCE has are folders called like splits

`write` is called once, and again when this file, its arguments in `recipe.toml` or a file below SOURCE changes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from piecehub import write_splits
from piecehub.errors import DataError

ENDING = ".txt"
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")


def write(folder: Path, *, source: str, task: str, held_out: Sequence[str] = (), upstream: bool = True) -> None:
    """Writes `upstream/{train,eval}` and `<task>/{pool,test}`.

    Args:
        folder: where to.
        source: the folder of texts.
        task: the name of the downstream task.
        held_out: the classes that make it; the model is trained on all others. None: the task has all classes, but
            texts of its own.
        upstream: whether there is anything to train on; else all texts are the task's.
    """
    print(write_splits(folder, examples(Path(source)), task=task, held_out=held_out, upstream=upstream))


def examples(source: Path) -> Iterator[dict[str, Any]]:
    """Each text that is not empty, with the name of its class."""
    for place in (place for part in (splits(source) or [source]) for place in shown(part)):
        if place.is_dir():
            files = (file for file in sorted(place.rglob("*")) if file.suffix.lower() == ENDING and file.is_file())
            texts = (read(file) for file in files if not file.name.startswith("."))
        elif place.suffix.lower() == ENDING:
            texts = read(place).splitlines()
        else:
            continue
        for text in texts:
            if text.strip():
                yield {"text": text.strip(), "label": place.name if place.is_dir() else place.stem}


def splits(source: Path) -> list[Path]:
    """The folders between SOURCE and the classes, where all that it has are called like splits; else none."""
    folders = [place for place in shown(source) if place.is_dir()]
    in_lines = any(place.suffix.lower() == ENDING for place in shown(source) if place.is_file())
    return folders if not in_lines and all(place.name.lower() in SPLITS for place in folders) else []


def shown(folder: Path) -> list[Path]:
    """What a folder holds, in order, without what is hidden."""
    return [place for place in sorted(folder.iterdir()) if not place.name.startswith((".", "_"))]


def read(file: Path) -> str:
    """A text in UTF-8, with or without a mark at its beginning.

    Raises:
        DataError: if it is in another encoding.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Expected texts in UTF-8. Received: '{file}', {error.reason}; convert it.") from error
