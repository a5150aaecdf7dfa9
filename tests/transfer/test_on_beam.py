import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from piecehub.errors import EnvironmentProblem, PieceError, TrainingError
from piecehub.facts.content import content_digest, list_files
from piecehub.transfer import on_beam, staging
from piecehub.transfer.evaluation import Means, Subject, evaluate, planned
from piecehub.transfer.on_beam import elements_of, run_trials_on_beam
from piecehub.transfer.pool import Budget
from piecehub.transfer.protocol import TUNED
from piecehub.transfer.spill import FOLDER
from piecehub.transfer.staging import Staged
from piecehub.transfer.trials import TrialStore
from tests.s3_server import BUCKET, beam_arguments, client_of, running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as endpoint:
        yield endpoint


def test_trials_as_elements_of_a_beam_pipeline_give_the_bytes_of_the_pool(subject, task, protocol, measured, tmp_path):
    trials = [t for t in planned(subject, task, protocol) if (t.seed, t.shots) == (1, 5)]
    assert len({t.mode for t in trials}) == 6
    places = {"saved_model": subject.saved_model, "controls": subject.controls, "task": task}
    places |= {"trials_folder": tmp_path, "workers": 2, "beam_args": ["--runner=FnApiRunner"]}
    few = run_trials_on_beam(trials, **places, budget=Budget(trials=3))
    assert len(few) == 3
    seen: list[int] = []
    results = run_trials_on_beam(trials, **places, on_progress=lambda done, total, trial: seen.append(done))
    assert list(results) == trials and seen == list(range(4, len(trials) + 1))
    for trial in trials:
        assert TrialStore(tmp_path).path(trial).read_bytes() == TrialStore(measured.trials).path(trial).read_bytes()
    before = content_digest(list_files(tmp_path))
    run_trials_on_beam(trials, **places)  # nothing is missing
    assert content_digest(list_files(tmp_path)) == before


@pytest.mark.long
def test_workers_that_see_nothing_of_this_machine_give_the_same_evidence_and_finished_trials_are_taken_from_the_place(
    subject, task, protocol, measured, tmp_path, s3, monkeypatch
):
    here, away, other = tmp_path / "here", tmp_path / "away", tmp_path / "other machine"
    for folder in (here, other):
        folder.mkdir()
    shutil.copytree(subject.saved_model.parent, here / "piece")
    monkeypatch.setattr(staging.tempfile, "tempdir", str(other))
    missing = planned(subject, task, protocol)[::12]
    finished = [path for path in measured.trials.glob("*/*.npz") if path.stem not in {trial.id for trial in missing}]
    for path in finished:
        key = f"run/piecehub/trials/{path.relative_to(measured.trials).as_posix()}"
        client_of(s3).put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    run, ran = on_beam._run, list[str]()

    def run_elsewhere(*arguments):
        """While workers are at work nothing is left where it was."""
        here.rename(away)
        try:
            run(*arguments)
        finally:
            away.rename(here)

    monkeypatch.setattr(on_beam, "_run", run_elsewhere)
    beam_args = ["--runner=FnApiRunner", f"--temp_location=s3://{BUCKET}/run", *beam_arguments(s3)]
    means = Means(
        here / "trials",
        workers=1,
        on_progress=lambda done, total, trial: ran.append(trial.id),
        runner=partial(run_trials_on_beam, beam_args=beam_args),
    )
    moved = Subject(here / "piece" / "saved_model", here / "piece" / "controls")
    evaluate(moved, task, protocol, means, tmp_path / "evidence")
    assert _contents(tmp_path / "evidence") == _contents(measured.folder)
    assert sorted(ran) == sorted(trial.id for trial in missing)
    assert list(other.glob("piecehub-*/*/saved_model.pb")), "no worker fetched the piece"
    assert list(other.glob(f"piecehub-*/{FOLDER}/*")) == []


