"""The one door to TFX's `@component`: typed for the checker, loud on its traps, and the writer of provenance.

Traps of TFX 1.21 that make no noise and raise here: postponed annotations, keyword-only arguments, defaults (a
parameter left at its default is recorded nowhere; only an `OptionalInput` has one, None), parameters other than int,
float and str (bool, dict and list change their type on Kubeflow), a missing docstring, and code without a digest (the
cache would return what older code made).

Every component takes `code_digest` and `lock_digest`. Before the function runs the door compares the first with the
code at hand; afterwards it writes `provenance.json` beside each output and notes the same digests in ML Metadata.
Examples and their statistics have none: what they are is told by those who read them, by the digests of records.
"""

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from tfx.dsl.component.experimental import annotations, decorators
from tfx.types import artifact, standard_artifacts
from tfx.types.system_executions import Deploy, Evaluate, Process, SystemExecution, Train, Transform

from piecehub.containers import code
from piecehub.errors import EnvironmentProblem
from piecehub.examples.ingest import read_facts
from piecehub.facts import provenance
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.facts.tables import ModelTable

if TYPE_CHECKING:
    T = TypeVar("T")
    InputArtifact = Annotated[T, "input"]
    OptionalInput = Annotated[T | None, "input"]
    OutputArtifact = Annotated[T, "output"]
    Parameter = Annotated[T, "parameter"]
else:
    InputArtifact = OptionalInput = annotations.InputArtifact
    OutputArtifact = annotations.OutputArtifact
    Parameter = annotations.Parameter

__all__ = [
    "Deploy",
    "Evaluate",
    "InputArtifact",
    "OptionalInput",
    "OutputArtifact",
    "Parameter",
    "Process",
    "Train",
    "Transform",
]
_SCALARS = (int, float, str)
_DIGESTS = ("code_digest", "lock_digest")
_MODELS = ("model", "upstream_model")
_TOLD_BY_READERS = (standard_artifacts.Examples.TYPE_NAME, standard_artifacts.ExampleStatistics.TYPE_NAME)


def component(execution: type[SystemExecution]) -> Callable[[Callable[..., None]], Any]:
    """Makes a TFX component of a function, as an execution of the given kind.

    Raises:
        TypeError: when the function would fall into one of TFX's silent traps.
    """

    def decorate(function: Callable[..., None]) -> Any:
        _refuse_traps(function)
        factory: Any = decorators.component(component_annotation=execution)(cast(FunctionType, _door(function)))
        factory.__doc__ = function.__doc__
        return factory

    return decorate


def _refuse_traps(function: Callable[..., None]) -> None:
    name = function.__name__
    if not function.__doc__:
        raise TypeError(f"Expected a docstring on the component {name}. Received: none.")
    parameters = inspect.signature(function).parameters
    for key, parameter in parameters.items():
        if isinstance(parameter.annotation, str):
            raise TypeError(
                f"Expected evaluated annotations on {name}. Received: 'from __future__ import annotations'."
            )
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"Expected plain arguments on {name}. Received: '{key}', which TFX would drop.")
        annotation = parameter.annotation
        may_be_left_out = isinstance(annotation, annotations.InputArtifact) and parameter.default is None
        if parameter.default is not inspect.Parameter.empty and not may_be_left_out:
            raise TypeError(f"Expected no defaults on {name}. Received: one for '{key}', which no record would show.")
        if isinstance(annotation, annotations.Parameter) and annotation.type not in _SCALARS:
            raise TypeError(f"Expected int, float or str for {name}.{key}. Received: {annotation.type}.")
    if missing := [key for key in _DIGESTS if key not in parameters]:
        raise TypeError(f"Expected the parameter '{missing[0]}' on {name}. Received: none; its cache would go stale.")


def _door(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def door(**arguments: Any) -> None:
        annotated = inspect.signature(function).parameters
        kinds = {key: type(parameter.annotation) for key, parameter in annotated.items()}
        parameters = {k: v for k, v in arguments.items() if kinds[k] is annotations.Parameter}
        _refuse_other_code(function, parameters)
        read = {k: v for k, v in arguments.items() if kinds[k] is annotations.InputArtifact and v is not None}
        inputs = {k: _inputs(v) for k, v in read.items()}
        function(**arguments)
        for key, value in arguments.items():
            if kinds[key] is annotations.OutputArtifact and value.type_name not in _TOLD_BY_READERS:
                _note(function.__name__, key, value, inputs, parameters)

    door.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # TFX reads the arguments of it
    return door


def _refuse_other_code(function: Callable[..., None], parameters: dict[str, Any]) -> None:
    tables = [parameters[key] for key in _MODELS if parameters.get(key)]
    file = ModelTable.from_json(tables[0]).module if tables else ""
    of_recipe = ", or other files in the recipe's folder" if file else ""
    found = code.code_digest(function.__module__, parameters.get("recipe_folder", ""), file)
    if found != parameters["code_digest"]:
        raise EnvironmentProblem(
            f"Expected the code of {function.__name__} that the pipeline was compiled with. Received: other "
            f"code{of_recipe}; compile the pipeline again, or use the image that belongs to it."
        )


def _inputs(value: Any) -> list[provenance.Input]:
    return [_describe(item) for item in (value if isinstance(value, list) else [value])]


def _describe(item: artifact.Artifact) -> provenance.Input:
    """An input by value: examples by their records, which were digested as they came in, all else by its files."""
    folder = Path(item.uri)
    if item.type_name == standard_artifacts.Examples.TYPE_NAME:
        splits = {name: facts.digest for name, facts in sorted(read_facts(item.uri).items())}
        return provenance.Input(item.type_name, f"sha256:{sha256_bytes(canonical_json(splits))}", splits)
    return provenance.Input(item.type_name, provenance.artifact_digest(folder), None, provenance.read(folder))


def _note(
    component_name: str,
    key: str,
    output: artifact.Artifact,
    inputs: dict[str, list[provenance.Input]],
    parameters: dict[str, Any],
) -> None:
    folder = Path(output.uri)
    folder.mkdir(parents=True, exist_ok=True)
    made = provenance.make(
        component_name,
        key,
        provenance.artifact_digest(folder),
        inputs,
        {k: v for k, v in parameters.items() if k not in _DIGESTS and not provenance.is_place(k)},
        *(parameters[k] for k in _DIGESTS),
    )
    provenance.write(folder, made)
    output.set_string_custom_property("content_digest", made.statement["digest"])
    output.set_string_custom_property("provenance_digest", made.digest)
    splits = {k: dict(i.splits) for k, sources in inputs.items() for i in sources if i.splits}
    if splits:
        output.set_string_custom_property("input_splits", json.dumps(splits, sort_keys=True))
