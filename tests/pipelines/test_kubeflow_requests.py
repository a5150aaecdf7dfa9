"""What pods ask for where the recipe says nothing: of what was measured."""

from pathlib import Path
from typing import Any

import pytest

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from pipelines.cost.earlier import held_most
from pipelines.kubeflow_measured import MEASURED
from pipelines.kubeflow_pods import ask_of_containers
from pipelines.kubeflow_requests import HEADROOM, Request, ask_by_default, constants
from pipelines.recipe.kubeflow_table import OnKubeflow

_TRAINER = "components.full_model_trainer.FullModelTrainer_Executor"
_GATE = "components.publish_gate.PublishGate_Executor"
_UNKNOWN = "piecehub.store.data.DataListing_Executor"
_LIGHT = (_GATE, _UNKNOWN)
_TOLD = {"train": '{"epochs": 3}', "resume_folder": "/here"}


def _spec() -> dict[str, Any]:
    paths = {"Trainer": _TRAINER, "Gate": _GATE, "Listing": _UNKNOWN}
    given = {key: {"runtimeValue": {"constant": value}} for key, value in _TOLD.items()}
    return {
        "root": {
            "dag": {
                "tasks": {
                    task: {"componentRef": {"name": task}, "inputs": {"parameters": given if task == "Trainer" else {}}}
                    for task in paths
                }
            }
        },
        "components": {task: {"executorLabel": f"{task}_executor"} for task in paths},
        "deploymentSpec": {
            "executors": {
                f"{task}_executor": {"container": {"args": ["--executor_class_path", path]}}
                for task, path in paths.items()
            }
        },
    }


def _run(
    workdir: Workdir, run: str, peak_bytes: int, *, epochs: int = 3, state: Any = "done", cpu_s: float = 30
) -> None:
    """A run of the pipeline in which the trainer held so much; the gate, in the same process, held it as well."""
    told = {"train": f'{{"epochs": {epochs}}}', "resume_folder": "/elsewhere"}
    nodes = (runs.Node("Trainer", (), told), runs.Node("Gate"))
    runs.write_run(workdir, runs.Run(run, "digits", "digits", runs.now(), 1, nodes))
    for node in ("Trainer", "Gate"):
        runs.append_event(workdir, run, runs.Event(runs.now(), node, state, 20.0, cpu_s=cpu_s, peak_bytes=peak_bytes))


def _asked(workdir: Workdir, asked: OnKubeflow | None = None) -> tuple[dict[str, Request], dict[str, Any]]:
    """By task, what is asked for, and what stands in its container."""
    spec = _spec()
    ask_of_containers(spec["deploymentSpec"]["executors"], asked or OnKubeflow(), _LIGHT)
    found = ask_by_default(spec, held_most(workdir, "digits", constants(spec)), _LIGHT)
    executors = spec["deploymentSpec"]["executors"]
    return {one.task: one for one in found}, {one.task: executors[f"{one.task}_executor"]["container"] for one in found}


def _bytes(memory: str) -> int:
    return int(memory.removesuffix("Mi")) << 20


def test_where_nothing_ran_pods_ask_for_what_their_component_took_of_digits(tmp_path: Path) -> None:
    asked, containers = _asked(Workdir(tmp_path / "none"))
    for task, path in (("Trainer", _TRAINER), ("Gate", _GATE)):
        least = MEASURED[path][1] * HEADROOM
        assert least <= _bytes(asked[task].memory) < least + (64 << 20)
        assert asked[task].told_by == "measured in digits"
    assert asked["Trainer"].cpu == "1000m"
    assert 0 <= int(asked["Gate"].cpu.removesuffix("m")) / 1000 - MEASURED[_GATE][0] / 5 < 0.1
    assert asked["Listing"].told_by == "the most of such components in digits"
    assert asked["Listing"].memory == asked["Gate"].memory
    # No limit: a measure of yesterday's data would end tonight's run, in every retry.
    assert containers["Trainer"]["resources"].keys() == {"resourceCpuRequest", "resourceMemoryRequest"}
    assert not (tmp_path / "none").exists()


def test_beside_a_run_they_ask_for_the_most_that_it_held_and_light_ones_do_not(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    _run(workdir, "1", 3 << 30)
    _run(workdir, "2", 2 << 30)  # whose trials were there already, say
    asked, _ = _asked(workdir)
    assert (asked["Trainer"].memory, asked["Trainer"].cpu) == ("3840Mi", "1500m")
    assert asked["Trainer"].told_by == "run 1"
    assert asked["Gate"].told_by == "measured in digits"


def test_a_run_that_was_told_the_same_goes_before_others_and_others_are_told_as_such(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    _run(workdir, "1", 4 << 30, epochs=5)
    assert _asked(workdir)[0]["Trainer"].memory_from == "run 1, which was told other parameters"
    _run(workdir, "2", 2 << 30)
    _run(workdir, "3", 8 << 30, state="failed")
    assert _asked(workdir)[0]["Trainer"].memory_from == "run 2"


def test_a_run_that_held_less_than_digits_does_not_count(tmp_path: Path) -> None:
    _run(Workdir(tmp_path), "1", 1 << 20, cpu_s=0.1)
    assert _asked(Workdir(tmp_path))[0]["Trainer"].told_by == "measured in digits"


def test_what_a_recipe_states_goes_before_what_was_measured(tmp_path: Path) -> None:
    asked, containers = _asked(Workdir(tmp_path), OnKubeflow(memory="16Gi"))
    told = asked["Trainer"]
    assert (told.memory, told.memory_limit, told.memory_from) == ("16Gi", "16Gi", "[kubeflow]")
    assert (told.cpu, told.cpu_limit, told.told_by) == ("1000m", "", "cpu: measured in digits; memory: [kubeflow]")
    assert containers["Trainer"]["resources"]["resourceMemoryLimit"] == "16Gi"
    assert asked["Gate"].told_by == "measured in digits"


@pytest.mark.parametrize("path", sorted(MEASURED))
def test_each_measure_is_that_of_a_component(path: str) -> None:
    cpu_s, peak_bytes = MEASURED[path]
    assert path.rpartition(".")[2].endswith("Executor") and cpu_s > 0 and peak_bytes > 10 << 20
