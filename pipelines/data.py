"""A recipe's examples on disk, written once, by content.

    <data>/<content digest>/upstream/{train,eval}/*.tfrecord      what the full model is trained on
    <data>/<content digest>/<task>/{pool,test}/*.tfrecord         one folder a downstream task
    <data>/keys/<key>                                             content digest that a writer gave, by what it can read

A user's own TFRecords of tf.Example lie in the same layout in any folder (`data.folder`), and take the same road.
"""

import os
import platform
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from piecehub.containers.code import lock_digest, recipe_digest
from piecehub.errors import DataError, RecipeError
from piecehub.examples.layout import record_files
from piecehub.examples.tfrecord_files import refuse_no_records
from piecehub.facts.content import canonical_json, content_digest, list_files, sha256_bytes
from piecehub.facts.workdir import mark
from piecehub.training.recipe_modules import get_function, load_module, recipe_code
from pipelines.recipe.tables import LoadedRecipe


def examples_folder(loaded: LoadedRecipe, data: Path) -> Path:
    """The folder of the recipe's examples; writes them first if no run did before.

    Raises:
        RecipeError: if the recipe's module or folder is missing, or the module raises.
        DataError: if a split is missing or empty, or holds something else than records.
    """
    config = loaded.config
    mark(data / "keys")
    folder = _written(loaded, data) if config.data.module else (loaded.folder / config.data.folder).resolve()
    upstream = [("upstream", ("train", "eval"))] if config.data.upstream else []
    for part, splits in [*upstream, *((t.name, ("pool", "test")) for t in config.task)]:
        for split in splits:
            files = [Path(file) for file in record_files(str(folder / part / split))]
            if not any(file.stat().st_size for file in files):
                raise DataError(f"Expected records in the split '{part}/{split}'. Received: none in '{folder}'.")
            for file in files:
                refuse_no_records(file)
    return folder


def _written(loaded: LoadedRecipe, data: Path) -> Path:
    settings = loaded.config.data
    code = recipe_digest(loaded.folder, settings.module)
    # A writer may read what comes with Python itself, which no lock file fixes.
    facts = [code, settings.arguments, lock_digest(), platform.python_version()]
    if settings.reads:
        facts.append([_listing((loaded.folder / place).resolve()) for place in settings.reads])
    key = data / "keys" / sha256_bytes(canonical_json(facts))
    if key.is_file() and (known := data / key.read_text(encoding="utf-8")).is_dir():
        with suppress(PermissionError):
            os.utime(known)  # by which a gc knows when it was last used
        return known
    staging = data / f"tmp-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        _call_writer(loaded, staging)
        folder = data / content_digest(list_files(staging)).removeprefix("sha256:")
        if not folder.exists():
            staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    beside = key.with_name(f".{key.name}")  # half a name would be that of another folder
    try:
        beside.write_text(folder.name, encoding="utf-8")
        beside.replace(key)
    finally:
        beside.unlink(missing_ok=True)
    return folder


def _listing(place: Path) -> list[list[str | int]]:
    """Names, sizes and times of all files below a place: what tells that somebody changed one, without reading it.

    Raises:
        RecipeError: if there is no such place.
    """
    if not place.exists():
        raise RecipeError(f"Expected the files that 'data.reads' names. Received: no '{place}'; correct the path.")
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    stats = ((path, path.stat()) for path in found)
    return [[str(path), about.st_size, about.st_mtime_ns] for path, about in stats]


def _call_writer(loaded: LoadedRecipe, folder: Path) -> None:
    settings = loaded.config.data
    write = get_function(load_module(loaded.folder, settings.module), "write")
    with recipe_code(f"'{settings.module}' to write the examples", RecipeError, loaded.folder):
        write(folder, **settings.arguments)
