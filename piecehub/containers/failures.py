"""Failures that no retry mends: Kubeflow tries a task again whatever its exit status was.

So a task that fails for good leaves a mark, and its next attempt reads it before anything is imported:

    <trials folder>/failed/<sha256 of the task's output file>     its sentence

The output file's name holds the run's id and one of the task's own, and all attempts have the same.
"""

import contextlib
from pathlib import Path

from piecehub.facts.content import sha256_bytes

_FOLDER = "failed"


def known(trials_folder: str, output_file: str) -> str:
    """The sentence of an attempt before this one; empty if there was none that failed for good."""
    path = _path(trials_folder, output_file)
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def leave(trials_folder: str, output_file: str, sentence: str) -> None:
    """Leaves the mark; where that cannot be written, the task is tried again."""
    path = _path(trials_folder, output_file)
    beside = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(sentence, encoding="utf-8")
        beside.replace(path)


def _path(trials_folder: str, output_file: str) -> Path:
    return Path(trials_folder) / _FOLDER / sha256_bytes(output_file.encode())
