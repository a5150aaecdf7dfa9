"""A SavedModel that a person names: a folder, an archive, or the handle of a published version."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path

from piecehub.errors import RecipeError
from piecehub.handle import Handle
from piecehub.store.archive import unpack
from piecehub.store.catalog import Store


@contextlib.contextmanager
def saved_model_folder(source: str, store_folder: Path) -> Generator[Path]:
    """The folder of the SavedModel; one that comes out of an archive is gone afterwards.

    Args:
        source: a folder, a `.tar.gz`, or `publisher/name/version`, also at the end of a URL of this store.
        store_folder: where published versions lie.

    Raises:
        RecipeError: if there is no such thing.
        ArchiveError: if the archive is corrupt, or no model.
    """
    path = Path(source)
    if path.is_dir():
        yield path
        return
    archive = path if path.is_file() else _published(source, store_folder)
    with tempfile.TemporaryDirectory(prefix="piecehub-") as folder:
        unpack(archive, Path(folder) / "saved_model")
        yield Path(folder) / "saved_model"


def _published(source: str, store_folder: Path) -> Path:
    handle = _handle(source)
    store = Store.open(store_folder)
    return store.blob_path(store.manifest(handle).archive.digest)


def _handle(source: str) -> Handle:
    text = "/".join(source.rstrip("/").split("/")[3:]) if "://" in source else source
    try:
        return Handle.parse(text)
    except RecipeError as error:
        raise RecipeError(
            f"Expected a folder, an archive, or 'publisher/name/version'. Received: '{source}', which is none."
        ) from error
