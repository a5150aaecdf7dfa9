"""The index of a store and the lists that read it: always what the log says, or what says that it is not."""

import gzip
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.handle import Handle
from piecehub.store import curate, index, layout
from piecehub.store.catalog import Store
from piecehub.store.fsck import Kind, check_store
from piecehub.store.index import reindex
from piecehub.store.listing import Listing, Sought
from piecehub.store.publish import publish
from tests.sqlite_plans import statements, that_scan

SAID = {"by": "anna", "why": "said so"}
EVIDENCE = {"evidence/digits-5-9/evidence.json": b"{}", "model.sig": b"signature"}
CONTRAST = {"candidate": "fine_tuning", "reference": "from_scratch", "estimate": 0.022, "low": 0.002, "high": 0.041}


def _publish(store, make_model, text, name="tiny", publisher="acme", **more):
    more = {"blobs": {}, "facts": {}, **more}
    return publish(store, make_model(text), publisher, name, **more).handle


def _told(found):
    return [(str(row.handle), str(row.status), row.aliases) for row in found.rows]


def _by_log(store):
    states = {state.model: state for state in store.states()}
    return [
        (str(m.handle), str(s), states[f"{m.handle.publisher}/{m.handle.name}"].aliases_of(m.handle.version))
        for m, s in store.listing()
    ]


def _all(store, listing=None, **more):
    return (listing or Listing()).sought(store, Sought(show="all"), **more)


def _index_of(store):
    return sorted(entry.key for entry in store.backend.list(layout.INDEX))


def test_a_list_follows_everything_that_is_said(anywhere, make_model):
    warm = Listing()
    for number in range(3):
        _publish(anywhere, make_model, f"tiny {number}")
    other = _publish(anywhere, make_model, "other", "deep/er")
    one, two, three = (Handle("acme", "tiny", number) for number in (1, 2, 3))
    for say in (
        lambda: curate.set_alias(anywhere, two, "champion", **SAID),
        lambda: curate.yank(anywhere, one, **SAID),
        lambda: curate.quarantine(anywhere, three, **SAID),
        lambda: curate.set_alias(anywhere, other, "candidate", **SAID),
        lambda: curate.release(anywhere, three, **SAID),
        lambda: curate.unyank(anywhere, one, **SAID),
        lambda: curate.drop_alias(anywhere, "acme", "tiny", "champion", **SAID),
    ):
        say()
        found = _all(anywhere, warm)
        assert found.from_log == "" and _told(found) == _told(_all(anywhere)) == _by_log(anywhere)


def test_filters_pages_and_what_a_row_shows(store, make_model):
    facts = {"fine_tunable": True, "verdict": {"contrasts": [{"reference": "x"}, {**CONTRAST, "task": "digits-5-9"}]}}
    first = _publish(store, make_model, "a", "Tiny".lower(), blobs=EVIDENCE, facts=facts)
    second = _publish(store, make_model, "b")
    other = _publish(store, make_model, "c", "vision/deep", "zeta")
    curate.yank(store, first, **SAID)
    curate.set_alias(store, second, "champion", **SAID)
    listing = Listing()

    def found(**sought):
        return [str(row.handle) for row in listing.sought(store, Sought(**sought)).rows]

    assert found() == [str(other), str(second)] and found(show="all") == [str(other), str(second), str(first)]
    assert found(show="yanked") == [str(first)] and found(show="champion") == [str(second)]
    assert found(show="quarantined") == found(show="candidate") == []
    assert found(publisher="zeta") == [str(other)] and found(task="digits-5-9", show="all") == [str(first)]
    assert found(q="ZETA deep") == [str(other)] and found(q="deep tiny") == [] and found(q="%") == found(q="_") == []
    assert found(q="digits", show="all") == [str(first)]
    row = listing.sought(store, Sought(show="yanked")).rows[0]
    assert (row.tasks, row.signed, row.fine_tunable, row.numbers, row.withdrawn) == (
        ("digits-5-9",),
        True,
        True,
        2,
        {"yanked": 1},
    )
    assert row.gain == {"task": "digits-5-9", "estimate": 0.022, "low": 0.002, "high": 0.041}
    listed = _all(store, listing, limit=2)
    assert (listed.total, listed.newer, listed.older) == (3, None, str(second))
    assert (listed.publishers, listed.tasks) == (("acme", "zeta"), ("digits-5-9",))
    rest = _all(store, listing, before=listed.older)
    assert [str(row.handle) for row in rest.rows] == [str(first)] and rest.older is None
    back = _all(store, listing, after=rest.newer, limit=1)
    assert [str(row.handle) for row in back.rows] == [str(second)] and back.newer == str(second)
    hidden = _all(store, listing, hidden=["acme"])
    assert (_told(hidden), hidden.total, hidden.publishers) == (_by_log(store)[:1], 1, ("zeta",))
    with pytest.raises(RecipeError, match="Expected as show one of"):
        Sought(show="everything")
    for edge in ("acme/tiny/9", "x", "'", "acme/tiny/" + "9" * 5000):
        with pytest.raises(RecipeError, match="as the edge of a page"):
            _all(store, listing, before=edge)


