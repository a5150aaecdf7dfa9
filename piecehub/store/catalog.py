"""What a store holds; layout.py draws where."""

import hashlib
import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Self

from piecehub.errors import StoreError
from piecehub.facts.content import sha256_bytes
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest, is_sealed
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.store import layout, probe
from piecehub.store.backend import Backend, Entry
from piecehub.store.events import Event, ModelState, Status
from piecehub.store.place import open_backend
from piecehub.store.posix import PosixBackend


@dataclass(frozen=True)
class Store:
    """A store; reading one that does not exist yet finds nothing, and creates nothing."""

    backend: Backend

    @classmethod
    def open(cls, place: Path | str) -> Self:
        """The store at a folder or a uri (`s3://bucket/prefix`, `gs://…`, `az://…`).

        Raises:
            RecipeError: if the uri is of an unknown kind.
            EnvironmentProblem: if it cannot be read.
            StoreError: if it has a layout that we do not know.
        """
        store = cls(open_backend(place))
        text = store.backend.read(layout.STORE_FILE)
        if text is not None:
            _check_schema(text, store.backend.uri)
        return store

    @classmethod
    def create(cls, place: Path | str) -> Self:
        """The store at a folder or a uri, made if there is none; errors as `open` has them.

        Raises:
            EnvironmentProblem: if it cannot be written, or ignores the condition of a write.
        """
        return cls(open_backend(place)).made()

    def made(self) -> Self:
        """This store, made if there is none; errors as `create` has them."""
        text = self.backend.read(layout.STORE_FILE)
        if text is None:
            probe.check(self.backend, probe.ask(self.backend))
            self.backend.create(layout.STORE_FILE, layout.STORE_TEXT.encode())
            text = self.backend.read(layout.STORE_FILE)
        _check_schema(text, self.backend.uri)
        return self

    @property
    def uri(self) -> str:
        """What a person calls the store."""
        return self.backend.uri

    @property
    def root(self) -> Path:
        """The store's folder; raises StoreError if it lies in a bucket."""
        if isinstance(self.backend, PosixBackend):
            return self.backend.root
        raise StoreError(f"Expected a store in a folder. Received: '{self.uri}'.")

    def versions(self, publisher: str, name: str) -> list[int]:
        """The numbers that are taken, lowest first, whatever their status; none if the model is unknown."""
        return self._survey(publisher, name)[0]

    def state(self, publisher: str, name: str) -> ModelState:
        """The versions of a model and what people said of them; raises StoreError if the log is damaged."""
        return self._state(f"{publisher}/{name}", *self._survey(publisher, name))

    def status(self, handle: Handle) -> Status:
        """Whether a version is published, yanked or quarantined."""
        return self.state(handle.publisher, handle.name).status(handle.version)

    def newest(self, publisher: str, name: str) -> Manifest | None:
        """The manifest of the highest version that is neither yanked nor quarantined, or None if there is none."""
        newest = self.state(publisher, name).newest
        return self.manifest(Handle(publisher, name, newest)) if newest else None

    def find(self, handle: Handle) -> Manifest | None:
        """The manifest of one version, whatever its status, or None; raises StoreError if it is damaged."""
        data = self.backend.read(layout.manifest_key(handle))
        if data is None:
            return None
        manifest = read_manifest(data, handle)
        if manifest.handle != handle:
            raise StoreError(f"Expected the manifest of {handle}. Received: that of {manifest.handle}; restore it.")
        return manifest

    def manifest(self, handle: Handle) -> Manifest:
        """The manifest of one version; raises StoreError if it was not published."""
        manifest = self.find(handle)
        if manifest is None:
            raise StoreError(
                f"Expected a published version. Received: '{handle}', which does not stand in '{self.uri}'; `piecehub "
                "models` lists what does, and --workdir or --store names another place."
            )
        return manifest

    def usable(self, handle: Handle) -> Manifest:
        """The manifest of a version that may be used; raises StoreError if there is none, or it is quarantined."""
        manifest = self.manifest(handle)
        if refusal := self.state(handle.publisher, handle.name).refusal(handle.version):
            raise StoreError(f"Expected a version that may be used. Received: '{handle}', {refusal}")
        return manifest

    def models(self) -> list[Manifest]:
        """Every version that is neither yanked nor quarantined, the newest published first."""
        return [manifest for manifest, status in self.listing() if status is Status.PUBLISHED]

    def listing(self) -> list[tuple[Manifest, Status]]:
        """Every version with its status, the newest published first."""
        found: list[tuple[Manifest, Status]] = []
        for state in self.states():
            found += [(self.manifest(Handle.parse(f"{state.model}/{v}")), state.status(v)) for v in state.versions]
        return sorted(found, key=lambda row: (row[0].published_at, row[0].handle), reverse=True)

    def states(self) -> list[ModelState]:
        """The state of every model, sorted by name."""
        versions, numbers = _places(self.backend.list(layout.MODELS))
        return [self._state(model, versions[model], numbers.get(model, [])) for model in versions]

    def blob_path(self, digest: str) -> Path:
        """The file of a blob, in a store that lies in a folder; `blob_file` and `read_blob` are for every store.

        Raises:
            StoreError: if `digest` is none, the blob is missing, or the store lies in a bucket.
        """
        path = self.blob_target(digest)
        if not path.is_file():
            raise StoreError(f"Expected the blob {digest}. Received: none; the store is damaged, restore it.")
        return path

    @contextmanager
    def blob_file(self, digest: str) -> Generator[Path, None, None]:
        """A blob as a file to read; out of a bucket it is fetched, compared with its digest, and gone afterwards.

        Raises:
            StoreError: if the blob is missing or damaged.
        """
        if self.backend.local_path(layout.blob_key(digest)) is not None:
            yield self.blob_path(digest)
            return
        with self.backend.staging() as staging:
            path, sha256 = staging / "blob", hashlib.sha256()
            with path.open("wb") as file:
                for block in self.backend.stream(layout.blob_key(digest)):
                    sha256.update(block)
                    file.write(block)
            _check_blob(digest, sha256.hexdigest())
            yield path

    def read_blob(self, digest: str) -> bytes:
        """A small blob, compared with its digest; raises StoreError if it is missing or damaged."""
        data = self.backend.read(layout.blob_key(digest))
        if data is None:
            raise StoreError(f"Expected the blob {digest}. Received: none; the store is damaged, restore it.")
        _check_blob(digest, sha256_bytes(data))
        return data

    def blob_target(self, digest: str) -> Path:
        """Where a blob's file stands, or will, in a store that lies in a folder."""
        return self.root / layout.blob_key(digest)

    def manifest_path(self, handle: Handle) -> Path:
        """Where a version's manifest stands, or will, in a store that lies in a folder."""
        return self.root / layout.manifest_key(handle)

    def _survey(self, publisher: str, name: str) -> tuple[list[int], list[int]]:
        """The numbers of a model's versions and events, by one listing."""
        model = f"{publisher}/{name}"
        versions, numbers = _places(self.backend.list(layout.model_folder(publisher, name)))
        return versions.get(model, []), numbers.get(model, [])

    def _state(self, model: str, versions: list[int], numbers: list[int]) -> ModelState:
        return ModelState(model, tuple(versions), tuple(self._event(model, number) for number in numbers))

    def _event(self, model: str, number: int) -> Event:
        key = layout.event_key(model, number)
        event = Event.from_json(self.backend.read(key) or b"")
        if (event.model, event.number) != (model, number):
            raise StoreError(f"Expected event {number} of {model} at '{key}'. Received: another one; restore it.")
        return event


