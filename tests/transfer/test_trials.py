import dataclasses
import importlib.metadata
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from piecehub.errors import DataError, PieceError, TrainingError
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.kept import kept_by
from piecehub.store.keeping import InBucket
from piecehub.store.posix import PosixBackend
from piecehub.transfer.pool import run_trials
from piecehub.transfer.protocol import MODES
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, TrialStore, choose_setting, plan, with_batch_sizes
from tests.full_disk import full


@pytest.fixture(scope="module")
def controls(exported) -> dict[int, str]:
    return {seed: content_digest(list_files(exported.controls / f"seed-{seed}")) for seed in (0, 1, 2)}


@pytest.fixture(scope="module")
def trials(exported, controls, task, protocol):
    return plan(task.digest, content_digest(list_files(exported.saved_model)), controls, protocol)


@pytest.fixture(scope="module")
def run(exported, task, trials):
    def start(folder: Path, workers: int, on_progress=None, chosen=trials):
        places = {"saved_model": exported.saved_model, "controls": exported.controls, "task": task}
        return run_trials(chosen, **places, trials_folder=folder, workers=workers, on_progress=on_progress)

    return start


@pytest.fixture(scope="module")
def finished(measured, trials):
    """The folder of trials that two workers ran without interruption, and what is in it."""
    return measured.trials, {trial: TrialStore(measured.trials).read(trial) for trial in trials}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_trials(finished) -> dict[str, bytes]:
    """The files of the finished trials: their folder holds those of a second round, too."""
    folder, results = finished
    paths = [TrialStore(folder).path(trial) for trial in results]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_plan_is_the_whole_grid_and_every_trial_has_an_id_of_its_own(trials, controls):
    assert len(trials) == len({t.id for t in trials}) == len(MODES) * 2 * 2 * 3
    assert {t.control for t in trials if t.mode in ("fine_tuning", "feature_extraction")} == {""}
    assert {t.control for t in trials if t.mode == "from_scratch"} == set(controls.values())


def test_validation_is_the_pool_without_the_most_shots_whatever_a_trial_takes(protocol):
    planned = plan("t", "p", dict.fromkeys(protocol.seeds, "c"), protocol)
    assert {t.shots for t in planned} == {2, 5} and {t.largest_shots for t in planned} == {5}


def test_trials_of_another_tensorflow_are_other_trials(protocol, tmp_path, monkeypatch):
    def planned() -> list[Trial]:
        return plan("t", "p", dict.fromkeys(protocol.seeds, "c"), protocol)

    before = planned()
    assert {dict(t.packages)["tensorflow"] for t in before} == {importlib.metadata.version("tensorflow")}
    older = tmp_path / "tensorflow-2.0.0.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    after = planned()
    assert {dict(t.packages)["tensorflow"] for t in after} == {"2.0.0"}
    assert not {t.id for t in before} & {t.id for t in after}


def test_an_id_changes_with_every_field(trials):
    trial = trials[0]
    for field in dataclasses.fields(Trial):
        value = getattr(trial, field.name)
        others = {"packages": (("numpy", "0"),), "probe_settings": (7.0,), "device": "gpu"}
        changed = others.get(field.name) or value + (value if isinstance(value, str) else 1)
        if changed != value:
            assert dataclasses.replace(trial, **{field.name: changed}).id != trial.id
    assert dataclasses.replace(trial).id == trial.id


def test_a_probe_is_not_run_again_for_another_number_of_steps(task, protocol, controls):
    longer = dataclasses.replace(protocol, steps=99)
    before, after = ({t.id: t for t in plan(task.digest, "p", controls, p)} for p in (protocol, longer))
    assert {before[i].mode for i in before.keys() & after.keys()} == {
        name for name, mode in MODES.items() if mode.training == "probe"
    }


def test_raw_inputs_are_the_same_for_every_piece(task, protocol, controls):
    one, other = ({t.id: t for t in plan(task.digest, piece, controls, protocol)} for piece in ("p", "q"))
    shared = {one[i].mode for i in one.keys() & other.keys()}
    assert shared == {"raw_input"}


