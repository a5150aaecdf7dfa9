"""What a person may give at submission: entries of a recipe as parameters of its package.

An entry that `[kubeflow] parameters` lists, such as `train.epochs`, becomes the parameter `epochs` of the pipeline,
with the recipe's value as its default, and an input `recipe--train--epochs` of every task whose JSON of that table
holds it:

    root.inputDefinitions.parameters    {"epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 20}}
    tasks.T.inputs.parameters           {"recipe--train--epochs": {"componentInputParameter": "epochs"}}

In the container it is laid over that JSON before the component, its code or its provenance sees it
(pipelines/recipe/laid_over.py).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from piecehub.containers.entrypoint import LAY_OVER
from piecehub.errors import RecipeError
from pipelines.recipe.laid_over import PREFIX, tables_of

_WORK = "pipelines.recipe.laid_over.lay_over"
_TYPES = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"}
Spec = dict[str, Any]


def with_parameters(spec: Mapping[str, Any], entries: Sequence[str]) -> Spec:
    """The spec of a package with these entries of its recipe as parameters.

    Raises:
        RecipeError: if no task has such an entry, it is no number and no text, or two would have one name.
    """
    found = deepcopy(dict(spec))
    names: dict[str, str] = {}
    for entry in entries:
        name = entry.rpartition(".")[2]
        if name in names:
            raise RecipeError(
                f"Expected entries of kubeflow.parameters whose last words differ. Received: '{names[name]}' and "
                f"'{entry}'; list one of them."
            )
        names[name] = entry
        _add(found, entry, name)
    return found


def _add(spec: Spec, entry: str, name: str) -> None:
    path = entry.split(".")
    held = list(_holders(spec, path))
    if not held:
        raise RecipeError(
            "Expected as an entry of kubeflow.parameters one of [train] or [model], as train.epochs. Received: "
            f"'{entry}'; the recipe leaves it out, or needs it when the package is compiled."
        )
    value = held[0][1]
    if type(value) not in _TYPES:
        raise RecipeError(
            f"Expected a number or a text for each entry of kubeflow.parameters. Received: '{entry}', which is "
            f"{json.dumps(value)}."
        )
    kind = _TYPES[type(value)]
    told = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    told[name] = {"parameterType": kind, "defaultValue": value, "isOptional": True}
    key = PREFIX + "--".join(path)
    for task in dict.fromkeys(task for task, _ in held):
        body = spec["root"]["dag"]["tasks"][task]
        body["inputs"]["parameters"][key] = {"componentInputParameter": name}
        component = spec["components"][body["componentRef"]["name"]]
        component["inputDefinitions"]["parameters"][key] = {"parameterType": kind}
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        if LAY_OVER not in container["args"]:
            container["args"] = [*container["args"], LAY_OVER, _WORK]


def _holders(spec: Mapping[str, Any], path: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Each task whose JSON holds the entry, with its value there."""
    for task, body in spec["root"]["dag"]["tasks"].items():
        given = body.get("inputs", {}).get("parameters", {})
        constants = {key: told["runtimeValue"]["constant"] for key, told in given.items() if "runtimeValue" in told}
        for _, table in tables_of(constants, path[0]):
            place: Any = table
            for word in path[1:]:
                place = place.get(word) if isinstance(place, dict) else None
            if place is not None and len(path) > 1:
                yield task, place
