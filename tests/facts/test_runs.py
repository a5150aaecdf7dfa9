"""What a component at work says of itself."""

import json
from pathlib import Path

import pytest

from piecehub.facts import runs
from piecehub.facts.progress import Count, Progress
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.facts.workdir import Workdir
from tests.full_disk import full

OLDER = '{"at": "2026-11-24T01:44:00+00:00", "cpu_s": 0.0, "message": "trial 1 of 60", "node": "A", "outputs": {}, '
OLDER += '"results": [], "seconds": 0.0, "state": "running"}'


def test_a_line_is_an_event_as_programs_read_it_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = Progress(counts=(Count("trial", 1, 60),))
    event = Event(runs.now(), "A", "running", message=value.text, progress=value)
    runs.append_event(Workdir(tmp_path), "1", event)
    [line] = (tmp_path / "logs" / "1" / "events.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["event"], told["run"], told["component"], told["state"]) == ("component", "1", "A", "running")
    assert told["progress"] == {"counts": [{"unit": "trial", "at": 1, "of": 60}]} and "node" not in told
    assert json.loads(runs.line_of(Workdir(tmp_path), "1", Event(runs.now(), "", "done")))["event"] == "run"
    assert runs.read_events(Workdir(tmp_path), "1") == [event]


def test_an_event_of_an_older_release_is_read(tmp_path: Path) -> None:
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "events.jsonl").write_text(f"{OLDER}\n[]\n{{}}\n{OLDER[:50]}")
    [event] = runs.read_events(Workdir(tmp_path), "1")
    assert (event.node, event.state, event.message, event.progress) == ("A", "running", "trial 1 of 60", None)


def test_c11_what_became_of_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = (Result("digits", True, "acme/digits/1"), Result("logits", False, "", "No gain."))
    runs.append_event(Workdir(tmp_path), "1", Event(runs.now(), "", "done", results=results))
    [event] = runs.read_events(Workdir(tmp_path), "1")
    assert event.results == results
    assert [r.sentence for r in results] == ["Published as acme/digits/1.", "Not published: No gain."]


def test_on_a_full_disk_a_run_is_described_whole_or_not_and_its_events_stay_whole_lines(tmp_path: Path) -> None:
    workdir, run = Workdir(tmp_path), Run("r", "tiny", "tiny", runs.now(), 1, (Node("A"),))
    with full(tmp_path, room=20), pytest.raises(OSError, match="No space left"):
        runs.write_run(workdir, run)
    assert runs.run_ids(workdir) == [] and list((workdir.runs / "r").iterdir()) == []
    runs.write_run(workdir, run)
    assert runs.read_run(workdir, "r") == run
    runs.append_event(workdir, "r", Event(runs.now(), "A", "running"))
    with full(tmp_path, room=20), pytest.raises(OSError, match="No space left"):
        runs.append_event(workdir, "r", Event(runs.now(), "A", "done"))
    runs.append_event(workdir, "r", Event(runs.now(), "", "failed"))
    assert [(e.node, e.state) for e in runs.read_events(workdir, "r")] == [("A", "running"), ("", "failed")]