def test_an_element_holds_as_many_trials_as_take_a_minute(subject, task, protocol):
    trials = planned(subject, task, protocol)
    tuned = sum(trial.mode in TUNED for trial in trials)
    assert elements_of(trials, {"tuning": 30.0, "probe": 0.0}, workers=1) == -(-tuned // 2)
    assert elements_of(trials, {"tuning": 0.01, "probe": 0.0}, workers=2) == 2
    assert elements_of(trials, {"tuning": 1000.0, "probe": 1000.0}, workers=2) == len(trials)
    assert elements_of(trials[:1], {"tuning": 0.01, "probe": 0.01}, workers=2) == 1


@pytest.fixture
def without_workers(subject, task, monkeypatch, tmp_path):
    """What a launcher asks for; the trials that it measures first are not run."""
    monkeypatch.setattr(on_beam.cost, "measured", lambda *_: {"tuning": 1.0, "probe": 1.0})
    about = {"saved_model": subject.saved_model, "controls": subject.controls, "task": task}
    return about | {"trials_folder": tmp_path / "trials", "workers": 1}


def test_what_a_worker_raises_is_raised_here_with_its_class_and_sentence(
    subject, task, protocol, monkeypatch, tmp_path, without_workers
):
    """A worker that does not see the piece, as one on another machine."""
    places = on_beam._places

    def elsewhere(*arguments):
        found = places(*arguments)
        return on_beam.Places(Staged(str(tmp_path / "gone")), found.controls, found.task, found.trials)

    monkeypatch.setattr(on_beam, "_places", elsewhere)
    trials = planned(subject, task, protocol)[:1]
    with pytest.raises(
        EnvironmentProblem, match=r"gone' on every machine .*temp_location=URI, a place that .*write\.$"
    ):
        run_trials_on_beam(trials, **without_workers)


def test_results_that_no_worker_left_here_are_missed(subject, task, protocol, monkeypatch, without_workers):
    """As of workers that see the piece, and write into folders of their own."""
    monkeypatch.setattr(on_beam, "_run", lambda *_: None)
    trials = planned(subject, task, protocol)[:2]
    with pytest.raises(EnvironmentProblem, match=r"Received: none of 2, though .*--beam-arg=--temp_location=URI"):
        run_trials_on_beam(trials, **without_workers)


def test_a_place_is_the_same_for_workers_that_run_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {
        "--temp_location=shared/": f"{tmp_path}/shared/piecehub",
        "--temp_location=s3://b/x/": "s3://b/x/piecehub",
    }
    assert {told: on_beam._place(PipelineOptions([told])) for told in places} == places
    assert on_beam._place(PipelineOptions([])) == ""


def test_an_error_in_the_words_of_a_runner_is_ours_again_or_says_that_trials_are_kept():
    flink = RuntimeError(
        "Pipeline failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness:\n"
        "Traceback (most recent call last):\n  File x\npiecehub.errors.PieceError: Expected one. Received: 0. [while "
        "running 'RunTrials-ptransform-7']\n\n\tat java.base/Thread.run(Thread.java:840)"
    )
    ours = on_beam._of_worker(flink)
    assert (type(ours), ours.sentence) == (PieceError, "Expected one. Received: 0.")
    other = on_beam._of_worker(ValueError("no such runner\nmore"))
    assert type(other) is TrainingError and "Received: ValueError: no such runner; finished" in other.sentence


@pytest.mark.long
def test_a_run_on_beam_that_was_killed_and_started_again_runs_no_finished_trial_again(
    subject, task, protocol, measured, tmp_path
):
    """Beam's in-process runner survives no worker: all of it is killed, and what trials handed in is all there is."""
    task.write(tmp_path / "task")
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import json, sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from piecehub.transfer.evaluation import Means, Subject, evaluate\n"
        "from piecehub.transfer.on_beam import run_trials_on_beam\n"
        "from piecehub.transfer.protocol import Protocol\n"
        "from piecehub.transfer.tasks import Task\n"
        "saved_model, controls, protocol, work = sys.argv[1:]\n"
        "work, ran = Path(work), []\n"
        "beam_args = ['--runner=FnApiRunner', f'--temp_location={work}/place']\n"
        "means = Means(work / 'trials', 2, on_progress=lambda done, total, trial: ran.append(trial.id),\n"
        "    runner=partial(run_trials_on_beam, beam_args=beam_args))\n"
        "evaluate(Subject(Path(saved_model), Path(controls)), Task.read(work / 'task'), Protocol.from_json(protocol),\n"
        "    means, work / 'evidence')\n"
        "print(json.dumps(ran))\n"
    )
    command = [sys.executable, "-P", str(script), str(subject.saved_model), str(subject.controls)]
    command += [protocol.to_json(), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    place = tmp_path / "place" / "piecehub" / "trials"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 240
    while len(list(place.glob("*/*.npz"))) < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(10)  # what it started ends with its next trial: nobody listens
    finished = {path.stem for folder in (place, tmp_path / "trials") for path in folder.glob("*/*.npz")}
    assert 5 <= len(finished) < len(planned(subject, task, protocol))
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    ran = json.loads(again.stdout.splitlines()[-1])
    assert ran and not finished & set(ran)
    assert _contents(tmp_path / "evidence") == _contents(measured.folder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
