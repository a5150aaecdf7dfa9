"""What pods ask of their cluster where the recipe does not say: of what was measured, and nothing guessed.

    memory   the peak that was measured and a quarter more, in steps of 64Mi
    cpu      as many processors as it kept busy, and at least what does its work of `digits` in 5 seconds (one at most),
             in steps of 100m

Measured is, for what starts TensorFlow, a run of the pipeline in the working folder (pipelines/cost/earlier.py); where
there is none, or that held less, the pods of `digits`, by component (pipelines/kubeflow_measured.py, which
benchmarks/bench_requests.py writes). In a run on one machine components share a process, so what a light one held there
is not its own.

These are requests without limits. A request is what the scheduler keeps free; a limit on memory kills what exceeds it,
in every retry alike, and a measure of yesterday's data must not do that to tonight's run: what has a limit is what a
person stated in `[kubeflow]`. A limit on processors only slows down what could have had idle ones.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.cost.earlier import Held
from pipelines.kubeflow_measured import MEASURED
from pipelines.kubeflow_mend import executor_path

HEADROOM = 1.25
_STEP_BYTES = 64 << 20
_STEP_CPU = 0.1
_LEAST_S = 5.0
_STATED = "[kubeflow]"


@dataclass(frozen=True)
class Request:
    """What the pod of a task asks for, and by what.

    Attributes:
        cpu: processors, as Kubernetes writes them.
        memory: bytes, likewise.
        cpu_from: whose figure that is: `[kubeflow]`, a run, or such a component's in `digits`.
        memory_from: the same of the memory.
        cpu_limit: which it never exceeds; empty for no limit.
        memory_limit: the same of the memory.
    """

    task: str
    cpu: str
    memory: str
    cpu_from: str
    memory_from: str
    cpu_limit: str = ""
    memory_limit: str = ""

    @property
    def told_by(self) -> str:
        """Both sources, for a person."""
        same = self.cpu_from == self.memory_from
        return self.memory_from if same else f"cpu: {self.cpu_from}; memory: {self.memory_from}"


def constants(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By task of a package, the parameters that are known now."""
    found: dict[str, dict[str, Any]] = {}
    for task, body in spec["root"]["dag"]["tasks"].items():
        given = body.get("inputs", {}).get("parameters", {})
        found[task] = {key: told["runtimeValue"]["constant"] for key, told in given.items() if "runtimeValue" in told}
    return found


def ask_by_default(spec: Mapping[str, Any], took: Mapping[str, Held], light: Collection[str]) -> tuple[Request, ...]:
    """Writes requests into the containers of a spec that have none yet, and returns what all of them ask for.

    Args:
        spec: the package.
        took: by task, what a run of the same pipeline took.
        light: the executors that start no TensorFlow.
    """
    executors = spec["deploymentSpec"]["executors"]
    found: list[Request] = []
    for task, body in sorted(spec["root"]["dag"]["tasks"].items()):
        container = executors[spec["components"][body["componentRef"]["name"]]["executorLabel"]]["container"]
        path = executor_path(container)
        wanted = _wanted(task, path, None if path in light else took.get(task), light)
        stated = container.get("resources", {})
        both = {"resourceCpuRequest": wanted.cpu, "resourceMemoryRequest": wanted.memory, **stated}
        container["resources"] = both
        found.append(_told(wanted, stated, both))
    return tuple(found)


def _wanted(task: str, path: str, took: Held | None, light: Collection[str]) -> Request:
    (cpu_s, peak_bytes), least_from = _least(path, light)
    least = min(1.0, cpu_s / _LEAST_S)
    if took is None:
        return Request(task, _processors(least), _memory(peak_bytes), least_from, least_from)
    run = f"run {took.run}{'' if took.told_the_same else ', which was told other parameters'}"
    cpu, cpu_from = max((least, least_from), (took.processors, run))
    memory, memory_from = max((peak_bytes, least_from), (took.peak_bytes, run))
    return Request(task, _processors(cpu), _memory(memory), cpu_from, memory_from)


def _least(path: str, light: Collection[str]) -> tuple[tuple[float, int], str]:
    """What a component took where it had little to do; of one that was not measured, the most that one alike took."""
    if path in MEASURED:
        return MEASURED[path], "measured in digits"
    alike = [each for other, each in MEASURED.items() if (other in light) == (path in light)]
    most = max((cpu_s for cpu_s, _ in alike), default=0.0), max((peak for _, peak in alike), default=0)
    return most, "the most of such components in digits"


def _told(wanted: Request, stated: Mapping[str, Any], both: Mapping[str, Any]) -> Request:
    return Request(
        wanted.task,
        both["resourceCpuRequest"],
        both["resourceMemoryRequest"],
        _STATED if "resourceCpuRequest" in stated else wanted.cpu_from,
        _STATED if "resourceMemoryRequest" in stated else wanted.memory_from,
        both.get("resourceCpuLimit", ""),
        both.get("resourceMemoryLimit", ""),
    )


def _memory(peak_bytes: int) -> str:
    return f"{math.ceil(peak_bytes * HEADROOM / _STEP_BYTES) * (_STEP_BYTES >> 20)}Mi"


def _processors(count: float) -> str:
    steps = max(1, math.ceil(round(count / _STEP_CPU, 6)))
    return f"{steps * 100}m"
