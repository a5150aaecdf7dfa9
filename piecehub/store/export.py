"""A store as files that a web server hands out without any program of ours.

    export.json                                     {"schema", "layout"}: whose folder this is
    index.html                                      the models, for people
    api/v1/models/_models                           the JSON of /api/v1/models
    api/v1/models/<publisher>/<name>/_versions      every version with its status
    api/v1/models/<publisher>/<name>/<N>/{version,manifest,files,provenance,signature}
    api/v1/models/<publisher>/<name>/<N>/blobs/{sha256:<hex>,<title>}

and the models themselves in one of two layouts:

    nginx    <publisher>/<name>/<N>/model.tar.gz, index.html, gone (of a quarantined version: what 410 says),
             gcs_location (where there is an expanded copy); <publisher>/<name>/_newest/{model.tar.gz,index.html}
    plain    <publisher>/<name>/<N> is the archive itself, without an ending, since a plain host passes over the query;
             <publisher>/<name>/_<N>.html is the page about it

No segment of a name begins with '_', so nothing here hides a model. Blobs are hard links where the store's folder is
on the same file system: they take no room, and must not be edited. A file appears whole, by a rename; what does not
belong to the store any more, such as an archive that was quarantined, goes at the end of each export.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import RecipeError
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Blob, Manifest
from piecehub.store import describe, expanded, layout
from piecehub.store.catalog import Store
from piecehub.store.events import ModelState, Status
from piecehub.store.export_tree import ExportTree, exporting
from piecehub.store.members import safe_path

_API = describe.API.strip("/")
_MARK = "export.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Pages:
    """Draws the pages for people; this room knows no HTML. The page of a version is told where its archive stands."""

    version: Callable[[Store, Manifest, str], str]
    index: Callable[[list[tuple[Manifest, str]]], str]


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    versions: int
    written: int
    removed: int


@dataclass(frozen=True)
class Layout:
    """Where a version's archive and page stand; see the module."""

    name: str
    archive: Callable[[Handle], str]
    page: Callable[[Handle], str]
    has_newest: bool


NGINX = Layout("nginx", lambda h: f"{h}/model.tar.gz", lambda h: f"{h}/index.html", has_newest=True)
PLAIN = Layout("plain", str, lambda h: f"{h.publisher}/{h.name}/_{h.version}.html", has_newest=False)
LAYOUTS = {known.name: known for known in (NGINX, PLAIN)}


def export(
    store: Store, to: Path, where: Layout, pages: Pages, *, url: str = "", publishers: Collection[str] = ()
) -> Exported:
    """Makes `to` say what the store says, and changes nothing that says it already.

    Args:
        store: what to export.
        to: a folder of its own: empty, new, or of an earlier export in the same layout.
        where: NGINX or PLAIN.
        pages: draws the pages.
        url: the address that the folder will be served at; '' writes addresses without a host.
        publishers: leave out all others, such as private ones; none: all of them.

    Raises:
        RecipeError: if `to` holds something else.
        StoreError: if a blob is damaged; nothing wrong is ever written.
        EnvironmentProblem: if `to` cannot be written, or another export writes it.
    """
    with exporting(to) as tree:
        _check_mark(tree, where)
        tree.write(_MARK, _json({"schema": _SCHEMA, "layout": where.name}))
        work = _Export(store, tree, where, pages, url)
        states = [s for s in store.states() if not publishers or s.model.partition("/")[0] in publishers]
        for state in states:
            work.model(state)
        work.lists()
        return Exported(sum(len(state.versions) for state in states), tree.written, tree.prune())


def _check_mark(tree: ExportTree, where: Layout) -> None:
    mark = tree.read(_MARK)
    if (mark is None and tree.is_empty()) or mark == _json({"schema": _SCHEMA, "layout": where.name}):
        return
    what = f"one that was exported as {mark.decode(errors='replace').strip()}" if mark else "one with other files"
    raise RecipeError(
        f"Expected a new folder, or one of an export for '{where.name}'. Received: '{tree.root}', {what}; "
        "give another --to."
    )


class _Export:
    """One run over a store."""

    def __init__(self, store: Store, tree: ExportTree, where: Layout, pages: Pages, url: str) -> None:
        self._store, self._tree, self._where, self._pages, self._url = store, tree, where, pages, url
        self._published: list[Manifest] = []

    def model(self, state: ModelState) -> None:
        for version in state.versions:
            manifest = self._store.manifest(Handle.parse(f"{state.model}/{version}"))
            if state.status(version) is Status.QUARANTINED:
                self._gone(manifest, state)
            else:
                self._version(manifest, state)
            if state.status(version) is Status.PUBLISHED:
                self._published.append(manifest)
            if self._where.has_newest and version == state.newest:
                self._newest(manifest, state)
        self._tree.write(f"{_API}/{state.model}/_versions", _json(describe.model(state)))

    def lists(self) -> None:
        newest_first = sorted(self._published, key=lambda m: (m.published_at, m.handle), reverse=True)
        rows = [(manifest, self._where.page(manifest.handle)) for manifest in newest_first]
        self._tree.write("index.html", self._pages.index(rows).encode())
        self._tree.write(f"{_API}/_models", _json([describe.summary(m, self._url) for m in newest_first]))

    def _version(self, manifest: Manifest, state: ModelState) -> None:
        """The archive comes last: who finds it finds everything about it."""
        handle, about = manifest.handle, f"{_API}/{manifest.handle}"
        for blob in manifest.blobs:
            self._blob(f"{about}/blobs/{blob.digest}", blob)
            self._blob(f"{about}/blobs/{safe_path(blob.title)}", blob)
        for what, titles in describe.SPECIAL.items():
            if (special := describe.blob_named(manifest, titles)) is not None:
                self._blob(f"{about}/{what}", special)
        self._tree.write(f"{about}/files", _json(describe.files(manifest)))
        self._tree.write(f"{about}/version", _json(describe.version(manifest, state, self._url)))
        self._tree.write(f"{about}/manifest", self._store.backend.read(layout.manifest_key(handle)) or b"")
        self._tree.write(self._where.page(handle), self._page(manifest))
        place = expanded.location(self._store, manifest)
        if place is not None and self._where is NGINX:
            self._tree.write(f"{handle}/gcs_location", place.encode())
        self._blob(f"{about}/blobs/{manifest.archive.digest}", manifest.archive)
        self._blob(f"{about}/blobs/{safe_path(manifest.archive.title)}", manifest.archive)
        self._blob(self._where.archive(handle), manifest.archive)

    def _gone(self, manifest: Manifest, state: ModelState) -> None:
        """Says so before the archive goes, and takes the archive away at once, not only at the end."""
        handle = manifest.handle
        if self._where is NGINX:
            why = state.refusal(handle.version)
            sentence = f"Expected a version that may be served. Received: '{handle}', {why}\n"
            self._tree.write(f"{handle}/gone", sentence.encode())
        self._tree.remove(self._where.archive(handle))

    def _newest(self, manifest: Manifest, state: ModelState) -> None:
        self._tree.write(f"{state.model}/_newest/index.html", self._page(manifest))
        self._blob(f"{state.model}/_newest/model.tar.gz", manifest.archive)

    def _page(self, manifest: Manifest) -> bytes:
        return self._pages.version(self._store, manifest, self._where.archive(manifest.handle)).encode()

    def _blob(self, path: str, blob: Blob) -> None:
        own = self._store.backend.local_path(layout.blob_key(blob.digest))
        self._tree.place(path, blob.digest, own, lambda: self._store.blob_file(blob.digest))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
