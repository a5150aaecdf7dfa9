"""Expanded copies in a bucket of Google Cloud Storage, for clients that read a model without downloading all of it.

    expanded/<hex of the content digest>/<file of the SavedModel>     saved_model.pb last: without it, it is none

TensorFlow reads `gs://` by itself; to `?tf-hub-format=uncompressed` the server answers with such a place.
"""

import tempfile
from pathlib import Path

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import Manifest
from piecehub.store import archive, layout
from piecehub.store.catalog import Store

_SCHEME = "gs://"
_LAST = "saved_model.pb"


def location(store: Store, manifest: Manifest) -> str | None:
    """The `gs://` address of a version's expanded copy, or None if the store is elsewhere or there is none."""
    folder = layout.expanded_folder(manifest.digest)
    if not store.uri.startswith(_SCHEME) or store.backend.stat(f"{folder}/{_LAST}") is None:
        return None
    return f"{store.uri.rstrip('/')}/{folder}"


def expand(store: Store, manifest: Manifest) -> str:
    """Puts a version's files into the store's bucket, over what may stand there, and returns their address.

    Raises:
        RecipeError: if the store does not lie on `gs://`: no client would read the copy.
        StoreError: if the archive is damaged.
        EnvironmentProblem: if the bucket cannot be reached or written.
    """
    if not store.uri.startswith(_SCHEME):
        raise RecipeError(f"Expected a store on gs://, which TensorFlow reads. Received: '{store.uri}'.")
    folder = layout.expanded_folder(manifest.digest)
    with store.blob_file(manifest.archive.digest) as packed, tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        archive.unpack(packed, model)
        if content_digest(list_files(model)) != manifest.digest:
            raise StoreError(f"Expected the content {manifest.digest}. Received: another one; run `store repair`.")
        for file in sorted(manifest.files, key=lambda file: (file.path == _LAST, file.path)):
            store.backend.put(f"{folder}/{file.path}", model / file.path)
    return f"{store.uri.rstrip('/')}/{folder}"
