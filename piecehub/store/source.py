"""A SavedModel that a person names: a folder, an archive, the handle of a published version, or a URL."""

import contextlib
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import DOCUMENTATION_TITLE, Manifest
from piecehub.facts.pointers import refuse_pointers_below
from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir
from piecehub.store.archive import unpack
from piecehub.store.catalog import Store
from piecehub.store.curate import named
from piecehub.store.download import download
from piecehub.store.foreign_files import refuse_folder_around, refuse_foreign_file

_WHOLE = "the files of a SavedModel"


@dataclass(frozen=True)
class Source:
    """Where a SavedModel was found.

    Attributes:
        folder: of the SavedModel.
        archive: what it was unpacked from; None if it was a folder.
        documentation: the text of its model page; empty if there is none.
        trusted: whether it comes from the local store, where only what this machine made or took in stands.
        manifest: of a published version of the local store.
    """

    folder: Path
    archive: Path | None = None
    documentation: str = ""
    trusted: bool = False
    manifest: Manifest | None = None


@contextlib.contextmanager
def find_saved_model(source: str | PathLike[str], store_folder: Path | str) -> Generator[Source]:
    """The SavedModel; what came out of an archive or from a server is gone afterwards.

    Args:
        source: a folder, a `.tar.gz`, `publisher/name/version` or `publisher/name@alias` of the local store, or the
            http(s) address of a model on any server that speaks the hosting protocol.
        store_folder: where published versions lie; a folder, or the uri of a bucket.

    Raises:
        RecipeError: if there is no such thing, or it is another one: a Keras file, a folder around a SavedModel, a
            SavedModel of which only pointers of Git LFS are there, …
        EnvironmentProblem: if a server cannot be reached.
        ArchiveError: if the archive is corrupt, or no model.
    """
    path, source = Path(source), str(source)
    if path.is_dir():
        refuse_folder_around(path)
        refuse_pointers_below(path, _WHOLE)
        yield Source(path)
        return
    if path.is_file():
        refuse_foreign_file(path)
    with tempfile.TemporaryDirectory(prefix="piecehub-") as scratch, contextlib.ExitStack() as held:
        archive, documentation, manifest = path, "", None
        if "://" in source:
            archive = Path(scratch, "model.tar.gz")
            with phase("downloading the model"):
                download(source, archive)
        elif not path.is_file():
            store = Store.open(store_folder)
            manifest = store.manifest(_handle(store, source))
            archive = held.enter_context(store.blob_file(manifest.archive.digest))
            documentation = _documentation(store, manifest)
        folder = Path(scratch, "saved_model")
        with phase("unpacking the model"):
            unpack(archive, folder)
        refuse_pointers_below(folder, _WHOLE)
        yield Source(folder, archive, documentation, manifest is not None, manifest)


def _documentation(store: Store, manifest: Manifest) -> str:
    blob = manifest.blob(DOCUMENTATION_TITLE)
    return store.read_blob(blob.digest).decode() if blob else ""


def _handle(store: Store, source: str) -> Handle:
    try:
        return named(store, source)
    except RecipeError as error:
        raise RecipeError(
            "Expected a folder, an archive, 'publisher/name/version', 'publisher/name@alias', or an address with "
            f"http. Received: '{source}', which is none."
        ) from error


def keep_unpacked(source: str, workdir: Workdir) -> Path | None:
    """The SavedModel of a version of the local store, in a folder that stays; None if `source` is no such handle.

    A path that exists is a path, whatever the store holds.

    Raises:
        StoreError: if the store is damaged, or the version quarantined.
        EnvironmentProblem: if the working folder cannot be written.
    """
    if "://" in source or Path(source).exists() or not workdir.store.is_dir():
        return None
    store = Store.open(workdir.store)
    try:
        handle = named(store, source)
    except RecipeError:
        return None
    if store.find(handle) is None:
        return None
    manifest = store.usable(handle)
    folder = workdir.unpacked / manifest.digest.removeprefix("sha256:")
    if not folder.is_dir():
        workdir.unpacked.mkdir(parents=True, exist_ok=True)
        try:
            unpack(store.blob_path(manifest.archive.digest), folder)
        except EnvironmentProblem:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder
