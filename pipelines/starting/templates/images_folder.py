"""The examples of this recipe: pictures, in one folder a class.

    SOURCE/<class>/…/<any name>.jpg
    SOURCE/train/<class>/…/<any name>.jpg      where all folders of SOURCE are called like splits

`write` is called once, and again when this file, its arguments in `recipe.toml` or a picture below SOURCE changes. A
record holds the file, as it is or made smaller; `decode` in `model.py` makes a tensor of it, wherever records are read.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from piecehub import images, write_splits
from piecehub.errors import DataError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
# The shorter side, in pixels, that pictures twice as large or larger are brought to: each epoch decodes them.
KEPT = 256
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")


def write(folder: Path, *, source: str, task: str, held_out: Sequence[str] = (), upstream: bool = True) -> None:
    """Writes `upstream/{train,eval}` and `<task>/{pool,test}`, and says what was left out.

    Args:
        folder: where to.
        source: the folder of folders of pictures.
        task: the name of the downstream task.
        held_out: the classes that make it; the model is trained on all others. None: the task has all classes, but
            pictures of its own.
        upstream: whether there is anything to train on; else all pictures are the task's.
    """
    print(write_splits(folder, examples(Path(source)), task=task, held_out=held_out, upstream=upstream))


def examples(source: Path) -> Iterator[dict[str, Any]]:
    """Each picture that can be read, with the name of its class."""
    for file, name in pictures(source):
        try:
            picture = images.shrink(file, KEPT)
        except DataError as error:
            print(f"left out: {file}: {error.sentence}")
            continue
        yield {"picture": picture, "label": name}


def pictures(source: Path) -> Iterator[tuple[Path, str]]:
    """Each file that is called like a picture, in order, with the name of its class."""
    for place in (place for part in (splits(source) or [source]) for place in shown(part) if place.is_dir()):
        for file in sorted(place.rglob("*")):
            if file.suffix.lower() in ENDINGS and file.is_file() and not file.name.startswith("."):
                yield file, place.name


def splits(source: Path) -> list[Path]:
    """The folders between SOURCE and the classes, where all that it has are called like splits; else none."""
    folders = [place for place in shown(source) if place.is_dir()]
    return folders if all(place.name.lower() in SPLITS for place in folders) else []


def shown(folder: Path) -> list[Path]:
    """What a folder holds, in order, without what is hidden."""
    return [place for place in sorted(folder.iterdir()) if not place.name.startswith((".", "_"))]
