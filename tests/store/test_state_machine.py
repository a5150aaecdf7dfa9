"""Publishers, people, gc and readers in any order that Hypothesis thinks of, against a model of a dictionary.

A reader looks after every step, and between the steps of a publishing and of a gc that somebody else interrupts.
"""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from obstore.store import MemoryStore

from piecehub.errors import StoreError, VersionExists
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.store import archive, curate
from piecehub.store.catalog import Store
from piecehub.store.cloud import BucketBackend
from piecehub.store.fsck import check_store
from piecehub.store.gc import collect
from piecehub.store.listing import Listing, Sought
from piecehub.store.publish import publish

CONTENTS = st.integers(0, 3)
VERSIONS = st.integers(1, 6)
STEPS = st.integers(0, 25)
NOW = timedelta(0)
SAID = {"by": "anna", "why": "said so"}


class _Interrupted:
    """A backend before whose n-th call something else happens."""

    def __init__(self, inner: Any, left: int, other: Any) -> None:
        self._inner, self._left, self._other = inner, left, other

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                self._other()
            found = value(*arguments, **more)
            return list(found) if name == "list" else found

        return call if callable(value) else value


class Machine(RuleBasedStateMachine):
    """One model `acme/tiny`; `content` and the sets are what ought to hold."""

    def make_store(self, folder: Path) -> Store:
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.models: list[Path] = []
        for number in range(4):
            model = self.folder / f"model-{number}"
            (model / "variables").mkdir(parents=True)
            (model / "saved_model.pb").write_bytes(b"graph %d" % number)
            (model / "variables" / "data").write_bytes(b"weights %d" % number * 100)
            self.models.append(model)
        self.digests = [content_digest(list_files(model)) for model in self.models]
        self.store = self.make_store(self.folder / "store")
        self.content: dict[int, int] = {}
        self.yanked: set[int] = set()
        self.quarantined: set[int] = set()
        self.aliases: dict[str, int] = {}
        self.listing = Listing()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def newest(self) -> int:
        return max(self.content.keys() - self.yanked - self.quarantined, default=0)

    def _publish(self, store: Store, content: int, version: int | None) -> Any:
        blobs = {"a.json": b"[%d]" % content}
        return publish(store, self.models[content], "acme", "tiny", version=version, blobs=blobs, facts={})

    def _expect(self, content: int, version: int | None) -> int | type[StoreError]:
        """The version that a publishing should come to, or its error."""
        if content in {self.content[v] for v in self.quarantined}:
            return StoreError
        if version is not None:
            taken = self.content.get(version, content)
            return version if taken == content else VersionExists
        last = max(self.content, default=0)
        for standing in (self.newest, last):
            if standing and self.content[standing] == content:
                return standing
        return last + 1

    def _check_publish(self, store: Store, content: int, version: int | None) -> None:
        expected = self._expect(content, version)
        if isinstance(expected, int):
            published = self._publish(store, content, version)
            assert published.handle.version == expected and published.created == (expected not in self.content)
            self.content[expected] = content
        else:
            with pytest.raises(expected):
                self._publish(store, content, version)

    @rule(content=CONTENTS, version=st.none() | VERSIONS)
    def publishes(self, content: int, version: int | None) -> None:
        self._check_publish(self.store, content, version)

    @rule(content=CONTENTS, step=STEPS)
    def publishes_while_gc_runs(self, content: int, step: int) -> None:
        other = _Interrupted(
            self.store.backend, step, lambda: (collect(self.store, grace=NOW), self.readers_are_well())
        )
        self._check_publish(Store(other), content, None)

    @rule(content=CONTENTS, other_content=CONTENTS, step=STEPS)
    def two_publish_at_once(self, content: int, other_content: int, step: int) -> None:
        """The second one comes to its end within the first: whoever is last must see what the other did."""
        if StoreError in (self._expect(content, None), self._expect(other_content, None)):
            return
        before = max(self.content, default=0)
        done: list[Any] = []
        other = _Interrupted(
            self.store.backend, step, lambda: done.append(self._publish(self.store, other_content, None))
        )
        done.append(self._publish(Store(other), content, None))
        for published, wanted in zip(done, [other_content, content][-len(done) :], strict=True):
            number = published.handle.version
            assert self.content.get(number, wanted) == wanted
            self.content[number] = wanted
        taken = sorted(number for number in self.content if number > before)
        assert taken == list(range(before + 1, before + 1 + len(taken)))

    @rule(content=CONTENTS, step=STEPS)
    def gc_runs_while_somebody_publishes(self, content: int, step: int) -> None:
        done: list[bool] = []

        def other() -> None:
            self._check_publish(self.store, content, None)
            done.append(True)

        collect(Store(_Interrupted(self.store.backend, step, other)), grace=NOW)

    @rule()
    def gc_runs(self) -> None:
        collect(self.store, grace=NOW)
        assert check_store(self.store, grace=NOW).findings == ()

    @precondition(lambda self: self.content)
    @rule(data=st.data(), quarantines=st.booleans(), takes_back=st.booleans())
    def somebody_withdraws(self, data: st.DataObject, quarantines: bool, takes_back: bool) -> None:
        version = data.draw(st.sampled_from(sorted(self.content)))
        held = self.quarantined if quarantines else self.yanked
        say = {
            (False, False): curate.yank,
            (False, True): curate.unyank,
            (True, False): curate.quarantine,
            (True, True): curate.release,
        }[quarantines, takes_back]
        event = say(self.store, Handle("acme", "tiny", version), **SAID)
        assert (event is not None) == ((version in held) == takes_back)
        (held.discard if takes_back else held.add)(version)

    @precondition(lambda self: self.content)
    @rule(data=st.data(), alias=st.sampled_from(["candidate", "champion"]))
    def somebody_promotes(self, data: st.DataObject, alias: str) -> None:
        version = data.draw(st.sampled_from(sorted(self.content)))
        handle = Handle("acme", "tiny", version)
        if version in self.yanked | self.quarantined:
            with pytest.raises(StoreError):
                curate.set_alias(self.store, handle, alias, **SAID)
        else:
            curate.set_alias(self.store, handle, alias, **SAID, instead_of=self.aliases.get(alias, 0))
            self.aliases[alias] = version

    @invariant()
    def what_holds_is_what_was_said(self) -> None:
        state = self.store.state("acme", "tiny")
        assert list(state.versions) == sorted(self.content)
        assert state.newest == self.newest and state.aliases == self.aliases
        for version in self.content:
            expected = (
                "quarantined" if version in self.quarantined else "yanked" if version in self.yanked else "published"
            )
            assert state.status(version) == expected
        newest = self.store.newest("acme", "tiny")
        assert (newest.handle.version if newest else 0) == self.newest

    @invariant()
    def lists_tell_what_holds(self) -> None:
        found = self.listing.sought(self.store, Sought(show="all"))
        assert {row.version: str(row.status) for row in found.rows} == {
            version: str(self.store.state("acme", "tiny").status(version)) for version in self.content
        }
        aliases = {alias: row.version for row in found.rows for alias in row.aliases}
        assert (
            aliases == self.aliases
            and [row.version for row in found.rows if row.is_newest] == [self.newest][: bool(self.newest)]
        )
        assert not self.content or found.from_log == ""

    @invariant()
    def readers_are_well(self) -> None:
        for manifest, _ in self.store.listing():
            if manifest.handle.version in self.content:
                assert manifest.digest == self.digests[self.content[manifest.handle.version]]
            with self.store.blob_file(manifest.archive.digest) as path:
                archive.verify(path, manifest.files)
            for blob in manifest.blobs:
                assert len(self.store.read_blob(blob.digest)) == blob.size_bytes


class FolderMachine(Machine):
    def make_store(self, folder: Path) -> Store:
        return Store.create(folder)


class BucketMachine(Machine):
    def make_store(self, folder: Path) -> Store:
        memory = MemoryStore()
        return Store(BucketBackend(f"memory://{folder.name}", memory, memory)).made()


_SETTINGS = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestFolder = FolderMachine.TestCase
TestFolder.settings = _SETTINGS
TestBucket = BucketMachine.TestCase
TestBucket.settings = _SETTINGS
