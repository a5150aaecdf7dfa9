"""The examples of this recipe: texts of several classes.

    SOURCE/<class>/…/<any name>.txt      a file a text, in one folder a class
    SOURCE/<class>.txt                   a line a text, in one file a class

`write` is called once, and again when this file, its arguments in `recipe.toml` or a file below SOURCE changes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from piecehub import write_splits
from piecehub.errors import DataError

ENDING = ".txt"


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
    for place in sorted(source.iterdir()):
        if place.name.startswith((".", "_")):
            continue
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


def read(file: Path) -> str:
    """A text in UTF-8, with or without a mark at its beginning.

    Raises:
        DataError: if it is in another encoding.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Expected texts in UTF-8. Received: '{file}', {error.reason}; convert it.") from error