def test_other_batch_sizes_make_other_trials_and_nothing_else(trials):
    tuned = [t for t in trials if t.mode == "fine_tuning"][:2]
    others = with_batch_sizes(tuned, (8, 32))  # 8 is their own
    assert [t.batch_size for t in others] == [32, 32]
    assert [dataclasses.replace(t, batch_size=8) for t in others] == tuned


def test_one_worker_gives_the_bytes_of_two(finished, measured, measured_by_one, run, trials):
    assert contents(measured_by_one.trials) == contents(measured.trials)
    first, second = measured_by_one.seen[: len(trials)], measured_by_one.seen[len(trials) :]
    assert first == list(range(1, len(trials) + 1)) and second == list(range(1, len(second) + 1)) != []
    # All are there now, so nothing is started.
    run(measured_by_one.trials, 2, lambda *_: pytest.fail("a finished trial ran again"))


def test_the_progress_tells_how_many_of_how_many(run, trials, tmp_path):
    seen = []
    run(tmp_path, 1, lambda done, total, trial: seen.append((done, total, trial)), trials[:2])
    assert [s[:2] for s in seen] == [(1, 2), (2, 2)] and [s[2] for s in seen] == trials[:2]


def test_on_an_empty_disk_only_those_trials_are_run_that_were_kept_nowhere(finished, run, trials, tmp_path):
    ran = []
    for disk in ("first", "second", "third"):
        store = TrialStore(tmp_path / disk)
        keeps = InBucket({tmp_path / disk: PosixBackend(tmp_path / "kept")})
        with kept_by(keeps):
            if disk == "first":
                store.write(trials[0], finished[1][trials[0]])
                keeps.keep(store.path(trials[0]))
            else:
                found = run(tmp_path / disk, 1, lambda _done, _total, trial: ran.append(trial), trials[:2])
                assert list(found) == trials[:2]
    assert ran == [trials[1]]


def test_killed_in_the_middle_the_rest_is_run_and_equals_the_uninterrupted_run(finished, run, trials, tmp_path):
    trials = trials[::3]

    def kill(done: int, _total: int, _trial: Trial) -> None:
        if done == 5:
            children = psutil.Process().children(recursive=True)
            for child in [c for c in children if "piecehub.transfer.workers" in c.cmdline()]:
                child.kill()

    with pytest.raises(TrainingError, match="finished trials are kept"):
        run(tmp_path, 2, kill, trials)
    kept = contents(tmp_path)
    assert 5 <= len([name for name in kept if name.endswith(".npz")]) < len(trials)
    ran = []
    run(tmp_path, 2, lambda _done, _total, trial: ran.append(trial), trials)
    assert len(ran) == len(trials) - len([name for name in kept if name.endswith(".npz")])
    whole = of_trials((finished[0], trials))
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith(".part")} == whole


def _workers(of: psutil.Process) -> list[psutil.Process]:
    """The processes that run trials: forked from the fresh interpreter, whose command they have."""
    found = [child for child in of.children(recursive=True) if "piecehub.transfer.workers" in child.cmdline()]
    return [each for each in found if each.ppid() in {parent.pid for parent in found}]


def test_a_trial_whose_process_was_killed_is_run_by_another_and_nothing_is_lost(finished, run, trials, tmp_path):
    trials, killed, ran = trials[::4], list[int](), list[Trial]()

    def kill(done: int, _total: int, trial: Trial) -> None:
        ran.append(trial)
        if done in (1, 6):
            [worker, *_] = _workers(psutil.Process())
            worker.kill()
            killed.append(worker.pid)

    results = run(tmp_path, 2, kill, trials)
    assert list(results) == trials and len(set(killed)) == 2 and set(ran) == set(trials)
    kept = {name: data for name, data in contents(tmp_path).items() if not name.endswith(".part")}
    assert kept == of_trials((finished[0], trials))