def read_manifest(data: bytes, handle: Handle) -> Manifest:
    """The manifest that the bytes are; raises StoreError, which names `handle`, unless they are as they were written.

    Whose manifest it is, is not looked at. A flipped letter in the name of the seal would make it an unsealed one: of
    those the spelling is compared.
    """
    try:
        manifest = Manifest.from_json(data)
    except StoreError as error:
        said = error.sentence.partition("Received: ")[2]
        raise StoreError(f"Expected the manifest of '{handle}' as it was written. Received: {said}") from error
    if not is_sealed(data.decode()) and manifest.unsealed_json().encode() != data:
        raise StoreError(
            f"Expected the manifest of '{handle}' as it was written. Received: one without its seal; restore it."
        )
    return manifest


def _places(entries: Iterable[Entry]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The numbers of versions and of events, by model, each sorted."""
    versions: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    for entry in entries:
        for found, place in ((versions, layout.manifest_place), (numbers, layout.event_place)):
            if (at := place(entry.key)) is not None:
                found.setdefault(at[0], []).append(at[1])
    return {m: sorted(v) for m, v in sorted(versions.items())}, {m: sorted(n) for m, n in numbers.items()}


def _check_blob(digest: str, found: str) -> None:
    if f"sha256:{found}" != digest:
        raise StoreError(f"Expected the bytes of {digest}. Received: others (sha256:{found}); run `store repair`.")


def _check_schema(data: bytes | None, uri: str) -> None:
    try:
        schema = json.loads(data or b"")["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"Expected the JSON of a store. Received: a damaged '{uri}/store.json'; restore it."
        ) from error
    if schema != layout.SCHEMA:
        raise StoreError(
            f"Expected a store of schema {layout.SCHEMA}. Received: schema {schema} in '{uri}'; use a newer piecehub."
        )


def open_store(place: str | PathLike[str] | None = None) -> Store:
    """The store at a folder or a uri (`s3://bucket/prefix`, `gs://…`, `az://…`); that in `.piecehub` if None.

    Nothing is made: a store that is not there yet is empty. Errors are those of `Store.open`.

    Example:
        >>> [str(manifest.handle) for manifest in piecehub.open_store("shop").models()]
        ['acme/features/1']
    """
    return Store.open(Workdir(Path(DEFAULT_NAME)).store if place is None else fspath(place))
