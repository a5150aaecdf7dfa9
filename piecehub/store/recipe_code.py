"""A recipe's code, and the files that it may read, as an archive by its content, which a pod fetches.

    <place>/<sha256 of the archive>.tar.gz

What is in it is what the recipe's digest is made of (piecehub/containers/recipe_folder.py): neither `recipe.toml` nor
schemas, which reach components by another way. Its name says what its bytes are, and the digest of what was unpacked is
compared with the package's before any of it is imported (piecehub/containers/door.py).
"""

import hashlib
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from piecehub.containers.code import digest_of, recipe_closure
from piecehub.errors import OtherCode, RecipeError, StoreError
from piecehub.facts.content import content_digest, list_files
from piecehub.store.archive import pack_files, unpack_files
from piecehub.store.place import open_backend

_NAME = re.compile(r"(?P<place>.+)/(?P<key>(?P<sha256>[0-9a-f]{64})\.tar\.gz)")


def is_archive(recipe_folder: str) -> bool:
    """Whether what a component calls the recipe's folder is an archive of `bring_code`."""
    return bool(_NAME.fullmatch(recipe_folder))


def bring_code(folder: Path, file: str, place: str) -> str:
    """Writes the archive of what the recipe's module `file` may read of its folder; returns what it is called by.

    Args:
        folder: of the recipe.
        file: its module.
        place: a uri, or a folder.

    Raises:
        RecipeError: if the folder is too large, or a name in it cannot be unpacked everywhere.
        EnvironmentProblem: if the place cannot be written.
    """
    backend = open_backend(place)
    files = {path.relative_to(folder).as_posix(): path for path in recipe_closure(folder, file)}
    with backend.staging() as staging:
        packed = pack_files(files, staging / "archive")
        try:
            unpack_files(staging / "archive", staging / "again")
        except StoreError as error:
            raise RecipeError(
                f"Expected a recipe's folder that can be packed, '{folder}'. Received, once it was: {error.sentence}"
            ) from error
        if content_digest(list_files(staging / "again")) != digest_of(list(files.values()), folder):
            raise RecipeError(
                f"Expected nobody to edit the recipe's folder '{folder}' while it is packed. Received: other files "
                "than before; compile it again."
            )
        key = f"{packed.sha256}.tar.gz"
        backend.put(key, staging / "archive")
    return f"{place.rstrip('/')}/{key}"


@contextmanager
def code_here(archive: str) -> Generator[Path]:
    """The recipe's folder of an archive, for as long as this lasts.

    Raises:
        OtherCode: if it is not there, or is another than its name says.
        EnvironmentProblem: if the place cannot be reached.
    """
    called = _NAME.fullmatch(archive)
    assert called
    with tempfile.TemporaryDirectory(prefix="piecehub-") as scratch:
        file, folder = Path(scratch, "archive"), Path(scratch, "recipe")
        _fetch(called["place"], called["key"], called["sha256"], file)
        unpack_files(file, folder)
        file.unlink()
        yield folder


def _fetch(place: str, key: str, expected: str, target: Path) -> None:
    digest = hashlib.sha256()
    backend = open_backend(place)
    try:
        with target.open("wb") as file:
            for block in backend.stream(key):
                digest.update(block)
                file.write(block)
    except StoreError as error:
        raise OtherCode(
            f"Expected the recipe's code at '{place}/{key}'. Received: nothing there; compile the package again with "
            "--code."
        ) from error
    if digest.hexdigest() != expected:
        raise OtherCode(
            f"Expected the recipe's code at '{place}/{key}' as it was packed. Received: other bytes; compile the "
            "package again with --code."
        )
