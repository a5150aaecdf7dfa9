"""The table `[kubeflow]` of a recipe: what its pods ask of a cluster, which changes nothing that they compute."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import ConfigDict, Field

_PROCESSORS = r"^$|^[0-9]+(\.[0-9]+)?$|^[0-9]+m$"
_BYTES = r"^$|^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$"
_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_LABEL = r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"

Processors = Annotated[str, Field(pattern=_PROCESSORS)]
Bytes = Annotated[str, Field(pattern=_BYTES)]
Name = Annotated[str, Field(pattern=_NAME)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]
Label = Annotated[str, Field(pattern=_LABEL)]


@dataclass(frozen=True)
class OnKubeflow:
    """`[kubeflow]`: what pods ask of a cluster (docs/kubeflow.md); a run on this machine heeds none of it.

    Attributes:
        cpu: processors, as `"2"` or `"500m"`, of pods that start TensorFlow; asked for and never exceeded.
        memory: theirs, as `"8Gi"`.
        gpus: of the pods that train: the full model's trainer and the evaluators.
        gpu_type: what the cluster calls one.
        environment: variables of every container, by name; no secrets, for they stand in the package.
        secrets: further secrets of the cluster, by name, each with the keys that become variables of their names.
        secret_files: further secrets by name, each with the folder at which it is mounted.
        scratch: the size of an empty folder at `/scratch` for temporary files (`TMPDIR`), in pods that start
            TensorFlow.
        deadline_s: how many seconds one attempt of a task may take; 0 is no limit.
        node_selector: labels that a node must have.
        tolerations: taints that pods put up with, each a table of `key`, `operator`, `value` and `effect`.
        pull_secret: that with which the image is pulled.
        labels: of every pod.
        parameters: entries of the recipe, as `train.epochs`, that a submission may give another value; each becomes a
            parameter of the pipeline by its last word. One of which tasks are told what follows from it is refused.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    cpu: Processors = ""
    memory: Bytes = ""
    gpus: Annotated[int, Field(ge=0)] = 0
    gpu_type: Label = "nvidia.com/gpu"
    environment: dict[Variable, str] = field(default_factory=dict[str, str])
    secrets: dict[Name, tuple[Variable, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    secret_files: dict[Name, Annotated[str, Field(pattern=r"^/[^:]*$")]] = field(default_factory=dict[str, str])
    scratch: Bytes = ""
    deadline_s: Annotated[int, Field(ge=0)] = 0
    node_selector: dict[Label, str] = field(default_factory=dict[str, str])
    tolerations: tuple[dict[str, str], ...] = ()
    pull_secret: Annotated[str, Field(pattern=rf"^$|{_NAME}")] = ""
    labels: dict[Label, str] = field(default_factory=dict[str, str])
    parameters: tuple[Annotated[str, Field(pattern=r"^\w+(\.\w+)+$")], ...] = ()
