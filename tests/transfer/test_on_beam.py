from piecehub.facts.content import content_digest, list_files
from piecehub.transfer.evaluation import planned
from piecehub.transfer.on_beam import elements_of, run_trials_on_beam
from piecehub.transfer.pool import Budget
from piecehub.transfer.protocol import TUNED
from piecehub.transfer.trials import TrialStore


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


def test_an_element_holds_as_many_trials_as_take_a_minute(subject, task, protocol):
    trials = planned(subject, task, protocol)
    tuned = sum(trial.mode in TUNED for trial in trials)
    assert elements_of(trials, {"tuning": 30.0, "probe": 0.0}, workers=1) == -(-tuned // 2)
    assert elements_of(trials, {"tuning": 0.01, "probe": 0.0}, workers=2) == 2
    assert elements_of(trials, {"tuning": 1000.0, "probe": 1000.0}, workers=2) == len(trials)
    assert elements_of(trials[:1], {"tuning": 0.01, "probe": 0.01}, workers=2) == 1
