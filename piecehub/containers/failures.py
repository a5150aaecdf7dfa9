"""Failures that no retry mends: Kubeflow tries a task again whatever its exit status was.

So a task that fails for good leaves a mark, and its next attempt reads it before anything is imported:

    <trials folder>/failed/<sha256 of the task's output file>     its sentence

The output file's name holds the run's id and one of the task's own, and all attempts have the same. Without a volume
that folder lies in a bucket, of which a task so learns at once that it is missing, or may not be read.
"""

import contextlib
import importlib
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts.content import sha256_bytes

_FOLDER = "failed"
# The store's room stands above this one, and is asked as components are: by name, once something needs it.
_PLACES = "piecehub.store.place"


def known(trials_folder: str, output_file: str) -> str:
    """The sentence of an attempt before this one; empty if there was none that failed for good.

    Raises:
        EnvironmentProblem: if the folder lies in a bucket that is missing, or may not be read.
    """
    if bucket := _bucket(trials_folder):
        return (bucket.read(_key(output_file)) or b"").decode()
    path = Path(trials_folder, _key(output_file))
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def leave(trials_folder: str, output_file: str, sentence: str) -> None:
    """Leaves the mark; where that cannot be written, the task is tried again."""
    if bucket := _bucket(trials_folder):
        with contextlib.suppress(PiecehubError):
            bucket.create(_key(output_file), sentence.encode())
        return
    path = Path(trials_folder, _key(output_file))
    beside = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(sentence, encoding="utf-8")
        beside.replace(path)


def _key(output_file: str) -> str:
    return f"{_FOLDER}/{sha256_bytes(output_file.encode())}"


def _bucket(trials_folder: str) -> Any:
    """The backend of a folder that is a uri; None of one on a disk."""
    places: Any = importlib.import_module(_PLACES)
    return places.open_backend(trials_folder) if places.is_uri(trials_folder) else None
