"""By what a recipe's examples are known again: all that their writer can read. Light: nothing is written or trained."""

import platform
from collections.abc import Sequence
from pathlib import Path

from piecehub.containers.code import lock_digest, recipe_digest
from piecehub.errors import RecipeError
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.facts.spans import fixed_part
from piecehub.store.data import find_data
from piecehub.store.place import is_uri
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


def data_key(loaded: LoadedRecipe) -> str:
    """The name under which it is noted which examples the recipe's module wrote.

    Raises:
        RecipeError: if the module is missing, or a place that 'data.reads' names.
    """
    settings = loaded.config.data
    code = recipe_digest(loaded.folder, settings.module)
    # A writer may read what comes with Python itself, which no lock file fixes.
    facts = [code, settings.arguments, lock_digest(), platform.python_version()]
    if settings.reads:
        facts.append([listing((loaded.folder / place).resolve()) for place in settings.reads])
    return sha256_bytes(canonical_json(facts))


def known_by(key: Path) -> Path | None:
    """The folder of examples that is noted in the file `<data>/keys/<key>`, if it is there."""
    if not key.is_file():
        return None
    known = key.parents[1] / key.read_text(encoding="utf-8")
    return known if known.name and known.is_dir() else None


def known_examples(loaded: LoadedRecipe, data: Path) -> Path | None:
    """The folder of the recipe's examples, into which nobody looks; None if they have yet to be written or fetched.

    Raises:
        RecipeError: as `data_key`.
        DataError: if a split of somebody's own records is empty.
        EnvironmentProblem: if their bucket cannot be reached.
    """
    if loaded.config.data.module:
        return known_by(data / "keys" / data_key(loaded))
    found = find_data(place_of(loaded), parts_of(loaded.config))
    if not is_uri(found.place):
        return Path(found.place).resolve()
    fetched = data / found.name
    return fetched if fetched.is_dir() else None


def listing(place: Path) -> list[list[str | int]]:
    """Names, sizes and times of all files below a place: what tells that somebody changed one, without reading it.

    Raises:
        RecipeError: if there is no such place.
    """
    if not place.exists():
        raise RecipeError(f"Expected the files that 'data.reads' names. Received: no '{place}'; correct the path.")
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    stats = ((path, path.stat()) for path in found)
    return [[str(path), about.st_size, about.st_mtime_ns] for path, about in stats]