def test_a_trial_at_which_two_processes_were_killed_fails_once_all_others_were_run(
    trials, tmp_path, monkeypatch, capfd
):
    """As one does that needs more memory than there is."""
    from piecehub.transfer import engine, workers

    result = TrialResult(0.5, np.zeros((4, 5), np.float32), False, np.zeros(8, np.float32))

    def run(trial: Trial) -> TrialResult:
        if trial == trials[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    monkeypatch.setattr(engine, "use_one_thread", lambda: None)
    monkeypatch.setattr(workers, "Bench", lambda _: SimpleNamespace(run=run))
    job = workers.Job("", "", "", str(tmp_path), ("-1", "-1"), "", None, tuple(trials[:5]))
    reader, writer = os.pipe()
    assert workers._Team(job, writer).run() == 1
    told = sorted(json.loads(line)["trial"] for line in os.read(reader, 4096).splitlines())
    assert told == [0, 2, 3, 4] and TrialStore(tmp_path).read(trials[1]) is None
    assert "two processes that were killed at one trial (out of memory?)" in capfd.readouterr().err


def test_e2_a_person_who_stops_the_trials_waits_for_none(run, trials, tmp_path):
    """Also while the workers import TensorFlow, which takes seconds: they would notice at the end of a trial."""
    stopped = []

    def stop(*_: object) -> None:
        stopped.append(time.monotonic())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, 2, None, trials)
        assert time.monotonic() - stopped[0] < 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [c for c in psutil.Process().children(recursive=True) if "piecehub.transfer.workers" in c.cmdline()] == []


def test_a_damaged_file_counts_as_missing(finished, trials, tmp_path):
    store = TrialStore(tmp_path)
    store.write(trials[0], finished[1][trials[0]])
    assert store.read(trials[0])
    store.path(trials[0]).write_bytes(store.path(trials[0]).read_bytes()[:100])
    assert store.read(trials[0]) is None
    assert store.read(trials[1]) is None


def test_treatment_and_control_are_treated_alike(finished):
    """The control of seed 2 has the weights of the piece: any other order of the data or batch would show."""
    by_key = {(t.mode, t.shots, t.setting, t.seed): r.test_outputs for t, r in finished[1].items()}
    pairs = {"fine_tuning": "from_scratch", "feature_extraction": "random_features"}
    for (mode, *rest), logits in by_key.items():
        if mode in pairs:
            same = np.array_equal(logits, by_key[pairs[mode], *rest])
            assert same == (rest[-1] == 2), (mode, rest)


def test_an_error_in_a_worker_is_raised_here_with_its_class_and_sentence(exported, task, trials, tmp_path):
    scratch = [t for t in trials if t.mode == "from_scratch" and t.seed == 0][:1]
    (tmp_path / "controls" / "seed-0").mkdir(parents=True)
    places = {"saved_model": exported.saved_model, "controls": tmp_path / "controls", "task": task}
    with pytest.raises(PieceError, match=r"Expected one checkpoint .* Received: 0"):
        run_trials(scratch, **places, trials_folder=tmp_path / "trials", workers=1)


def test_e14_examples_of_another_shape_end_the_trials_with_the_shapes(exported, trials, tmp_path):
    other = Task.from_arrays("shrubs", *[np.eye(4, 5, dtype=np.float32), [0, 0, 1, 1]] * 2)
    with pytest.raises(DataError, match=r"of 'shrubs' .*\[batch, 8\]\. Received: float32 \[batch, 5\]"):
        run_trials(
            trials[:2],
            saved_model=exported.saved_model,
            controls=exported.controls,
            task=other,
            trials_folder=tmp_path,
            workers=1,
        )


def test_the_callers_main_module_is_not_run_again(exported, task, trials, tmp_path):
    """A user's script without `if __name__ == "__main__"`, as a TFX run may be."""
    task.write(tmp_path / "task")
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys, dataclasses\n"
        "from pathlib import Path\n"
        "print('started', flush=True)\n"
        "from piecehub.transfer.pool import run_trials\n"
        "from piecehub.transfer.tasks import Task\n"
        "from piecehub.transfer.trials import plan\n"
        "from piecehub.transfer.protocol import Protocol\n"
        "task = Task.read(Path('task'))\n"
        "trials = plan(task.digest, 'p', {0: 'c'}, Protocol((2,), (0,), (0.01,), 2, 8, (1.0,)))\n"
        f"run_trials(trials, saved_model=Path({str(exported.saved_model)!r}),\n"
        f"    controls=Path({str(exported.controls)!r}), task=task, trials_folder=Path('trials'), workers=2)\n"
        "print('tensorflow' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "unguarded.py"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == ["started", "False"], result.stderr


