"""Publishing: idempotent, immutable, one winner, and whole after any crash."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from piecehub.errors import (
    ArchiveError,
    EnvironmentProblem,
    NoSpace,
    PiecehubError,
    RecipeError,
    StaleIncumbent,
    StoreError,
    VersionExists,
)
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import MAX_VERSION, Handle
from piecehub.store import archive
from piecehub.store.catalog import Store
from piecehub.store.publish import Published, publish
from tests.full_disk import full

NOTHING: dict[str, Any] = {"blobs": {}, "facts": {}}


def _publish(store: Store, model, version: int | None = None, **more) -> Published:
    return publish(store, model, "acme", "vision/tiny", version=version, **(NOTHING | more))


def _together(jobs: list[Callable[[], Published]]) -> list[Any]:
    """Runs the jobs at the same time."""
    results: list[Any] = []
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], Published]) -> None:
        start.wait()
        try:
            results.append(job())
        except PiecehubError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _files(store: Store) -> list[str]:
    return sorted(p.relative_to(store.root).as_posix() for p in store.root.rglob("*") if p.is_file())


def test_a_version_holds_what_was_published(store, make_model, tmp_path):
    model = make_model()
    (tmp_path / "page.md").write_text("# Tiny")
    facts = {"fine_tunable": True, "evidence": {"gain": 0.25}}
    blobs = {"documentation.md": tmp_path / "page.md", "evidence.json": b"{}"}
    published = _publish(store, model, blobs=blobs, facts=facts)
    assert published == Published(Handle("acme", "vision/tiny", 1), content_digest(list_files(model)), True)
    manifest = store.manifest(published.handle)
    assert manifest.facts == facts and manifest.digest == published.digest
    assert manifest.files == tuple(list_files(model))
    for title, content in {"documentation.md": b"# Tiny", "evidence.json": b"{}"}.items():
        assert store.blob_path(manifest.blob(title).digest).read_bytes() == content
    archive.unpack(store.blob_path(manifest.archive.digest), tmp_path / "back")
    assert list_files(tmp_path / "back") == list_files(model)
    assert list((store.root / "tmp").iterdir()) == []


def test_publishing_again_changes_nothing(store, make_model):
    first = _publish(store, make_model())
    before = _files(store)
    assert _publish(store, make_model("weights", "copy")) == Published(first.handle, first.digest, False)
    assert _files(store) == before


def test_a_version_is_immutable(store, make_model):
    _publish(store, make_model("a"), 3)
    assert not _publish(store, make_model("a"), 3).created
    before = _files(store)
    with pytest.raises(VersionExists, match="acme/vision/tiny/3"):
        _publish(store, make_model("b"), 3)
    assert _files(store) == before
    assert _publish(store, make_model("b")).handle.version == 4


def test_an_explicit_version_is_taken_even_for_known_content(store, make_model):
    _publish(store, make_model("a"))
    assert _publish(store, make_model("a"), 7) == Published(
        Handle("acme", "vision/tiny", 7), store.newest("acme", "vision/tiny").digest, True
    )
    assert store.versions("acme", "vision/tiny") == [1, 7]


def test_older_content_becomes_a_new_version(store, make_model):
    for text in ("a", "b", "a"):
        _publish(store, make_model(text))
    assert store.versions("acme", "vision/tiny") == [1, 2, 3]


def test_racing_publishers_get_each_number_once(store, make_model):
    models = [make_model(f"content {n}") for n in range(8)]
    results = _together([lambda m=m: _publish(store, m) for m in models])
    assert sorted(r.handle.version for r in results) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert store.versions("acme", "vision/tiny") == [1, 2, 3, 4, 5, 6, 7, 8]
    for result, manifest in zip(results, map(store.manifest, (r.handle for r in results)), strict=True):
        assert manifest.digest == result.digest
        archive.verify(store.blob_path(manifest.archive.digest), manifest.files)


def test_racing_publishers_of_one_content_make_one_version(store, make_model):
    model = make_model()
    results = _together([lambda: _publish(store, model)] * 8)
    assert sorted(r.created for r in results) == [False] * 7 + [True]
    assert store.versions("acme", "vision/tiny") == [1]


def test_one_of_racing_contents_wins_an_explicit_version(store, make_model):
    models = [make_model(f"content {n}") for n in range(8)]
    results = _together([lambda m=m: _publish(store, m, 1) for m in models])
    won = [r for r in results if isinstance(r, Published)]
    assert len(won) == 1 and won[0].created
    assert sum(isinstance(r, VersionExists) for r in results) == 7
    assert store.newest("acme", "vision/tiny").digest == won[0].digest


def test_a_candidate_judged_against_an_older_version_is_refused(store, make_model):
    assert _publish(store, make_model("a"), judged_against=None).created
    for none in (None, 0):
        with pytest.raises(StaleIncumbent, match=r"version 0 of .* Received: 1"):
            _publish(store, make_model("b"), judged_against=none)
    assert _publish(store, make_model("a"), judged_against=None).created is False
    assert _publish(store, make_model("b"), judged_against=1).handle.version == 2
    with pytest.raises(StaleIncumbent):
        _publish(store, make_model("c"), 9, judged_against=1)
    assert store.versions("acme", "vision/tiny") == [1, 2]


def test_of_racing_candidates_judged_alike_one_is_published(store, make_model):
    models = [make_model(f"content {n}") for n in range(6)]
    results = _together([lambda m=m: _publish(store, m, judged_against=None) for m in models])
    assert sorted(type(r).__name__ for r in results) == ["Published"] + ["StaleIncumbent"] * 5


def test_what_cannot_be_published_makes_no_store(store, make_model, tmp_path):
    (tmp_path / "empty").mkdir()
    for publisher, name, version in [("api", "a", None), ("acme", "../a", None), ("acme", "a/1", None), ("a", "a", 0)]:
        with pytest.raises(RecipeError):
            publish(store, make_model(), publisher, name, version=version, **NOTHING)
    assert not store.root.exists()
    with pytest.raises(ArchiveError):
        publish(store, tmp_path / "empty", "acme", "a", **NOTHING)
    with pytest.raises(StoreError, match="is the archive's"):
        _publish(store, make_model(), blobs={"model.tar.gz": b""})
    assert store.models() == [] and list((store.root / "tmp").iterdir()) == []


def test_names_that_differ_only_in_case_are_refused(store, make_model):
    model = make_model()
    (model / "assets" / "Vocabulary.txt").write_bytes(b"")
    if len(list((model / "assets").iterdir())) == 2:
        with pytest.raises(ArchiveError, match="in any case"):
            _publish(store, model)
        assert store.models() == []


@pytest.mark.parametrize("place", ["file/store", "/proc/piecehub-store"])
def test_a_store_that_cannot_be_written_is_one_sentence(place, make_model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = Store.open(tmp_path / place)
    with pytest.raises(EnvironmentProblem, match="Expected a folder that can be written"):
        _publish(store, make_model())
    assert store.models() == []


CRASH = """
import os, sys
from pathlib import Path
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
name, left = sys.argv[3], int(sys.argv[4])
real = getattr(os, name)
def die(*arguments):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return real(*arguments)
setattr(os, name, die)
publish(Store.open(Path(sys.argv[1])), Path(sys.argv[2]), "acme", "vision/tiny", blobs={"a.json": b"{}"}, facts={})
os._exit(0)
"""


# Links: two of the probe, store.json, the twins of two blobs, and the commit. Renames: two blobs.
@pytest.mark.parametrize(("call", "number"), [*(("link", n) for n in range(6)), ("replace", 0), ("replace", 1)])
def test_a_crash_before_the_link_shows_nothing_and_a_retry_publishes(call, number, store, make_model):
    model = make_model()
    command = [sys.executable, "-P", "-c", CRASH, str(store.root), str(model), call, str(number)]
    assert subprocess.run(command, check=False).returncode == 9
    assert store.models() == [] and store.versions("acme", "vision/tiny") == []
    assert _publish(store, model).created
    manifest = store.newest("acme", "vision/tiny")
    assert manifest.handle.version == 1
    archive.verify(store.blob_path(manifest.archive.digest), manifest.files)


# Forks, because a new interpreter for each sync takes long; in a process of its own, because threads and forks bite.
CRASH_AT_EACH_SYNC = """
import os, sys
from pathlib import Path
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
real = os.fsync
for number in range(60):
    left = number
    def die(descriptor):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        real(descriptor)
    child = os.fork()
    if child == 0:
        os.fsync = die
        store = Store.open(Path(sys.argv[1], str(number)))
        publish(store, Path(sys.argv[2]), "acme", "vision/tiny", blobs={}, facts={})
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


