"""What ends a run early: a person who stops it, and code that raises before there is any component."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("tfx")

from piecehub.errors import NoSpace, PiecehubError, RecipeError
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from pipelines import local_runner
from pipelines.recipe.loader import RECIPES, load_recipe


def _last_run(workdir: Workdir) -> tuple[runs.Run, list[runs.Event]]:
    [run_id] = runs.run_ids(workdir)
    record = runs.read_run(workdir, run_id)
    assert record is not None
    return record, runs.read_events(workdir, run_id)


def test_e9_a_data_module_that_raises_leaves_a_run_with_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe")
    (tmp_path / "recipe" / "data.py").write_text("def write(folder, **more):\n    raise AssertionError('odd rows')\n")
    workdir = Workdir(tmp_path / "work")
    refused: BaseException | None = None
    try:
        local_runner.run(load_recipe(tmp_path / "recipe"), workdir)
    except (PiecehubError, AssertionError) as error:
        refused = error
    assert isinstance(refused, RecipeError), f"the person sees {refused!r}"
    assert "AssertionError: odd rows" in refused.sentence and "data.py:2" in refused.sentence
    assert runs.run_ids(workdir), "no run was left"
    record, [end] = _last_run(workdir)
    assert (end.node, end.state, end.message) == ("", "failed", refused.sentence)
    log = (workdir.logs / record.run / runs.RUNNER_LOG).read_text("utf-8")
    assert "Traceback" in log and "raise AssertionError" in log


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a recipe whose first component that is launched raises what it is told to."""
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe")
    workdir = Workdir(tmp_path / "work")

    def run(error: BaseException) -> Workdir:
        def launch(_: Any) -> Any:
            raise error

        monkeypatch.setattr(local_runner._Node, "_launch", launch)
        with pytest.raises((PiecehubError, KeyboardInterrupt)) as raised:
            local_runner.run(load_recipe(tmp_path / "recipe"), workdir)
        run.raised = raised.value  # type: ignore[attr-defined]
        return workdir

    return run


def test_e2_an_interrupt_in_a_component_stops_the_run_and_is_no_failure(broken: Any) -> None:
    record, events = _last_run(broken(KeyboardInterrupt()))
    assert "failed" not in {event.state for event in events}
    assert (events[-1].node, events[-1].state) == ("", "stopped")
    assert events[-1].message == "Stopped; finished components come from the cache in the next run."
    assert sorted({event.state for event in runs.node_states(record, events).values()}) == ["not run", "stopped"]
    assert isinstance(broken.raised, KeyboardInterrupt)
    assert str(broken.raised).startswith(f"Stopped. 0 of {len(record.nodes)} components are finished")
    assert str(broken.raised).endswith("run the same command again to go on.")


def test_what_a_stopped_run_keeps_is_told(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    record = runs.Run("r", "digits", "digits", runs.now(), 1, (runs.Node("A"), runs.Node("B"), runs.Node("C")))
    for node, state in (("A", "cached"), ("B", "done"), ("C", "stopped")):
        runs.append_event(workdir, "r", runs.Event(runs.now(), node, state))  # type: ignore[arg-type]
    assert local_runner._kept(workdir, record) == (
        "Stopped. 2 of 3 components are finished and come from the cache: run the same command again to go on."
    )
    for file in ("trials/ab/1.npz", "trials/cd/2.npz", "training/k/checkpoint.npz", "trials/ef/older.npz"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    os.utime(tmp_path / "trials/ef/older.npz", (1, 1))
    told = local_runner._kept(workdir, record)
    assert ", 2 trials are kept, the training goes on from its last checkpoint: run" in told


def test_e9_the_traceback_of_a_failed_component_is_in_its_own_log(broken: Any) -> None:
    workdir = broken(ValueError("by design"))
    record, events = _last_run(workdir)
    [failed] = [event for event in events if event.state == "failed" and event.node]
    log = (workdir.logs / record.run / f"{failed.node}.log").read_text("utf-8")
    assert "Traceback" in log and "ValueError: by design" in log
    assert isinstance(broken.raised, PiecehubError)


def test_a_component_that_meets_a_full_disk_ends_the_run_with_one_sentence_and_exit_code_3(broken: Any) -> None:
    record, events = _last_run(broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/x")))
    [failed] = [event for event in events if event.state == "failed" and event.node]
    told = "Expected room for what is written in '/disk/x'. Received: no space left on device; free some, such as by "
    assert failed.message.startswith(told) and events[-1].message.startswith(f"{failed.node} failed. {told}")
    assert isinstance(broken.raised, NoSpace) and broken.raised.exit_code == 3
    assert broken.raised.sentence.startswith(events[-1].message) and f"/logs/{record.run}" in broken.raised.sentence


def test_where_not_even_the_failure_can_be_written_down_the_person_is_told_it(
    broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = runs.append_event

    def append_if_there_is_room(*arguments: Any) -> None:
        if arguments[2].state != "running":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/events.jsonl")
        append(*arguments)

    monkeypatch.setattr(runs, "append_event", append_if_there_is_room)
    workdir = broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/x"))
    assert isinstance(broken.raised, NoSpace)
    assert "Received: no space left on device; free some, such as by `piecehub workdir gc`" in broken.raised.sentence
    assert "failed" not in {event.state for event in _last_run(workdir)[1]}


@pytest.mark.long
@pytest.mark.parametrize("node", ["UpstreamExamples", "FullModelTrainer"])
def test_e2_after_ctrl_c_the_prompt_returns_soon_and_nothing_runs_on(node: str, tmp_path: Path) -> None:
    workdir = Workdir(tmp_path / "work")
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", "digits", "--workdir", str(workdir.root)]
    # Where pytest runs in the background, shells have it ignore Ctrl-C, and what it starts.
    heeds = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **heeds) as run:  # type: ignore[call-overload]
        while not _runs(workdir, node):
            assert run.poll() is None
            time.sleep(0.1)
        others = psutil.Process(run.pid).children(recursive=True)
        started = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)
        code = run.wait(60)
        _, left = psutil.wait_procs(others, timeout=60)
        seconds = time.monotonic() - started
    assert (code, left) == (1, [])
    assert seconds < 6, "on two idle cores it takes one second, and took ten"


def _runs(workdir: Workdir, node: str) -> bool:
    events = [event for run in runs.run_ids(workdir) for event in runs.read_events(workdir, run)]
    return any((event.node, event.state) == (node, "running") for event in events)