def test_a_diverged_training_is_right_by_chance_only():
    y = np.zeros(4, np.int64)
    logits = np.full((4, 3), np.nan, np.float32)
    result = TrialResult.score("classification", logits, y, logits)
    assert result.diverged and result.validation_score == pytest.approx(1 / 3)
    assert not result.test_outputs.any()


def test_a_diverged_regression_says_the_mean_and_is_worth_nothing():
    y = np.array([1.0, 3.0])
    outputs = np.full((2, 1), np.nan, np.float32)
    result = TrialResult.score("regression", outputs, y, outputs)
    assert result.diverged and result.validation_score == 0 and result.test_outputs.tolist() == [[2], [2]]


def test_the_setting_is_chosen_by_the_mean_over_seeds_and_the_first_of_equals():
    assert choose_setting((0.1, 0.2, 0.3), [[0.5, 0.9], [0.8, 0.8], [0.8, 0.8]]) == 0.2
    assert choose_setting((0.1, 0.2), [[0.9], [0.1]]) == 0.1


def test_b8_a_training_whose_loss_was_not_finite_has_diverged(tmp_path, trials):
    outputs, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    for losses in ([1.0, np.nan], [np.inf, 0.1]):
        result = TrialResult.score("classification", outputs, y, outputs, np.array(losses, np.float32))
        assert (result.diverged, result.validation_score) == (True, 0.5)
    assert not TrialResult.score("classification", outputs, y, outputs, np.ones(2, np.float32)).diverged


def test_b8_what_was_kept_of_such_a_training_as_a_result_is_run_again(tmp_path, trials):
    store, losses = TrialStore(tmp_path), np.array([np.nan], np.float32)
    store.write(trials[0], TrialResult(0.9, np.zeros((4, 2), np.float32), False, losses))
    assert store.read(trials[0]) is None
    store.write(trials[0], TrialResult(0.5, np.zeros((4, 2), np.float32), True, losses))
    kept = store.read(trials[0])
    assert kept and kept.diverged


def test_on_a_full_disk_no_half_trial_is_left_and_the_process_tells_it(trials, tmp_path, monkeypatch):
    from piecehub.transfer import engine, workers

    result = TrialResult(0.5, np.zeros((40, 5), np.float32), False, np.zeros(8, np.float32))
    monkeypatch.setattr(engine, "use_one_thread", lambda: None)
    monkeypatch.setattr(workers, "Bench", lambda _: SimpleNamespace(run=lambda _: result))
    job = workers.Job("", "", "", str(tmp_path), ("-1",), "", None, (trials[0],))
    reader, writer = os.pipe()
    with full(tmp_path, room=200), pytest.raises(SystemExit):
        workers._work(job, itertools.count().__next__, writer)
    told = json.loads(os.read(reader, 4096))
    assert told["error"] == "NoSpace" and "Received: no space left on device; free some" in told["sentence"]
    assert contents(tmp_path) == {}
    workers._work(job, itertools.count().__next__, writer)
    assert json.loads(os.read(reader, 4096)) == {"trial": 0}
    assert TrialStore(tmp_path).read(trials[0]).validation_score == 0.5


def test_a_result_that_is_read_was_used_then(trials, tmp_path):
    store = TrialStore(tmp_path)
    store.write(trials[0], TrialResult(0.5, np.zeros((4, 5), np.float32), False, np.zeros(8, np.float32)))
    os.utime(store.path(trials[0]), (1, 1))
    assert store.read(trials[0]) is not None
    assert store.path(trials[0]).stat().st_mtime > 1
