"""The one door to TFX's `@component`: typed for the checker, loud on its traps, and the writer of provenance.

Traps of TFX 1.21 that make no noise and raise here: postponed annotations, keyword-only arguments, defaults (a
parameter left at its default is recorded nowhere; only an `OptionalInput` has one, None), parameters other than int,
float and str (bool, dict and list change their type on Kubeflow), a missing docstring, and code without a digest (the
cache would return what older code made).

What stands around the function, the comparison of code and `provenance.json`, is `piecehub/containers/door.py`.
Examples and their statistics have none: what they are is told by those who read them, by the digests of records.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from tfx.dsl.component.experimental import annotations, decorators
from tfx.types import artifact, standard_artifacts
from tfx.types.system_executions import Deploy, Evaluate, Process, SystemExecution, Train, Transform

from piecehub.containers import door
from piecehub.examples.ingest import read_facts
from piecehub.facts import provenance
from piecehub.facts.content import canonical_json, sha256_bytes

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
    "component",
    "note",
]
_SCALARS = (int, float, str)
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
    if missing := [key for key in door.DIGESTS if key not in parameters]:
        raise TypeError(f"Expected the parameter '{missing[0]}' on {name}. Received: none; its cache would go stale.")


def _door(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def behind_door(**arguments: Any) -> None:
        annotated = inspect.signature(function).parameters
        kinds = {key: type(parameter.annotation) for key, parameter in annotated.items()}
        parameters = {k: v for k, v in arguments.items() if kinds[k] is annotations.Parameter}
        door.refuse_other_code(function.__name__, function.__module__, parameters)
        read = {k: v for k, v in arguments.items() if kinds[k] is annotations.InputArtifact and v is not None}
        inputs = {k: _inputs(v) for k, v in read.items()}
        function(**arguments)
        for key, value in arguments.items():
            if kinds[key] is annotations.OutputArtifact and value.type_name not in _TOLD_BY_READERS:
                note(value, door.leave_provenance(function.__name__, key, Path(value.uri), inputs, parameters))

    behind_door.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # TFX reads its arguments
    return behind_door


def _inputs(value: Any) -> list[provenance.Input]:
    return [_describe(item) for item in (value if isinstance(value, list) else [value])]


def _describe(item: artifact.Artifact) -> provenance.Input:
    """An input by value: examples by their records, which were digested as they came in, all else by its files."""
    if item.type_name == standard_artifacts.Examples.TYPE_NAME:
        splits = {name: facts.digest for name, facts in sorted(read_facts(item.uri).items())}
        return provenance.Input(item.type_name, f"sha256:{sha256_bytes(canonical_json(splits))}", splits)
    return door.described(item.type_name, Path(item.uri))


def note(output: artifact.Artifact, facts: Mapping[str, str | int | float]) -> None:
    """Notes facts of an output in ML Metadata, each as what it is."""
    for key, value in facts.items():
        if isinstance(value, str):
            output.set_string_custom_property(key, value)
        elif isinstance(value, int):
            output.set_int_custom_property(key, value)
        else:
            output.set_float_custom_property(key, value)
