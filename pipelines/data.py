"""A recipe's examples on disk, written once, by content.

    <data>/<content digest>/upstream/{train,eval}/*.tfrecord      what the full model is trained on
    <data>/<content digest>/<task>/{pool,test}/*.tfrecord         one folder a downstream task
    <data>/keys/<key>                                             content digest that a writer gave, by what it can read

A user's own TFRecords of tf.Example lie in the same layout in any folder (`data.folder`), and take the same road. Of a
bucket they are copied to `<data>/<name of the listing>` first, so that what did not change is fetched once.
"""

import os
import platform
import shutil
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from piecehub.containers.code import lock_digest, recipe_digest
from piecehub.errors import DataError, RecipeError
from piecehub.examples.layout import record_files
from piecehub.examples.tfrecord_files import refuse_no_records
from piecehub.facts.content import canonical_json, content_digest, list_files, sha256_bytes
from piecehub.facts.spans import fixed_part
from piecehub.facts.workdir import mark
from piecehub.store.data import bring_data, find_data
from piecehub.store.place import is_uri
from piecehub.training.written_examples import write_examples
from pipelines.recipe.tables import LoadedRecipe, Recipe


def parts_of(config: Recipe) -> dict[str, Sequence[str]]:
    """The splits of each part that a recipe reads."""
    upstream = {"upstream": ("train", "eval")} if config.data.upstream else {}
    return {**upstream, **{task.name: ("pool", "test") for task in config.task}}


def place_of(loaded: LoadedRecipe) -> str:
    """Where a user's own records lie: a folder, or the uri of a bucket, with spans or without."""
    folder = loaded.config.data.folder
    fixed = fixed_part(folder)
    return folder if is_uri(folder) else f"{(loaded.folder / fixed).resolve()}{folder.removeprefix(fixed)}"


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
    settings = loaded.config.data
    code = recipe_digest(loaded.folder, settings.module)
    # A writer may read what comes with Python itself, which no lock file fixes.
    facts = [code, settings.arguments, lock_digest(), platform.python_version()]
    if settings.reads:
        facts.append([_listing((loaded.folder / place).resolve()) for place in settings.reads])
    key = data / "keys" / sha256_bytes(canonical_json(facts))
    if key.is_file() and (known := data / key.read_text(encoding="utf-8")).is_dir():
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
