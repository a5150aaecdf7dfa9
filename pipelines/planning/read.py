"""Digests of all that a run reads, but for the store: while they are the same, a run would make what the last one made.

They hold more than the cache asks for, such as every file of ours: where one differs, ML Metadata is asked as ever.
Light: neither TFX nor TensorFlow is imported.
"""

import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from piecehub.containers.code import digest_of, lock_digest, recipe_digest
from piecehub.facts.content import canonical_json, sha256_bytes, sha256_file
from piecehub.facts.plan import plain
from piecehub.facts.workdir import Workdir
from pipelines.data_key import known_examples, listing
from pipelines.recipe.tables import LoadedRecipe

_HOME = Path(__file__).resolve().parents[2]
_PACKAGES = ("components", "piecehub", "pipelines")
# What TensorFlow finds GPUs by, whose number is told to components.
_DEVICES = ("nvidia", "kfd", "dri")


def sources(loaded: LoadedRecipe, devices: str) -> dict[str, str]:
    """Digests of recipe, code, lock and machine, as they are now.

    Raises:
        RecipeError: if the recipe's module or a schema is missing, or its folder is too large.
    """
    config, folder = loaded.config, loaded.folder
    schemas = sorted({config.data.schema, *(task.schema for task in config.task)} - {""})
    return {
        "recipe": _of([str(folder), plain(asdict(config)), [sha256_file(folder / name) for name in schemas]]),
        "files": recipe_digest(folder, config.model.module),
        "code": _code(),
        "lock": lock_digest(),
        "python": _of([sys.prefix, platform.python_version()]),
        "devices": _of([devices, os.environ.get("CUDA_VISIBLE_DEVICES"), _found()]),
    }


def data(loaded: LoadedRecipe, workdir: Workdir) -> dict[str, str]:
    """The store's place; a digest of names, sizes and times of the files of the recipe's examples, if they are there.

    Raises:
        RecipeError: as `data_key`.
    """
    folder = known_examples(loaded, workdir.data.resolve())
    files = _of([str(folder), listing(folder)]) if folder and folder.is_dir() else ""
    return {"place": workdir.store_place, "data": files}


def _of(value: Any) -> str:
    return sha256_bytes(canonical_json(value))


def _code() -> str:
    files = [path for package in _PACKAGES for path in (_HOME / package).rglob("*") if path.is_file()]
    return digest_of([path for path in files if path.suffix != ".pyc"], _HOME)


def _found() -> list[str]:
    there = Path("/dev").iterdir() if Path("/dev").is_dir() else ()
    return sorted(path.name for path in there if path.name.startswith(_DEVICES))