@pytest.mark.parametrize(
    "facts",
    [
        {"verdict": None},
        {"verdict": {"contrasts": {}}},
        {"verdict": {"contrasts": [1, {**CONTRAST, "low": "x"}]}},
        {"fine_tunable": "yes"},
    ],
)
def test_facts_of_any_kind_can_be_listed(store, make_model, facts):
    _publish(store, make_model, "a", facts=facts)
    [row] = _all(store).rows
    assert row.gain is None and row.fine_tunable is False


def test_publishers_at_once_lose_nothing_and_folding_takes_nothing(anywhere, make_model, monkeypatch):
    monkeypatch.setattr(index, "FOLD_AT", 3)
    models = [make_model(f"content {number}") for number in range(12)]
    done = threading.Event()
    listing = Listing()

    def look():
        while not done.is_set():
            found = _all(anywhere, listing, limit=100)
            assert len({row.handle for row in found.rows}) == len(found.rows)

    def work(number):
        name = f"model-{number % 3}"
        handle = publish(anywhere, models[number], "acme", name, blobs={}, facts={}).handle
        if number % 4 == 0:
            curate.yank(anywhere, handle, **SAID)

    with ThreadPoolExecutor(8) as pool:
        watching = pool.submit(look)
        jobs = [pool.submit(work, number) for number in range(12)]
        [job.result() for job in jobs]
        done.set()
        watching.result()
    for reader in (listing, Listing()):
        found = _all(anywhere, reader, limit=100)
        assert found.from_log == "" and sorted(_told(found)) == sorted(_by_log(anywhere)) and found.total == 12
    assert sum(index.is_snapshot(key) for key in _index_of(anywhere)) >= 1
    assert len(_index_of(anywhere)) < 16


def _delete_all(store):
    for key in _index_of(store):
        store.backend.delete(key)


