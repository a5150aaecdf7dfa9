"""Entries of a recipe that a submission may give: from the package, by the replay, to what a component sees."""

import argparse
import json

import pytest

from piecehub.containers import entrypoint, light
from piecehub.errors import RecipeError
from piecehub.facts.tables import TrainTable
from pipelines.kubeflow_parameters import with_parameters
from pipelines.recipe.laid_over import lay_over
from pipelines.recipe.loader import RECIPES, load_recipe
from tests.kubeflow.driver import Json, Metadata, Run

TRAINER, EPOCHS = "FullModelTrainer", "recipe--train--epochs"


@pytest.fixture(scope="module")
def spec() -> Json:
    """A package of three tasks with the parameters that those of `digits` have, as TFX compiles them."""
    config = load_recipe("digits").config
    train, model = TrainTable.of(config.train).to_json(), config.model.read_by(config.data.decode).to_json()
    folder = {"recipe_folder": str(RECIPES / "digits")}
    tasks = {
        TRAINER: {"train": train, "model": model, **folder},
        "PieceExtractor": {"model": model, "upstream_model": model, **folder},
        "PublishGate": {"min_gain": 0.0075},
    }
    return {
        "pipelineInfo": {"name": "digits"},
        "root": {"dag": {"tasks": {task: _task(task, given) for task, given in tasks.items()}}},
        "components": {task: _component(task, given) for task, given in tasks.items()},
        "deploymentSpec": {"executors": {task: {"container": {"image": "i:1", "args": [task]}} for task in tasks}},
    }


def _task(task: str, given: Json) -> Json:
    constants = {key: {"runtimeValue": {"constant": value}} for key, value in given.items()}
    return {"componentRef": {"name": task}, "inputs": {"parameters": constants}}


def _component(task: str, given: Json) -> Json:
    kinds = {key: "STRING" if isinstance(value, str) else "NUMBER_DOUBLE" for key, value in given.items()}
    parameters = {key: {"parameterType": kind} for key, kind in kinds.items()}
    return {"executorLabel": task, "inputDefinitions": {"parameters": parameters}}


def _told(spec: Json, task: str, parameters: Json) -> Json:
    """The parameters that the driver tells a task's launcher."""
    run = Run(spec, "minio://mlpipeline/runs", "a-run", parameters)
    return run.executor_input(task, Metadata(), "an-id")["inputs"]["parameterValues"]


def _constant(spec: Json, task: str, key: str) -> Json:
    told = spec["root"]["dag"]["tasks"][task]["inputs"]["parameters"][key]
    return json.loads(told["runtimeValue"]["constant"])


def test_a_listed_entry_is_a_parameter_with_the_recipes_value_as_its_default(spec):
    found = with_parameters(spec, ["train.epochs", "train.learning_rate", "model.function"])
    table, model = _constant(spec, TRAINER, "train"), _constant(spec, TRAINER, "model")
    assert found["root"]["inputDefinitions"]["parameters"] == {
        "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": table["epochs"], "isOptional": True},
        "learning_rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": table["learning_rate"], "isOptional": True},
        "function": {"parameterType": "STRING", "defaultValue": model["function"], "isOptional": True},
    }
    assert with_parameters(spec, []) == spec


def test_every_task_that_is_told_the_table_gets_it_and_no_other(spec):
    found = with_parameters(spec, ["model.arguments.width"])
    key, tasks = "recipe--model--arguments--width", found["root"]["dag"]["tasks"]
    assert [task for task, body in tasks.items() if key in body["inputs"]["parameters"]] == [TRAINER, "PieceExtractor"]
    seen = lay_over(_told(found, "PieceExtractor", {"width": 16}))
    assert {json.loads(seen[name])["arguments"]["width"] for name in ("model", "upstream_model")} == {16}
    assert "args" not in _told(found, "PublishGate", {"width": 16})


@pytest.mark.parametrize(("given", "epochs"), [({}, None), ({"epochs": 3}, 3), ({"epochs": 3.0}, 3)])
def test_what_was_submitted_is_what_the_component_sees(spec, given, epochs):
    told = _told(with_parameters(spec, ["train.epochs"]), TRAINER, given)
    before = _constant(spec, TRAINER, "train")
    seen = lay_over(told)
    assert EPOCHS not in seen
    assert json.loads(seen["train"]) == {**before, "epochs": epochs or before["epochs"]}
    assert isinstance(json.loads(seen["train"])["epochs"], int)
    if not given:
        assert seen == {key: told[key] for key in ("train", "model", "recipe_folder")}


def test_a_value_that_the_recipe_refuses_is_refused_in_its_sentence(spec):
    told = _told(with_parameters(spec, ["train.epochs"]), TRAINER, {"epochs": -1})
    with pytest.raises(RecipeError) as by_recipe:
        load_recipe("digits", {"train.epochs": -1})
    with pytest.raises(RecipeError) as in_pod:
        lay_over(told)
    assert in_pod.value.lines == by_recipe.value.lines
    assert "train.epochs" in in_pod.value.sentence


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["train.epoch"], r"one of \[train\] or \[model\], as train.epochs. Received: 'train.epoch'"),
        (["train"], r"one of \[train\] or \[model\]"),
        (["gate.min_gain"], r"one of \[train\] or \[model\]"),
        (["model.arguments"], "Expected a number or a text for each entry of kubeflow.parameters"),
        (["train.epochs", "model.arguments.epochs"], "whose last words differ"),
    ],
)
def test_what_can_be_no_parameter_is_refused_when_it_is_compiled(spec, entries, words):
    with pytest.raises(RecipeError, match=words):
        with_parameters(spec, entries)


def test_the_entry_point_lays_it_over_before_the_component_is_called(tmp_path, monkeypatch):
    seen: list[Json] = []

    def run(function: str, executor: str, given: Json, inputs_spec: Json) -> Json:
        seen.append(given["inputs"]["parameterValues"])
        return {"artifacts": {}}

    monkeypatch.setattr(light, "run", run)
    values = {"train": '{"epochs":20}', EPOCHS: 3}
    asked = {"inputs": {"parameterValues": values}, "outputs": {"outputFile": str(tmp_path / "output.json")}}
    argv = ["x", "--executor_class_path", "a.B_Executor", "--json_serialized_invocation_args", json.dumps(asked)]
    argv += [entrypoint.LIGHT_FUNCTION, "a.work", entrypoint.LAY_OVER, "pipelines.recipe.laid_over.lay_over"]
    assert entrypoint.main(argv) == 0
    assert seen == [{"train": '{"epochs":3}'}]
    assert isinstance(entrypoint.parse(argv)[0], argparse.Namespace)
