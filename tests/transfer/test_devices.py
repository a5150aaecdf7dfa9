import json
from dataclasses import replace

import pytest

from piecehub.errors import TrainingError
from piecehub.transfer.devices import _names, chosen, kind_of, seen_by_processes
from piecehub.transfer.evidence import FACTS, Evidence, comparable
from piecehub.transfer.trials import Trial, plan

FOUR = ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("told", "gpus", "expected"),
    [
        ("", FOUR, FOUR),
        ("", (), ()),
        ("gpu:2", FOUR, ("0", "1")),
        ("gpu", FOUR, FOUR),
        ("cpu", FOUR, ()),
        ("cpu:2", FOUR, ()),
    ],
)
def test_trials_run_on_the_gpus_that_there_are_unless_told_otherwise(told, gpus, expected) -> None:
    assert chosen(told, gpus) == expected
    assert kind_of(expected) == ("gpu" if expected else "cpu")


@pytest.mark.parametrize(
    ("told", "received"), [("gpu", "Received: 0;"), ("gpu:2", "Received: 0;"), ("tpu", "Received: 'tpu'.")]
)
def test_devices_that_there_are_not_are_refused(told, received) -> None:
    with pytest.raises(TrainingError, match=received):
        chosen(told, ())


def test_each_process_sees_one_gpu_of_its_own_or_none() -> None:
    assert seen_by_processes(FOUR, 16) == FOUR
    assert seen_by_processes(FOUR, 2) == ("0", "1")
    assert seen_by_processes((), 3) == ("-1", "-1", "-1")


def test_gpus_have_the_names_by_which_a_started_process_finds_them() -> None:
    assert _names(2, "") == ["0", "1"]
    assert _names(2, "GPU-a,3") == ["GPU-a", "3"]
    assert _names(0, "-1") == []


def test_a_trial_on_a_gpu_is_another_trial_and_one_on_a_processor_is_what_it_was(task, protocol) -> None:
    controls = dict.fromkeys(protocol.seeds, "c")
    own, other = plan("t", "p", controls, protocol), plan("t", "p", controls, protocol, "gpu")
    assert not {trial.id for trial in own} & {trial.id for trial in other}
    assert [replace(trial, device="cpu") for trial in other] == own
    trial = Trial("task", "piece", "", "fine_tuning", 5, 5, 0, 0.01, 20, 8, (), 3, (("numpy", "2"),))
    assert trial.id == "b16c84b564bd4f2f081894dbb63c1663d13d4b8c901d43459990414ddb9e4f82"


def test_evidence_of_two_kinds_of_devices_is_never_paired(make_evidence) -> None:
    one, other = (make_evidence(folder=kind, device=kind) for kind in ("cpu", "gpu"))
    assert not comparable(one, other) and not comparable(other, one)
    assert json.loads((other.folder / FACTS).read_text())["device"] == "gpu"


def test_evidence_that_says_nothing_of_devices_is_of_a_processor(make_evidence) -> None:
    evidence = make_evidence()
    facts = json.loads(evidence.to_json())
    assert facts.pop("device") == "cpu"
    (evidence.folder / FACTS).write_text(json.dumps(facts))
    assert comparable(Evidence.read(evidence.folder), evidence)