def _flip(store):
    for key in _index_of(store):
        data = bytearray(store.backend.read(key))
        data[len(data) // 2] ^= 4
        _put(store, key, bytes(data))


def _cut(store):
    for key in _index_of(store):
        _put(store, key, store.backend.read(key)[:-1])


def _another_schema(store):
    _delete_all(store)
    _put(store, "index/0/whatever", b"{}")


def _rightly_named_nonsense(store):
    _delete_all(store)
    data = gzip.compress(b'{"folded": []}\n{"model": 1}\n', mtime=0)
    _put(store, index._key("snapshot", data), data)


def _put(store, key, data):
    with store.backend.staging() as staging:
        (staging / "file").write_bytes(data)
        store.backend.put(key, staging / "file")


SPOILT = [_delete_all, _flip, _cut, _another_schema, _rightly_named_nonsense]


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("is_warm", [True, False])
def test_an_index_that_is_gone_damaged_or_old_is_told_and_mended(store, make_model, spoil, is_warm):
    one = _publish(store, make_model, "a")
    curate.yank(store, one, **SAID)
    listing = Listing()
    if is_warm:
        _all(store, listing)
    spoil(store)
    found = _all(store, listing)
    assert _told(found) == _by_log(store)
    assert (found.from_log != "") or is_warm
    assert store.newest("acme", "tiny") is None and str(store.status(one)) == "yanked"
    assert reindex(store) == 1
    assert all(key.startswith(layout.INDEX_NOW) for key in _index_of(store)) and len(_index_of(store)) == 1
    for reader in (listing, Listing()):
        found = _all(store, reader)
        assert (found.from_log, _told(found)) == ("", _by_log(store))


@pytest.mark.parametrize("spoil", [_delete_all, _flip, _cut, _another_schema])
def test_the_next_publish_mends_the_index(store, make_model, spoil):
    _publish(store, make_model, "a")
    _publish(store, make_model, "b", "other")
    spoil(store)
    _publish(store, make_model, "c", "third")
    found = _all(store)
    assert (found.from_log, _told(found)) == ("", _by_log(store)) and found.total == 3


def test_what_a_killed_publisher_left_out_is_found_by_the_next_one(store, make_model, monkeypatch):
    _publish(store, make_model, "a")
    with monkeypatch.context() as killed:
        killed.setattr("piecehub.store.index.note", lambda *_: None)
        two = _publish(store, make_model, "b")
        curate.quarantine(store, two, **SAID)
    assert _all(store).total == 1
    _publish(store, make_model, "c")
    assert _told(_all(store)) == _by_log(store) and _all(store).total == 3


def test_what_was_removed_by_hand_is_gone_after_a_reindex(store, make_model):
    _publish(store, make_model, "a")
    two = _publish(store, make_model, "b")
    listing = Listing()
    assert _all(store, listing).total == 2
    store.manifest_path(two).unlink()
    reindex(store)
    assert _all(store, listing).total == _all(store).total == 1


class _Refusing:
    """A backend that does nothing below `index/`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        def call(key: Any = "", *more: Any) -> Any:
            if str(key).startswith(layout.INDEX):
                raise EnvironmentProblem("Expected to reach it. Received: no.")
            return getattr(self._inner, name)(key, *more) if key != "" else getattr(self._inner, name)()

        return getattr(self._inner, name) if name == "uri" else call


def test_nobody_fails_because_of_the_index(store, make_model, caplog):
    Store.create(store.root)
    refusing = Store(_Refusing(store.backend))
    one = _publish(refusing, make_model, "a")
    assert curate.yank(refusing, one, **SAID) is not None
    assert str(store.status(one)) == "yanked" and _index_of(store) == []
    assert "store reindex" in caplog.text


class _Counting:
    """A backend that counts what it is asked."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.calls = inner, []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._inner, name)


def test_a_list_asks_once_and_opens_no_manifest(anywhere, make_model):
    for number in range(4):
        _publish(anywhere, make_model, f"m {number}", f"model-{number}")
    counting = _Counting(anywhere.backend)
    listing, store = Listing(), Store(counting)
    _all(store, listing)
    counting.calls.clear()
    for sought in (Sought(), Sought(q="model-2"), Sought(show="yanked")):
        listing.sought(store, sought)
    assert [call for call in counting.calls if call != "uri"] == ["list"] * 3


def test_what_was_read_is_kept_for_the_next_server_and_told_apart_by_store(store, make_model, tmp_path):
    _publish(store, make_model, "a")
    kept = tmp_path / "kept"
    kept.mkdir()
    assert _all(store, Listing(kept)).total == 1
    counting = _Counting(store.backend)
    assert _all(Store(counting), Listing(kept)).total == 1
    assert [call for call in counting.calls if call != "uri"] == ["list"]
    other = Store.create(tmp_path / "other")
    assert _all(other, Listing(kept)).total == 0
    [database] = [path for path in kept.iterdir() if store.uri and path.stat().st_size][:1]
    database.write_bytes(b"no database" * 1000)
    for _ in range(2):
        assert [_all(s, Listing(kept)).total for s in (store, other)] == [1, 0]


def test_fsck_names_a_damaged_index_and_calls_it_no_damage(store, make_model):
    _publish(store, make_model, "a")
    assert check_store(store).findings == ()
    _flip(store)
    checked = check_store(store)
    assert [finding.kind for finding in checked.findings] == [Kind.INDEX] and checked.damage == []
    reindex(store)
    assert check_store(store).findings == ()


def test_equal_stores_have_equal_snapshots(store, make_model):
    _publish(store, make_model, "a")
    _publish(store, make_model, "b")
    reindex(store)
    first = _index_of(store)
    reindex(store)
    assert _index_of(store) == first


def test_the_command_makes_the_index_anew(store, make_model):
    _publish(store, make_model, "a")
    _delete_all(store)
    command = [sys.executable, "-m", "piecehub.cli", "store", "reindex", "--store", str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "") and done.stderr == f"indexed 1 version in {store.root}\n"
    [key] = _index_of(store)
    lines = gzip.decompress(store.backend.read(key)).splitlines()
    assert json.loads(lines[0]) == {"folded": []} and json.loads(lines[1])["model"] == "acme/tiny"


def test_what_is_asked_of_one_model_takes_no_longer_where_there_are_many(store, make_model, tmp_path):
    listing = Listing(tmp_path)
    first = _publish(store, make_model, "a", blobs=EVIDENCE)
    _all(store, listing)
    curate.set_alias(store, first, "champion", **SAID)
    with statements() as asked:
        _all(store, listing)
    [database] = tmp_path.glob("catalog-*.sqlite")
    of_one = [one for one in asked if "'acme/tiny'" in one]
    assert {one.split()[0] for one in of_one} >= {"DELETE", "SELECT"} and that_scan(database, of_one) == []
