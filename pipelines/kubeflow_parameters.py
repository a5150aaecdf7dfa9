"""What a person may give at submission: the parameters of a package.

    store           the bucket that it publishes to
    data, span      where records lie, and which of their spans is read (of a recipe that names a folder)
    data_NAME       the argument NAME of `data.module`, where it is a number, a text, true or false
    NAME            each entry of the recipe that `[kubeflow] parameters` lists, by its last word

What was compiled is each one's default. All are inputs of one task, `SubmissionCheck`, which hands the values on:

    root.inputDefinitions.parameters     {"epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 20}}
    tasks.SubmissionCheck.inputs…        {"given--epochs": {"componentInputParameter": "epochs"}}
    tasks.FullModelTrainer.inputs…       {"recipe--train--epochs": {"taskOutputParameter": {…, "epochs"}}}
    tasks.PublishGate.inputs…            {"min_gain": {"taskOutputParameter": {…, "min_gain"}}}

An input `recipe--…` is laid over the JSON of a parameter in the container (pipelines/recipe/laid_over.py). Which tasks
take an entry is found by another value in its place (pipelines/recipe_entries.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from piecehub.containers.entrypoint import LAY_OVER
from piecehub.errors import RecipeError
from pipelines.kubeflow_tasks import TEXT, OwnTask, submission_check
from pipelines.recipe.laid_over import input_name
from pipelines.recipe.submitted import DATA, GIVEN, SPAN, STORE, Scalar
from pipelines.recipe.tables import LoadedRecipe
from pipelines.recipe_entries import Place, Tasks, Told, can_be_given, places_of, value_of_entry

_WORK = "pipelines.recipe.laid_over.lay_over"
_TYPES: dict[type, str] = {bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: TEXT}
_ARGUMENTS = "data.arguments."
Spec = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a package.

    Attributes:
        name: its own.
        default: what was compiled.
        places: where it reaches tasks.
        entry: the recipe's, which it gives; empty for none.
    """

    name: str
    default: Scalar
    places: tuple[Place, ...]
    entry: str = ""

    @property
    def kind(self) -> str:
        """Its type on Kubeflow."""
        return _TYPES[type(self.default)]


def parameters_of(loaded: LoadedRecipe, told: Told, looks: OwnTask, others: Sequence[OwnTask]) -> list[Parameter]:
    """The parameters of a recipe's package.

    Args:
        loaded: the recipe.
        told: what each component is told, of a recipe.
        looks: the task that lists the data, or writes them.
        others: the package's other tasks of its own.

    Raises:
        RecipeError: if a submission cannot give an entry that is listed, or two would have one name.
    """
    listed = loaded.config.kubeflow.parameters
    tasks: Tasks = told(loaded.config)[1] | {task.name: task.parameters for task in (looks, *others)}
    found = [*_of_store(tasks), *_of_data(loaded, looks, listed)]
    for entry in listed:
        name = entry.rpartition(".")[2]
        value = value_of_entry(loaded.config, entry)
        if entry.startswith(_ARGUMENTS):
            places: tuple[Place, ...] = ((looks.name, "arguments", tuple(entry.removeprefix(_ARGUMENTS).split("."))),)
        else:
            places = places_of(loaded, entry, told)
        found.append(Parameter(name, value, places, entry))
    _refuse_one_name(found)
    return found


def check_of(loaded: LoadedRecipe, parameters: Iterable[Parameter]) -> OwnTask:
    """The task that holds what is submitted against the recipe."""
    asked = {one.name: {"entry": one.entry, "default": one.default} for one in parameters}
    return submission_check(loaded, asked, {one.name: one.kind for one in parameters})


def with_parameters(spec: Mapping[str, Any], parameters: Sequence[Parameter], check: OwnTask) -> Spec:
    """The spec, which has the check in it, with the parameters; the given one stays."""
    found = deepcopy(dict(spec))
    told = found["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    tasks = found["root"]["dag"]["tasks"]
    for one in parameters:
        told[one.name] = {"parameterType": one.kind, "defaultValue": one.default, "isOptional": True}
        tasks[check.name]["inputs"]["parameters"][GIVEN + one.name] = {"componentInputParameter": one.name}
        for place in one.places:
            _take(found, place, one, check.name)
    return found


def _of_store(tasks: Tasks) -> Iterable[Parameter]:
    see = {task: told["store_folder"] for task, told in tasks.items() if "store_folder" in told}
    yield Parameter(STORE, next(iter(see.values())), tuple((task, "store_folder", ()) for task in see))


def _of_data(loaded: LoadedRecipe, looks: OwnTask, listed: Sequence[str]) -> Iterable[Parameter]:
    if not loaded.config.data.module:
        yield Parameter(DATA, looks.parameters["place"], ((looks.name, "place", ()),), "data.folder")
        yield Parameter(SPAN, "", ((looks.name, "span", ()),))
        return
    for name, value in loaded.config.data.arguments.items():
        if can_be_given(value) and _ARGUMENTS + name not in listed:
            yield Parameter(f"data_{name}", value, ((looks.name, "arguments", (name,)),), _ARGUMENTS + name)


def _refuse_one_name(parameters: Sequence[Parameter]) -> None:
    names: dict[str, str] = {}
    for one in parameters:
        called = one.entry or one.name
        if one.name in names:
            raise RecipeError(
                "Expected entries of kubeflow.parameters whose last words differ, and are no other parameter's name. "
                f"Received: '{names[one.name]}' and '{called}'; list one of them."
            )
        names[one.name] = called


def _take(spec: Spec, place: Place, one: Parameter, check: str) -> None:
    """Lets a task take a parameter, as a parameter of its own or in the JSON of one."""
    task, key, path = place
    body = spec["root"]["dag"]["tasks"][task]
    component = spec["components"][body["componentRef"]["name"]]
    source = {"taskOutputParameter": {"producerTask": check, "outputParameterKey": one.name}}
    body["dependentTasks"] = sorted({*body.get("dependentTasks", []), check})
    if not path:
        body["inputs"]["parameters"][key] = source
        return
    carried = input_name(key, path)
    body["inputs"]["parameters"][carried] = source
    component["inputDefinitions"]["parameters"][carried] = {"parameterType": one.kind}
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    if LAY_OVER not in container["args"]:
        container["args"] = [*container["args"], LAY_OVER, _WORK]
