"""What a submission may give: from the package, by the replay and the check, to what a component sees."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from piecehub.containers import entrypoint, light
from piecehub.errors import RecipeError
from piecehub.facts.workdir import Workdir
from pipelines.kubeflow_platform import OnCluster
from pipelines.kubeflow_runner import compile_recipe
from pipelines.recipe.laid_over import lay_over
from pipelines.recipe.loader import load_recipe
from pipelines.recipe.submitted import check_submission
from tests.kubeflow.driver import Json, Metadata, Run

CHECK, TRAINER = "SubmissionCheck", "FullModelTrainer"
# Entries of every kind, each with another value; `sharpness` is none of the recipe's, so its own type decides.
CHANGED: dict[str, Any] = {
    "train.epochs": 3,
    "train.learning_rate": 2.0,
    "train.seed": 77,
    "model.arguments.width": 16,
    "model.arguments.smooth": True,
    "evaluation.steps": 7,
    "evaluation.max_seconds": 60.0,
    "gate.min_gain": 0.01,
    "gate.mode": "feature_extraction",
    "gate.min_seeds": 3,
    "documentation.license": "mit",
    "recipe.publisher": "acme",
    "data.label": "digit",
    "data.arguments.eval_fraction": 0.25,
}
SETTINGS = {"model.arguments.smooth": False, "train.learning_rate": 1.0}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("submitted")


def _compiled(work: Path, settings: Json, cluster: OnCluster | None = None) -> Json:
    """The pipeline of a package of `digits`."""
    loaded = load_recipe("digits")
    if "model.arguments.smooth" in settings:  # the recipe's own function takes no such argument, and is not run
        from pipelines.recipe.loader import parse_text
        from pipelines.recipe.tables import LoadedRecipe

        loaded = LoadedRecipe(loaded.folder, parse_text(loaded.text, settings), loaded.text, settings)
    else:
        loaded = load_recipe("digits", settings)
    compile_recipe(loaded, Workdir(work / "work"), work / "package.yaml", "registry.example/p:1", cluster=cluster)
    return next(yaml.safe_load_all((work / "package.yaml").read_bytes()))


@pytest.fixture(scope="module")
def spec(work: Path) -> Json:
    return _compiled(work, {**SETTINGS, "kubeflow.parameters": list(CHANGED)})


def _name(entry: str) -> str:
    return entry.rpartition(".")[2]


def _given(spec: Json, parameters: Json) -> Json:
    """What the driver tells the check of a submission, as its function takes it."""
    told = Run(spec, "minio://m/runs", "a-run", parameters).executor_input(CHECK, Metadata(), "0")
    values = told["inputs"]["parameterValues"]
    return {key: value for key, value in values.items() if not key.endswith("_digest")}


def _told(spec: Json, parameters: Json) -> dict[str, Json]:
    """What each task but the check is told by its driver, once what was submitted is checked and laid over."""
    metadata = Metadata()
    tasks = spec["root"]["dag"]["tasks"]
    for task, body in tasks.items():
        outputs = spec["components"][body["componentRef"]["name"]].get("outputDefinitions", {})
        for key in outputs.get("artifacts", {}):
            metadata.publish(task, key, f"minio://m/{task}/{key}", {})
        metadata.values[task] = dict.fromkeys(outputs.get("parameters", {}), task)
    metadata.values[CHECK] = check_submission(**_given(spec, parameters)) if CHECK in tasks else {}
    run = Run(spec, "minio://m/runs", "a-run", parameters)
    inputs = {task: run.executor_input(task, metadata, "0")["inputs"] for task in tasks if task != CHECK}
    return {task: told.get("parameterValues", {}) for task, told in inputs.items()}


def _seen(told: dict[str, Json]) -> dict[str, Json]:
    """What components are told, with JSON read, since its text may be written otherwise."""

    def read(value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) and value.startswith("{") else value

    return {task: {key: read(value) for key, value in lay_over(values).items()} for task, values in told.items()}


def test_what_may_be_given_is_declared_with_what_was_compiled_as_its_default(spec):
    told = spec["root"]["inputDefinitions"]["parameters"]
    assert told.keys() == {*map(_name, CHANGED), "store", "data_seed", "data_test_fraction"}
    assert told["epochs"] == {"parameterType": "NUMBER_INTEGER", "defaultValue": 20, "isOptional": True}
    assert told["smooth"] == {"parameterType": "BOOLEAN", "defaultValue": False, "isOptional": True}
    assert told["mode"] == {"parameterType": "STRING", "defaultValue": "fine_tuning", "isOptional": True}
    assert told["min_gain"]["parameterType"] == "NUMBER_DOUBLE"
    assert told["store"]["defaultValue"].endswith("/work/store")


def test_a_submission_that_gives_nothing_does_what_a_package_without_parameters_does(spec, work):
    assert _seen(_told(spec, {})) == _seen(_told(_compiled(work, SETTINGS), {}))


def test_what_is_given_reaches_every_task_as_if_it_had_been_compiled(spec, work):
    """The second way is the compiler with these values in the recipe."""
    compiled = _compiled(work, {**SETTINGS, **CHANGED})
    given = {_name(entry): value for entry, value in CHANGED.items()}
    assert _seen(_told(spec, given)) == _seen(_told(compiled, {}))
    assert json.loads(lay_over(_told(spec, given)[TRAINER])["train"])["learning_rate"] == 2.0


def test_who_does_not_see_a_value_comes_from_the_cache_when_it_changes(spec):
    before = _told(spec, {})
    for entry, value, reach in [
        ("epochs", 3, {TRAINER}),
        ("min_gain", 0.5, {"PublishGate"}),
        ("store", "s3://other/models", {"IncumbentResolver", "HubPusher"}),
        ("data_seed", 9, {"ExampleWriter"}),
        ("license", "mit", {"ReusabilityValidator", "DocumentationWriter"}),
    ]:
        after = _told(spec, {entry: value})
        assert {task for task in before if after[task] != before[task]} == reach
    cached = spec["root"]["dag"]["tasks"][CHECK]["cachingOptions"]
    assert cached == {"enableCache": True}


@pytest.mark.parametrize(("entry", "value"), [("train.epochs", -1), ("train.epochs", 2.5), ("gate.mode", "any")])
def test_a_value_that_the_recipe_refuses_is_refused_in_its_sentence(spec, entry, value):
    with pytest.raises(RecipeError) as by_recipe:
        load_recipe("digits", {entry: value})
    with pytest.raises(RecipeError) as in_pod:
        check_submission(**_given(spec, {_name(entry): value}))
    assert in_pod.value.lines == by_recipe.value.lines
    assert entry in in_pod.value.sentence


@pytest.mark.parametrize("store", ["ftp://shop", "/mnt/store", "s3://key:secret@shop"])
def test_a_store_is_refused_in_the_sentence_of_the_compiler(spec, store):
    with pytest.raises(RecipeError) as by_compiler:
        OnCluster(store=store)
    with pytest.raises(RecipeError) as in_pod:
        check_submission(**_given(spec, {"store": store}))
    assert in_pod.value.sentence == by_compiler.value.sentence


def test_a_value_of_another_type_is_refused_where_the_recipe_has_none(spec):
    with pytest.raises(RecipeError, match=r"Expected a whole number for the parameter 'width'\. Received: 5\.5\."):
        check_submission(**_given(spec, {"width": 5.5}))


def test_the_place_of_the_records_and_their_span_are_the_listings_alone(work):
    own = {"data.folder": "s3://shop/{SPAN}", "data.module": "", "data.arguments": {}}
    spec = _compiled(work, own)
    told = {name: one["defaultValue"] for name, one in spec["root"]["inputDefinitions"]["parameters"].items()}
    assert told | {"store": ""} == {"data": "s3://shop/{SPAN}", "span": "", "store": ""}
    before, after = _told(spec, {}), _told(spec, {"data": "gs://other/{YYYY}-{MM}-{DD}", "span": "2026-01-31"})
    assert {task for task in before if after[task] != before[task]} == {"DataListing"}
    assert after["DataListing"]["place"] == "gs://other/{YYYY}-{MM}-{DD}"
    assert after["DataListing"]["span"] == "2026-01-31"
    for place, words in [("records", "as the parameter 'data'"), ("s3://shop/{WEEK}", "Received: '{WEEK}'")]:
        with pytest.raises(RecipeError) as refused:
            check_submission(**_given(spec, {"data": place}))
        assert words in refused.value.sentence


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["train.epoch"], "'train.epoch', which is none; did you mean 'train.epochs'"),
        (["nothing.here"], "'nothing.here', which is none; correct it"),
        (["model.arguments"], "Expected a number, a text, true or false for each entry"),
        (["evaluation.seeds"], "Expected a number, a text, true or false for each entry"),
        (["train.epochs", "model.arguments.epochs"], "'model.arguments.epochs', which is none; correct it"),
        (["train.seed", "data.arguments.seed"], "whose last words differ"),
        (["piece.layer"], "of a table that may stand several times"),
        (["recipe.name"], "by which the package has other tasks"),
        (["data.upstream"], "by which the package has other tasks"),
        (["model.parent"], "which is read when the package is compiled"),
        (["model.module"], "which is read when the package is compiled"),
        (["data.module"], "whose code is that of the package"),
        (["data.schema"], "'schema_file' of ImportSchemaGen is worked out"),
        (["train.precision"], "or which it leaves out at its default"),
        (["recipe.minutes"], "which changes nothing that a task is told"),
    ],
)
def test_what_can_be_no_parameter_is_refused_when_it_is_compiled(work, entries, words):
    with pytest.raises(RecipeError) as refused:
        _compiled(work, {"kubeflow.parameters": entries})
    assert words in refused.value.sentence


def test_numbers_that_kubeflow_would_change_are_no_parameters(work):
    told = {f"data.arguments.{key}": value for key, value in {"seed": 2**53 + 1, "eval_fraction": 0.3}.items()}
    found = _compiled(work, told)["root"]["inputDefinitions"]["parameters"]
    assert found.keys() == {"store", "data_eval_fraction", "data_test_fraction"}
    with pytest.raises(RecipeError, match=r"which is 9007199254740993: Kubeflow keeps no such number"):
        _compiled(work, {**told, "kubeflow.parameters": ["data.arguments.seed"]})


def test_the_check_starts_light_without_the_recipes_folder_and_its_sentence_is_the_last_line(work):
    """As a process, of a package whose code lies in an archive."""
    cluster = OnCluster(code=str(work / "code"))
    spec = _compiled(work, {"kubeflow.parameters": ["train.epochs"]}, cluster)
    (container,) = (
        executor["container"] for label, executor in spec["deploymentSpec"]["executors"].items() if CHECK in label
    )
    assert len(list((work / "code").glob("*.tar.gz"))) == 1
    for epochs, returncode in ((3, 0), (-1, 1)):
        asked = Run(spec, "minio://m/runs", "a-run", {"epochs": epochs}).executor_input(CHECK, Metadata(), "0")
        asked["outputs"]["outputFile"] = str(work / f"{returncode}.json")
        argv = [json.dumps(asked) if word == "{{$}}" else word for word in container["args"]]
        command = [sys.executable, *container["command"][1:], *argv]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == returncode, done.stderr
    assert json.loads((work / "0.json").read_text())["parameterValues"]["epochs"] == 3
    assert done.stderr.strip().splitlines()[-1].startswith("Expected a number greater than or equal to 0 for 'train")
    assert not (work / "1.json").exists()


def test_the_entry_point_lays_it_over_before_the_component_is_called(tmp_path, monkeypatch):
    seen: list[Json] = []

    def run(function: str, executor: str, given: Json, inputs_spec: Json) -> Json:
        seen.append(given["inputs"]["parameterValues"])
        return {"artifacts": {}}

    monkeypatch.setattr(light, "run", run)
    values = {"train": '{"epochs":20}', "recipe--train--epochs": 3}
    asked = {"inputs": {"parameterValues": values}, "outputs": {"outputFile": str(tmp_path / "output.json")}}
    argv = ["x", "--executor_class_path", "a.B_Executor", "--json_serialized_invocation_args", json.dumps(asked)]
    argv += [entrypoint.LIGHT_FUNCTION, "a.work", entrypoint.LAY_OVER, "pipelines.recipe.laid_over.lay_over"]
    assert entrypoint.main(argv) == 0
    assert seen == [{"train": '{"epochs":3}'}]
    assert isinstance(entrypoint.parse(argv)[0], argparse.Namespace)
