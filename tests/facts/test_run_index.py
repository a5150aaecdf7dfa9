"""The index of runs: what it lists, and that it is right whatever became of its file."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from piecehub.errors import RecipeError
from piecehub.facts import heartbeat, run_index, runs
from piecehub.facts.run_index import Wanted, list_runs
from piecehub.facts.run_rows import row_of
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.facts.workdir import Workdir
from tests.sqlite_plans import statements, that_scan

PUSHER = Node("HubPusher", ("A",), {"publisher": "acme", "name": "digits"})


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(tmp_path / "work")


def _write(workdir, number, pipeline="digits", end="done", published=None, day=24, publisher="acme"):
    run = f"202611{day:02}-014400-{number:03}"
    nodes = (Node("A"), Node("HubPusher", ("A",), {"publisher": publisher}))
    started = f"2026-11-{day:02}T01:44:00.000+00:00"
    runs.write_run(workdir, Run(run, pipeline, f"recipes/{pipeline}", started, os.getpid(), nodes))
    results = () if published is None else (Result(pipeline, published, f"{publisher}/{pipeline}/1" * published),)
    if end:
        at = f"2026-11-{day:02}T01:45:00.000+00:00"
        runs.append_event(workdir, run, Event(at, "", end, results=results))
    return run


def _all(workdir, **more):
    return [row.run for row in list_runs(workdir, Wanted(**more), limit=200).rows]


def _by_folders(workdir):
    """What a list shows that reads every folder."""
    read = [(runs.read_run(workdir, run), runs.read_events(workdir, run)) for run in runs.run_ids(workdir)]
    return [row_of(run, events, 0) for run, events in read if run]


def test_a_list_is_what_reading_every_folder_gives(workdir):
    for number in range(12):
        _write(
            workdir, number, end=("done", "failed", "stopped")[number % 3], published=(True, False, None)[number % 3]
        )
    assert list(list_runs(workdir).rows) == _by_folders(workdir)


def test_filters_take_what_they_name_and_nothing_else(workdir):
    published = _write(workdir, 1, "digits", published=True)
    refused = _write(workdir, 2, "flowers", published=False, publisher="other")
    failed = _write(workdir, 3, "digits", end="failed", day=25)
    going_on = _write(workdir, 4, "digits", end="", day=26)
    killed = _write(workdir, 5, "flowers", end="", day=26)
    _kill(workdir, killed)
    assert _all(workdir, recipe="digits") == _all(workdir, recipe="recipes/digits") == [going_on, failed, published]
    assert _all(workdir, state="done") == [refused, published]
    assert _all(workdir, state="running") == [going_on] and _all(workdir, state="stopped") == [killed]
    assert _all(workdir, state="failed") == [failed]
    assert _all(workdir, outcome="published") == [published] and _all(workdir, outcome="not published") == [refused]
    assert _all(workdir, since="2026-11-25") == [killed, going_on, failed]
    assert _all(workdir, since="2026-11-24T01:44:00+00:00", recipe="flowers") == [killed, refused]
    assert _all(workdir, publisher="other") == [refused]
    assert _all(workdir, publisher="acme", state="done") == [published] and _all(workdir, publisher="ac") == []
    found = list_runs(workdir)
    assert (found.recipes, found.publishers) == (("digits", "flowers"), ("acme", "other"))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ({"state": "cached"}, "Expected as state one of running, done, failed, stopped. Received: 'cached'."),
        ({"outcome": "yes"}, "Expected as outcome one of published, not published. Received: 'yes'."),
        ({"since": "yesterday"}, "Expected since when as a day .* Received: 'yesterday'."),
        ({"since": "99999-01-01"}, "Received: '99999-01-01'."),
    ],
)
def test_a_filter_that_can_match_nothing_is_one_sentence(what, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Wanted(**what)


def test_since_may_be_counted_back_from_now(workdir):
    for run, started in (("1", "2001-01-01T00:00:00+00:00"), ("2", runs.now())):
        runs.write_run(workdir, Run(run, "digits", "r", started, 1, ()))
    assert _all(workdir, since="7d") == _all(workdir, since="12h") == ["2"] and _all(workdir, since="99999d") == [
        "2",
        "1",
    ]


def test_pages_hold_every_run_once_in_both_directions(workdir):
    ids = [_write(workdir, number, ("a", "b")[number % 2]) for number in range(25)][::-1]
    for wanted, expected in ((Wanted(), ids), (Wanted(recipe="a"), ids[::2])):
        pages, before = [], ""
        while True:
            found = list_runs(workdir, wanted, before=before, limit=4)
            pages.append([row.run for row in found.rows])
            assert found.total == len(expected)
            if found.older is None:
                break
            before = found.older
        assert [run for page in pages for run in page] == expected
        back = list_runs(workdir, wanted, after=found.newer, limit=4)
        assert [row.run for row in back.rows] == pages[-2] and back.older == pages[-2][-1]
        assert list_runs(workdir, wanted, limit=4).newer is None


def test_a_run_is_listed_as_it_is_by_now(workdir):
    run = _write(workdir, 1, end="")
    assert list_runs(workdir).rows[0].counts == {"waiting": 2}
    runs.append_event(workdir, run, Event(runs.now(), "A", "running"))
    assert list_runs(workdir).rows[0].counts == {"running": 1, "waiting": 1}
    runs.append_event(workdir, run, Event(runs.now(), "", "failed", message="No disk."))
    [row] = list_runs(workdir).rows
    assert (row.state, row.message) == ("failed", "No disk.")


def test_what_another_program_wrote_or_removed_is_seen(workdir, monkeypatch):
    kept, gone = _write(workdir, 1), _write(workdir, 2)
    assert _all(workdir) == [gone, kept]
    monkeypatch.setattr(run_index, "note", lambda *_: None)  # an older piecehub, or a copy of files
    shutil.rmtree(workdir.runs / gone)
    new = _write(workdir, 3, end="")
    assert _all(workdir) == [new, kept]
    runs.append_event(workdir, new, Event(runs.now(), "", "done"))
    assert _all(workdir, state="done") == [new, kept]


def test_a_folder_that_did_not_change_is_not_read_again(workdir, monkeypatch):
    _write(workdir, 1)
    os.utime(workdir.runs, (1, 1))
    assert len(_all(workdir)) == 1
    monkeypatch.setattr(run_index.os, "scandir", lambda _: pytest.fail("the folder was read"))
    monkeypatch.setattr(runs, "read_run", lambda *_: pytest.fail("a run was read"))
    assert len(_all(workdir)) == 1


def _delete(path):
    path.unlink()


def _cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def _garble(path):
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000)


def _no_database(path):
    path.write_bytes(b"no database at all" * 100)


def _older(path):
    path.unlink()
    with sqlite3.connect(path) as index:
        index.execute("CREATE TABLE runs (run TEXT)")
        index.execute("PRAGMA user_version=99")


def _other_tables(path):
    path.unlink()
    with sqlite3.connect(path) as index:
        index.execute("CREATE TABLE runs (run TEXT)")
        index.execute("PRAGMA user_version=1")


@pytest.mark.parametrize("spoil", [_delete, _cut, _garble, _no_database, _older, _other_tables])
def test_an_index_that_is_gone_damaged_or_of_another_schema_is_made_anew(workdir, spoil):
    ids = [_write(workdir, number) for number in range(40)][::-1]
    assert _all(workdir) == ids
    with sqlite3.connect(workdir.run_index) as index:
        index.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("-wal", "-shm"):
        Path(f"{workdir.run_index}{ending}").unlink(missing_ok=True)
    spoil(workdir.run_index)
    assert _all(workdir) == ids
    more = _write(workdir, 99)
    with sqlite3.connect(workdir.run_index) as index:
        assert index.execute("SELECT count(*) FROM runs").fetchone() == (41,)
    assert _all(workdir) == [more, *ids]


def test_a_run_goes_on_where_its_index_cannot_be_written(workdir):
    workdir.run_index.mkdir()
    run = _write(workdir, 1)
    assert _all(workdir) == [run]


def test_to_look_at_a_folder_that_is_not_there_makes_none(tmp_path):
    assert list_runs(Workdir(tmp_path / "none")).rows == () and not (tmp_path / "none").exists()


def test_what_takes_longer_than_there_is_time_for_is_told(workdir, monkeypatch):
    for number in range(3):
        _write(workdir, number)
    run_index.clear(workdir)
    monkeypatch.setattr(run_index, "_BATCH", 1)
    assert (list_runs(workdir, at_most_s=0).unread, list_runs(workdir, at_most_s=0).rows) == (3, ())
    found = list_runs(workdir)
    assert (found.unread, len(found.rows)) == (0, 3)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"run": 1}',
        '{"started_at": "x"}',
        '{"recipe": ["\\ud800"]}',
        '{"nodes": [1]}',
        '{"run": "../x"}',
    ],
)
def test_a_damaged_run_hides_no_other_and_is_listed_once_it_is_mended(workdir, text):
    other, damaged = _write(workdir, 1), _write(workdir, 2)
    path = workdir.runs / damaged / "run.json"
    whole = json.loads(path.read_text())
    value = json.loads(text) if text != "{" else None
    path.write_text(json.dumps(whole | value) if isinstance(value, dict) else text)
    run_index.clear(workdir)
    found = _all(workdir)
    assert other in found and set(found) <= {other, damaged}
    path.write_text(json.dumps(whole))
    os.utime(path, (1, 1))
    run_index.note(workdir, damaged)
    assert _all(workdir) == [damaged, other]


def test_several_write_and_list_at_once(workdir):
    program = """
