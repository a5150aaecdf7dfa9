"""Runs a component that needs no TensorFlow without TFX, whose import takes 9 seconds: the same work, the same records.

The package names the function that does the component's work (`--light_function`). It takes folders for artifacts, a
list of them for an input of several, and values for parameters, by the names that the component has; it returns facts
of the one output. A task that only Kubeflow has (pipelines/kubeflow_tasks.py) has parameters for outputs, and its
function returns their values.
"""

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from piecehub.containers import door
from piecehub.containers.executor_input import Json
from piecehub.facts.provenance import Facts, Input

_EXECUTOR = "_Executor"
# The store's room stands above this one (failures.py).
_ARCHIVES = "piecehub.store.recipe_code"
_CASTS: dict[str, Callable[[Any], Any]] = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float}


def run(function: str, executor: str, given: Mapping[str, Any], inputs_spec: Mapping[str, Any]) -> Json:
    """Does the work, and returns what TFX's executor would write to the output file.

    Args:
        function: `module.name`.
        executor: the path of the executor's class, which names the component.
        given: the executor input, as `executor_input.for_tfx` returns it.
        inputs_spec: the component's `inputDefinitions`.

    Raises:
        OtherCode: if the component's code is not the package's.
    """
    module, _, name = function.rpartition(".")
    work: Callable[..., Any] = getattr(importlib.import_module(module), name)
    component_module, _, component = executor.removesuffix(_EXECUTOR).rpartition(".")
    # A component of TFX has no code of ours: nothing to compare, and no statement to make.
    is_ours = executor.endswith(_EXECUTOR)
    with _recipe_here(_parameters(given, inputs_spec)) as parameters:
        if is_ours:
            door.refuse_other_code(component, component_module, parameters)
        if "parameters" in given["outputs"]:
            return {"parameterValues": work(**_arguments(work, {}, parameters))}
        return _with_artifact(work, component if is_ours else "", parameters, given)


@contextmanager
def _recipe_here(parameters: dict[str, Any]) -> Generator[dict[str, Any]]:
    """The parameters with a folder of this pod where they name an archive of the recipe's code."""
    if not (recipe := parameters.get("recipe_folder")):
        yield parameters
        return
    archives: Any = importlib.import_module(_ARCHIVES)
    with archives.code_here(recipe) if archives.is_archive(recipe) else nullcontext(recipe) as folder:
        yield {**parameters, "recipe_folder": str(folder)}


def _with_artifact(
    work: Callable[..., Facts], component: str, parameters: dict[str, Any], given: Mapping[str, Any]
) -> Json:
    """Lets the function make the one output; of a component of ours that says whence it is."""
    read = {key: _read(listed) for key, listed in given["inputs"].get("artifacts", {}).items()}
    ((key, (output,)),) = ((key, listed["artifacts"]) for key, listed in given["outputs"]["artifacts"].items())
    folder = Path(output["uri"])
    inputs: dict[str, list[Input]] = {}
    if component:
        inputs = {name: [door.described(kind, place) for kind, place in several] for name, several in read.items()}
    folder.mkdir(parents=True, exist_ok=True)
    facts = work(**_arguments(work, read, parameters), **{key: folder})
    if component:
        facts |= door.leave_provenance(component, key, folder, inputs, parameters)
    noted = {**facts, "tfx_version": importlib.metadata.version("tfx")}
    # TFX hands on every number as a double.
    metadata = {name: float(fact) if isinstance(fact, int) else fact for name, fact in noted.items()}
    return {"artifacts": {key: {"artifacts": [{"name": output["name"], "uri": output["uri"], "metadata": metadata}]}}}


def _parameters(given: Mapping[str, Any], inputs_spec: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the component declares them: on Kubeflow all numbers are doubles."""
    kinds = {key: spec["parameterType"] for key, spec in inputs_spec.get("parameters", {}).items()}
    values = given["inputs"].get("parameterValues", {})
    return {key: _CASTS[kinds[key]](value) if kinds[key] in _CASTS else value for key, value in values.items()}


def _read(listed: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Type and folder of each artifact of an input."""
    return [(_type_name(artifact["type"]), Path(artifact["uri"])) for artifact in listed["artifacts"]]


def _type_name(declared: Mapping[str, Any]) -> str:
    """The TYPE_NAME of an artifact's type, by its title on Kubeflow, where TFX's own have a prefix."""
    title = declared.get("schemaTitle") or yaml.safe_load(declared["instanceSchema"])["title"]
    return str(title).removeprefix("tfx.")


def _arguments(
    work: Callable[..., Any], read: Mapping[str, list[tuple[str, Path]]], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """What the function takes of them: it has no use for digests, and a list where it says so."""
    found: dict[str, Any] = {key: value for key, value in parameters.items() if key not in door.DIGESTS}
    takes = inspect.signature(work).parameters
    for key, several in read.items():
        folders = [folder for _, folder in several]
        found[key] = folders if takes[key].annotation == list[Path] else folders[0]
    return found