def test_a_crash_at_any_sync_leaves_nothing_or_a_whole_version(store, make_model):
    model, states = make_model(), []
    subprocess.run([sys.executable, "-P", "-c", CRASH_AT_EACH_SYNC, str(store.root), str(model)], check=True)
    for root in sorted(store.root.iterdir(), key=lambda path: int(path.name)):
        crashed = Store.open(root)
        found = crashed.models()
        for manifest in found:
            archive.verify(crashed.blob_path(manifest.archive.digest), manifest.files)
        assert _publish(crashed, model).created is (not found)
        assert crashed.versions("acme", "vision/tiny") == [1]
        states.append(len(found))
    # The syncs before the commit; the one after it, those of the index, and the run that was not killed.
    assert states == sorted(states) and states.count(0) > 15 and states.count(1) >= 2


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from piecehub.errors import EnvironmentProblem
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    publish(Store.open(Path(sys.argv[1])), Path(sys.argv[2]), "acme", "vision/tiny", blobs={}, facts={})
except EnvironmentProblem as error:
    print(error.sentence)
"""


def test_a_disk_that_refuses_more_bytes_is_one_sentence(store, make_model):
    model = make_model()
    (model / "variables" / "noise").write_bytes(os.urandom(3_000_000))
    command = [sys.executable, "-P", "-c", DISK_FULL, str(store.root), str(model)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Expected a store that can be written" in result.stdout and result.stderr == ""
    assert store.models() == [] and list((store.root / "tmp").iterdir()) == []
    assert _publish(store, model).created


def test_what_killed_publishers_left_is_swept_after_a_day(store, make_model):
    _publish(store, make_model("a"))
    old, new = store.root / "tmp" / "old", store.root / "tmp" / "new"
    for folder, age_s in ((old, 25 * 3600), (new, 3600)):
        folder.mkdir()
        (folder / "model.tar.gz").write_bytes(b"half")
        os.utime(folder, (time.time() - age_s, time.time() - age_s))
    _publish(store, make_model("b"))
    assert not old.exists() and new.exists()


def test_a_damaged_blob_is_mended_by_publishing_its_bytes_again(store, make_model):
    digest = store.manifest(_publish(store, make_model()).handle).archive.digest
    whole = store.blob_path(digest).read_bytes()
    store.blob_path(digest).write_bytes(b"damaged")
    publish(store, make_model(), "acme", "other", **NOTHING)
    assert store.blob_path(digest).read_bytes() == whole


def test_a_model_that_changes_while_it_is_packed_is_not_published(store, make_model, monkeypatch):
    model = make_model()
    pack = archive.pack

    def changing(model_dir, destination, **more):
        (model_dir / "assets" / "vocabulary.txt").write_bytes(b"other")
        return pack(model_dir, destination, **more)

    monkeypatch.setattr(archive, "pack", changing)
    with pytest.raises(ArchiveError, match=r"another 'assets/vocabulary\.txt'"):
        _publish(store, model)
    assert store.models() == []


def test_a_number_that_can_never_be_taken_ends_in_one_sentence(store, make_model, monkeypatch):
    monkeypatch.setattr("piecehub.store.publish.MAX_RACES", 10)
    handle = _publish(store, make_model("a")).handle
    blocked = store.manifest_path(Handle("acme", "vision/tiny", handle.version + 1))
    blocked.parent.mkdir()
    blocked.symlink_to(blocked.parent / "nowhere")
    with pytest.raises(StoreError, match="Expected to win one of 10 races"):
        _publish(store, make_model("b"))


def test_two_blobs_of_one_content_leave_the_next_one_and_themselves_whole(store: Store, make_model) -> None:
    blobs = {"a.txt": b"the same", "b.txt": b"the same", "c.txt": b"another"}
    handle = publish(store, make_model(), "acme", "tiny", blobs=blobs, facts={}).handle
    manifest = store.manifest(handle)
    assert {title: store.read_blob(manifest.blob(title).digest) for title in blobs} == blobs


def test_b13_the_highest_version_is_found_again_and_a_higher_one_is_not_published(store, make_model):
    highest = _publish(store, make_model("one"), version=MAX_VERSION).handle
    assert store.versions("acme", "vision/tiny") == [MAX_VERSION] and store.find(highest)
    before = _files(store)
    for version in (1795947743282894000, None):  # None: the next one
        said = "published"
        try:
            _publish(store, make_model("two"), version=version)
        except RecipeError as error:
            said = error.sentence
        assert "a whole version from 1 to" in said
        assert _files(store) == before


@pytest.mark.parametrize("room", [0, 200])
def test_on_a_full_disk_nothing_is_published_and_the_next_call_publishes(store, make_model, room):
    model = make_model()
    with (
        full(store.root, room),
        pytest.raises(NoSpace, match=r"in '.*'\. Received: no space left on device; fr"),
    ):
        _publish(store, model)
    assert store.models() == [] and not list((store.root / "tmp").iterdir())
    assert str(_publish(store, model).handle) == "acme/vision/tiny/1"
