"""Tasks that only Kubeflow has: they look at data or store in every run, and tell others in parameters what they saw.

Kubeflow's cache knows artifacts by their ids, so whatever runs in every run makes all that reads its artifacts new. It
knows parameters by their values: what takes those of a task here comes from the cache until they change.

    DataListing      the newest records of `data.folder`, by names, sizes and times           piecehub/store/data.py
    ExampleWriter    what `data.module` writes now, by content              piecehub/training/written_examples.py
    ParentLookup     whether the parent is still allowed, and its digest                     piecehub/store/parent.py
    SubmissionCheck  what was submitted, held against the recipe                     pipelines/recipe/submitted.py

The last one sees nothing but parameters, so it comes from the cache itself.

While TFX compiles, such a value is a runtime parameter, since TFX names a task that makes one wrongly (`Gen_task`), and
its type not at all.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter

from piecehub.containers.code import code_digest, lock_digest
from piecehub.containers.entrypoint import LIGHT_FUNCTION
from piecehub.store.data import FINGERPRINT, FOLDER, output
from pipelines.data_key import parts_of, place_of
from pipelines.kubeflow_mend import EXECUTOR, Spec
from pipelines.pipeline import Source
from pipelines.recipe.submitted import GIVEN
from pipelines.recipe.tables import LoadedRecipe

TEXT = "STRING"


@dataclass(frozen=True)
class OwnTask:
    """One task, by its id.

    Attributes:
        module: where its function lies, whose code image and package must agree on.
        function: its name there; it takes the parameters, and returns the outputs by name.
        parameters: texts, known at compilation.
        outputs: their types by their names.
        is_light: whether it runs no code of the recipe, and so starts without TensorFlow.
        is_cached: whether it sees nothing but its parameters.
    """

    name: str
    module: str
    function: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    is_light: bool
    is_cached: bool = False

    @property
    def executor(self) -> str:
        """What tells the container which component it is; no class is there, for TFX is not asked."""
        return f"{self.module}.{self.name}_Executor"

    def value(self, name: str) -> RuntimeParameter:
        """What stands for an output while TFX compiles who takes it."""
        return RuntimeParameter(name=f"{self.name}.{name}", ptype=str)


def data_listing(loaded: LoadedRecipe) -> OwnTask:
    """Lists the records of `data.folder`."""
    parts = parts_of(loaded.config)
    told = {"place": place_of(loaded), "parts": json.dumps(parts), "span": ""}
    return _task("DataListing", "piecehub.store.data", "list_data", told, _outputs(parts) | {"span": TEXT})


def example_writer(loaded: LoadedRecipe, examples: str, recipe: str = "") -> OwnTask:
    """Runs the recipe's `data.module`, and lays what it writes down in `examples`, a folder or the uri of a bucket.

    `recipe` is the archive of the recipe's code; empty for the folder.
    """
    parts, data = parts_of(loaded.config), loaded.config.data
    told = {
        "recipe_folder": recipe or str(loaded.folder),
        "module": data.module,
        "arguments": json.dumps(data.arguments, sort_keys=True),
        "examples_folder": examples,
        "parts": json.dumps(parts),
    }
    module = "piecehub.training.written_examples"
    return _task("ExampleWriter", module, "lay_down_examples", told, _outputs(parts), str(loaded.folder))


def parent_lookup(handle: str, digest: str, store: str) -> OwnTask:
    """Asks the store whether the parent may still be used."""
    told = {"handle": handle, "digest": digest, "store_folder": store}
    return _task("ParentLookup", "piecehub.store.parent", "look_up_parent", told, {"digest": TEXT})


def submission_check(
    loaded: LoadedRecipe, asked: Mapping[str, Mapping[str, Any]], outputs: Mapping[str, str]
) -> OwnTask:
    """Holds what a submission gives against the recipe, whose text travels for that to this task alone.

    Args:
        loaded: the recipe.
        asked: by parameter of the package, the entry that it gives and its default (`submitted.check_submission`).
        outputs: their types.
    """
    told = {
        "recipe": loaded.text,
        "settings": json.dumps(loaded.settings, sort_keys=True),
        "asked": json.dumps(asked, sort_keys=True),
        **{GIVEN + name: "" for name in asked},
    }
    task = _task("SubmissionCheck", "pipelines.recipe.submitted", "check_submission", told, outputs)
    return replace(task, is_cached=True)


def sources_of(task: OwnTask, parts: Iterable[str]) -> dict[str, Source]:
    """Where each part lies, as a task says that lists or writes them."""
    return {part: (task.value(output(part, FOLDER)), task.value(output(part, FINGERPRINT))) for part in parts}


def with_own_tasks(spec: Mapping[str, Any], tasks: Sequence[OwnTask], image: str, command: Sequence[str]) -> Spec:
    """The spec with the tasks in it, and their outputs where TFX compiled runtime parameters; the given one stays."""
    joined = deepcopy(dict(spec))
    for task in tasks:
        _add(joined, task, image, command)
    known = {task.value(name).name: (task.name, name) for task in tasks for name in task.outputs}
    for body in joined["root"]["dag"]["tasks"].values():
        _join(body, known)
    definitions = joined["root"].get("inputDefinitions", {})
    for name in known:
        definitions.get("parameters", {}).pop(name, None)
    if "inputDefinitions" in joined["root"] and not any(definitions.values()):
        del joined["root"]["inputDefinitions"]
    return joined


def _task(
    name: str, module: str, function: str, told: Mapping[str, str], outputs: Mapping[str, str], recipe_folder: str = ""
) -> OwnTask:
    code = code_digest(module, recipe_folder, told.get("module", ""))
    given = {**told, "code_digest": code, "lock_digest": lock_digest()}
    return OwnTask(name, module, function, given, outputs, is_light=not recipe_folder)


def _outputs(parts: Iterable[str]) -> dict[str, str]:
    return {output(part, what): TEXT for part in parts for what in (FOLDER, FINGERPRINT)}


def _add(spec: Spec, task: OwnTask, image: str, command: Sequence[str]) -> None:
    label = f"{task.name}_executor"
    inputs = {"parameters": {name: {"parameterType": TEXT} for name in task.parameters}}
    arguments = {
        EXECUTOR: task.executor,
        "--json_serialized_invocation_args": "{{$}}",
        "--json_serialized_inputs_spec_args": json.dumps(inputs, sort_keys=True),
        LIGHT_FUNCTION: f"{task.module}.{task.function}",
    }
    spec["components"][task.name] = {
        "executorLabel": label,
        "inputDefinitions": inputs,
        "outputDefinitions": {"parameters": {name: {"parameterType": kind} for name, kind in task.outputs.items()}},
    }
    args = [word for pair in arguments.items() for word in pair]
    spec["deploymentSpec"]["executors"][label] = {"container": {"image": image, "command": list(command), "args": args}}
    spec["root"]["dag"]["tasks"][task.name] = {
        "taskInfo": {"name": task.name},
        "componentRef": {"name": task.name},
        "cachingOptions": {"enableCache": task.is_cached},
        "inputs": {
            "parameters": {key: {"runtimeValue": {"constant": value}} for key, value in task.parameters.items()}
        },
    }


def _join(body: Spec, known: Mapping[str, tuple[str, str]]) -> None:
    """Lets a task take its parameters from the tasks that make them, and wait for these."""
    for key, source in body.get("inputs", {}).get("parameters", {}).items():
        if made := known.get(source.get("componentInputParameter", "")):
            producer, name = made
            told = {"producerTask": producer, "outputParameterKey": name}
            body["inputs"]["parameters"][key] = {"taskOutputParameter": told}
            body["dependentTasks"] = sorted({*body.get("dependentTasks", []), producer})
