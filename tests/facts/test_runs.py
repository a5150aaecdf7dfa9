"""What a component at work says of itself."""

from pathlib import Path

import pytest

from piecehub.facts import runs
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.facts.workdir import Workdir
from tests.full_disk import full


def test_progress_goes_to_who_listens_and_to_nobody_else() -> None:
    told: list[str] = []
    runs.progress("before")
    with runs.progress_to(told.append):
        runs.progress("trial 1 of 60")
    runs.progress("after")
    assert told == ["trial 1 of 60"]


def test_progress_is_told_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = [100.0]
    monkeypatch.setattr(runs.time, "monotonic", lambda: clock[0])
    with runs.progress_to(told.append):
        for step in range(25):
            clock[0] = 100.0 + 0.1 * step
            runs.progress(str(step))
    assert told == ["0", "10", "20"]


def test_an_error_inside_ends_the_listening() -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError), runs.progress_to(told.append):
        raise ZeroDivisionError
    runs.progress("after")
    assert told == []


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
