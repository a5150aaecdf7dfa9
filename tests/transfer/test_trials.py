import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from piecehub.content import content_digest, list_files
from piecehub.errors import PieceError, TrainingError
from piecehub.transfer.pool import run_trials
from piecehub.transfer.trials import Trial, TrialResult, TrialStore, choose, plan


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


def test_the_plan_is_the_whole_grid_and_every_trial_has_an_id_of_its_own(trials, controls):
    assert len(trials) == len({t.id for t in trials}) == 4 * 2 * 2 * 3
    assert {t.control for t in trials if t.mode in ("fine_tuning", "feature_extraction")} == {""}
    assert {t.control for t in trials if t.mode == "from_scratch"} == set(controls.values())


def test_an_id_changes_with_every_field(trials):
    trial = trials[0]
    for field in dataclasses.fields(Trial):
        value = getattr(trial, field.name)
        changed = (("numpy", "0"),) if field.name == "packages" else value + (value if isinstance(value, str) else 1)
        if changed != value:
            assert dataclasses.replace(trial, **{field.name: changed}).id != trial.id
    assert dataclasses.replace(trial).id == trial.id


def test_a_probe_is_not_run_again_for_another_number_of_steps(task, protocol, controls):
    longer = dataclasses.replace(protocol, steps=99)
    before, after = ({t.id: t for t in plan(task.digest, "p", controls, p)} for p in (protocol, longer))
    assert {before[i].mode for i in before.keys() & after.keys()} == {"feature_extraction", "random_features"}


def test_one_worker_gives_the_bytes_of_two(finished, run, tmp_path):
    seen = []
    run(tmp_path, 1, lambda done, total, trial: seen.append((done, total, trial)))
    assert contents(tmp_path) == contents(finished[0])
    assert [s[0] for s in seen] == list(range(1, len(seen) + 1)) and seen[-1][0] == seen[-1][1]
    # All are there now, so nothing is started.
    run(tmp_path, 2, lambda *_: pytest.fail("a finished trial ran again"))


def test_killed_in_the_middle_the_rest_is_run_and_equals_the_uninterrupted_run(finished, run, trials, tmp_path):
    def kill(done: int, _total: int, _trial: Trial) -> None:
        if done == 5:
            children = psutil.Process().children(recursive=True)
            for child in [c for c in children if "piecehub.transfer.workers" in c.cmdline()]:
                child.kill()

    with pytest.raises(TrainingError, match="finished trials are kept"):
        run(tmp_path, 2, kill)
    kept = contents(tmp_path)
    assert 5 <= len([name for name in kept if name.endswith(".npz")]) < len(trials)
    ran = []
    run(tmp_path, 2, lambda _done, _total, trial: ran.append(trial))
    assert len(ran) == len(trials) - len([name for name in kept if name.endswith(".npz")])
    whole = contents(finished[0])
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith(".part")} == whole


def test_a_damaged_file_counts_as_missing(finished, trials, tmp_path):
    store = TrialStore(tmp_path)
    store.write(trials[0], finished[1][trials[0]])
    assert store.read(trials[0])
    store.path(trials[0]).write_bytes(store.path(trials[0]).read_bytes()[:100])
    assert store.read(trials[0]) is None
    assert store.read(trials[1]) is None


def test_treatment_and_control_are_treated_alike(finished):
    """The control of seed 2 has the weights of the piece: any other order of the data or batch would show."""
    by_key = {(t.mode, t.shots, t.setting, t.seed): r.test_logits for t, r in finished[1].items()}
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


def test_the_callers_main_module_is_not_run_again(exported, task, trials, tmp_path):
    """A user's script without `if __name__ == "__main__"`, as a TFX run may be."""
    task.write(tmp_path / "task.npz")
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys, dataclasses\n"
        "from pathlib import Path\n"
        "print('started', flush=True)\n"
        "from piecehub.transfer.pool import run_trials\n"
        "from piecehub.transfer.tasks import Task\n"
        "from piecehub.transfer.trials import plan\n"
        "from piecehub.transfer.protocol import Protocol\n"
        "task = Task.read(Path('task.npz'))\n"
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
    result = TrialResult.score(logits, y, logits)
    assert result.diverged and result.validation_accuracy == pytest.approx(1 / 3)
    assert not result.test_logits.any()


def test_the_setting_is_chosen_by_the_mean_over_seeds_and_the_first_of_equals():
    assert choose((0.1, 0.2, 0.3), [[0.5, 0.9], [0.8, 0.8], [0.8, 0.8]]) == 0.2
    assert choose((0.1, 0.2), [[0.9], [0.1]]) == 0.1