import sys
import time
from pathlib import Path
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
workdir = Workdir(Path(sys.argv[1]))
for n in range(30):
    run = f"2026-{sys.argv[2]}-{n:02}"
    runs.write_run(workdir, runs.Run(run, "p", "r", runs.now(), 1, ()))
    runs.append_event(workdir, run, runs.Event(runs.now(), "", "done"))
"""
    started = [subprocess.Popen([sys.executable, "-c", program, str(workdir.root), str(writer)]) for writer in range(3)]

    def look():
        while any(process.poll() is None for process in started):
            list_runs(workdir)

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(look)
        assert [process.wait() for process in started] == [0, 0, 0]
        watching.result()
    assert len(_all(workdir)) == 90 and {row.state for row in list_runs(workdir).rows} == {"done"}


def _kill(workdir, run):
    """It gave its last sign of life two minutes after it began."""
    at = runs.parse_time(runs.read_run(workdir, run).started_at).timestamp() + 120
    for path in (workdir.runs / run / "run.json", *(workdir.logs / run).glob("*")):
        os.utime(path, (at, at))


def test_a_run_that_was_taken_for_dead_goes_on_if_it_gives_a_sign_of_life(workdir):
    run = _write(workdir, 1, end="")
    _kill(workdir, run)
    [row] = list_runs(workdir).rows
    assert (row.state, row.seconds) == ("stopped", 120.0)
    with heartbeat.beating(workdir, run):
        while not (workdir.logs / run / "heartbeat").exists():
            time.sleep(0.01)
        assert [row.state for row in list_runs(workdir).rows] == ["running"]
    _kill(workdir, run)
    assert [row.state for row in list_runs(workdir).rows] == ["stopped"]


def test_e3_a_process_of_the_same_id_is_no_sign_of_life(workdir):
    run = _write(workdir, 1, end="")  # of this very process, which lives
    _kill(workdir, run)
    assert [(row.state, row.seconds) for row in list_runs(workdir).rows] == [("stopped", 120.0)]


def test_the_runs_that_say_that_they_made_a_version_come_in_their_order(workdir):
    first, second = _write(workdir, 1, published=True), _write(workdir, 2, published=True)
    other = _write(workdir, 3, "flowers", published=True)
    assert run_index.makers_of(workdir, "acme/digits/1") == [first, second]
    assert run_index.makers_of(workdir, "acme/flowers/1") == [other]
    assert run_index.makers_of(workdir, "acme/digits/2") == [] and second in _all(workdir)
    shutil.rmtree(workdir.runs / first)
    assert run_index.makers_of(workdir, "acme/digits/1") == [second]


def test_to_note_a_run_takes_no_longer_where_there_are_many(workdir):
    run = _write(workdir, 1, published=True)
    with statements() as asked:
        run_index.note(workdir, run)
        run_index.makers_of(workdir, "acme/digits/1")
    of_one = [one for one in asked if f"'{run}'" in one or "'acme/digits/1'" in one]
    assert {one.split()[0] for one in of_one} >= {"DELETE", "SELECT"} and that_scan(workdir.run_index, of_one) == []
