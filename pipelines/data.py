"""A recipe's examples on disk, written once, by content.

    <data>/<content digest>/upstream/{train,eval}/*.tfrecord      what the full model is trained on
    <data>/<content digest>/<task>/{pool,test}/*.tfrecord         one folder a downstream task
    <data>/keys/<key>                                             content digest that a writer gave, by what it can read

A user's own TFRecords of tf.Example lie in the same layout in any folder (`data.folder`), and take the same road. Of a
bucket they are copied to `<data>/<name of the listing>` first, so that what did not change is fetched once.
"""

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from piecehub.errors import DataError
from piecehub.examples.layout import record_files
from piecehub.examples.tfrecord_files import refuse_no_records
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.workdir import mark
from piecehub.store.data import bring_data, find_data
from piecehub.store.place import is_uri
from piecehub.training.written_examples import write_examples
from pipelines.data_key import data_key, known_by, parts_of, place_of
from pipelines.recipe.tables import LoadedRecipe


def examples_folder(loaded: LoadedRecipe, data: Path) -> Path:
    """The folder of the recipe's examples; writes or fetches them first if no run did before.

    Raises:
        RecipeError: if the recipe's module or folder is missing, or the module raises.
        DataError: if a split is missing or empty, or holds something else than records.
        EnvironmentProblem: if a bucket cannot be reached.
    """
    config = loaded.config
    mark(data / "keys")
    folder = _written(loaded, data) if config.data.module else _newest(loaded, data)
    for part, splits in parts_of(config).items():
        for split in splits:
            files = [Path(file) for file in record_files(str(folder / part / split))]
            if not any(file.stat().st_size for file in files):
                raise DataError(f"Expected records in the split '{part}/{split}'. Received: none in '{folder}'.")
            for file in files:
                refuse_no_records(file)
    return folder


def _newest(loaded: LoadedRecipe, data: Path) -> Path:
    """The user's own records: the newest span, and on this machine."""
    parts = parts_of(loaded.config)
    found = find_data(place_of(loaded), parts)
    if not is_uri(found.place):
        return Path(found.place).resolve()
    folder = data / found.name
    if not folder.is_dir():
        with _staging(data) as staging:
            bring_data(found, parts, staging)
            staging.rename(folder)
    _used_now(folder)
    return folder


@contextmanager
def _staging(data: Path) -> Generator[Path]:
    staging = data / f"tmp-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _used_now(folder: Path) -> None:
    """By which a gc knows when it was last used."""
    with suppress(PermissionError):
        os.utime(folder)


def _written(loaded: LoadedRecipe, data: Path) -> Path:
    settings, key = loaded.config.data, data / "keys" / data_key(loaded)
    if known := known_by(key):
        _used_now(known)
        return known
    with _staging(data) as staging:
        write_examples(loaded.folder, settings.module, settings.arguments, staging)
        folder = data / content_digest(list_files(staging)).removeprefix("sha256:")
        if not folder.exists():
            staging.rename(folder)
    beside = key.with_name(f".{key.name}")  # half a name would be that of another folder
    try:
        beside.write_text(folder.name, encoding="utf-8")
        beside.replace(key)
    finally:
        beside.unlink(missing_ok=True)
    return folder
