"""A recipe's examples on disk, written once, by content.

    <data>/<content digest>/upstream/{train,eval}/*.tfrecord      what the full model is trained on
    <data>/<content digest>/<task>/{pool,test}/*.tfrecord         one folder a downstream task
    <data>/keys/<key>                                             content digest that a writer gave, by what it can read

A user's own TFRecords of tf.Example lie in the same layout in any folder (`data.folder`), and take the same road.
"""

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from piecehub.errors import DataError, RecipeError
from piecehub.examples.layout import record_files
from piecehub.examples.tfrecord_files import refuse_no_records
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.workdir import mark
from piecehub.training.recipe_modules import get_function, load_module, recipe_code
from pipelines.data_key import data_key, known_by
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
    key = data / "keys" / data_key(loaded)
    if known := known_by(key):
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


def _call_writer(loaded: LoadedRecipe, folder: Path) -> None:
    settings = loaded.config.data
    write = get_function(load_module(loaded.folder, settings.module), "write")
    with recipe_code(f"'{settings.module}' to write the examples", RecipeError, loaded.folder):
        write(folder, **settings.arguments)
