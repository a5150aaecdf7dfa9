"""The parent: the published piece that a recipe starts from, brought into a run.

saved_model/    the SavedModel, unpacked
"""

from pathlib import Path

from piecehub.errors import StoreError
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.provenance import Facts
from piecehub.store.archive import unpack
from piecehub.store.catalog import Store

SAVED_MODEL = "saved_model"


def bring_parent(parent: Path, handle: str, digest: str, store_folder: str) -> Facts:
    """What ParentResolver does: `write_parent` into its output; returns facts of it."""
    write_parent(store_folder, handle, digest, parent)
    return {"handle": handle, "saved_model_digest": digest}


def look_up_parent(handle: str, digest: str, store_folder: str) -> dict[str, str]:
    """What the look-up of the parent does on Kubeflow: asks whether it is still allowed, and returns its digest.

    Who trains from it takes that digest, which stays as it is, and so comes from the cache. A version that was yanked
    is allowed to those who name it, and the log says so.

    Raises:
        StoreError: if the store lacks it, has it in quarantine, or holds other content under that name.
    """
    store, named = Store.open(store_folder), Handle.parse(handle)
    manifest = store.usable(named)
    if manifest.digest != digest:
        raise StoreError(f"Expected the content {digest} of {handle}. Received: {manifest.digest}; compile it again.")
    state = store.state(named.publisher, named.name)
    reason = state.reason(named.version)
    told = f", {state.status(named.version).value} on {reason.at[:10]}: {reason.why}" if reason else ""
    print(f"Parent: {handle}{told}", flush=True)
    return {"digest": digest}


def write_parent(store_folder: Path | str, handle: str, digest: str, destination: Path) -> None:
    """Unpacks the version `handle` into `destination`.

    Raises:
        StoreError: if the store lacks it, has it in quarantine, or holds other content under that name than `digest`
            says.
        ArchiveError: if its archive is damaged.
    """
    store = Store.open(store_folder)
    destination.mkdir(parents=True, exist_ok=True)
    with store.blob_file(store.usable(Handle.parse(handle)).archive.digest) as archive:
        unpack(archive, destination / SAVED_MODEL)
    found = content_digest(list_files(destination / SAVED_MODEL))
    if found != digest:
        raise StoreError(f"Expected the content {digest} of {handle}. Received: {found}; start the pipeline again.")
