"""What pods of a Kubeflow package ask for by default, against what they were seen to hold.

`digits` with few trials runs twice: through the replay of Kubeflow's driver and launcher, each task in a sandbox of its
own by the compiled command, and as `piecehub run` on this machine. Of the pods (and of `results/starts.json`, where
that is more, or `digits` has no such task) it makes `pipelines/kubeflow_measured.py`: what a package asks for that is
compiled where nothing ran. One that is compiled beside the run asks by that, and both are held against the pods.

A pod holds what pipelines/cost/processes.py says, looked at twenty times a second.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench_starts import write_package
from benchmarks.record import RESULTS, stamp, write_table
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from pipelines.cost.processes import Looks, looked_at
from pipelines.kubeflow_mend import executor_path
from tests.kubeflow.cluster import Cluster, documents
from tests.kubeflow.pods import Node

_ROOT = Path(__file__).parent.parent
_MEASURED = _ROOT / "pipelines" / "kubeflow_measured.py"
_EVERY_S = 0.05
_FEW = (
    "train.epochs=3",
    "evaluation.shots=[5]",
    "evaluation.seeds=[0, 1, 2, 3, 4]",
    "evaluation.learning_rates=[0.003]",
    "evaluation.steps=10",
    "evaluation.sensitivity_batch_sizes=[32]",
    "gate.min_gain=-1.0",
    "gate.non_inferiority_margin=1.0",
)
_SETTINGS = [word for setting in _FEW for word in ("--set", setting)]
_HEAD = '''"""What each component took of `digits`, or to start; benchmarks/bench_requests.py writes this file.

By executor: seconds of processors, and the most memory that its pod held, in bytes. Measured at commit {commit}.
"""

MEASURED: dict[str, tuple[float, int]] = {{
'''


@dataclass(frozen=True)
class _Row:
    component: str
    pod_peak_mb: float
    pod_cpu_s: float
    memory_by_default: str
    cpu_by_default: str
    run_peak_mb: float | str
    memory_by_run: str
    cpu_by_run: str


@dataclass(frozen=True)
class _Pod:
    peak_bytes: int
    cpu_s: float


def _main() -> None:
    """Measures, and writes `pipelines/kubeflow_measured.py` and `results/requests.json`."""
    stamped = stamp("requests", "what pods of digits ask for by default, against what they held")
    starts = json.loads((RESULTS / "starts.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="piecehub-requests-") as name:
        folder = Path(name)
        # In a process of its own: this one stays small.
        subprocess.run([sys.executable, "-m", "benchmarks.bench_requests", str(folder)], cwd=_ROOT, check=True)
        _compiled(folder / "pods")
        pods = _pods(folder)
        _write_measured(pods, starts, yaml.safe_load((folder / "p.yaml").read_bytes()), stamped["commit"])
        by_default = _compiled(folder / "pods")
        _piecehub("run", "digits", "--workdir", str(folder / "here"), *_SETTINGS)
        by_run = _compiled(folder / "here")
        held = _held(folder / "here")
    rows = [
        _Row(
            task,
            round(pod.peak_bytes / 1e6, 0),
            round(pod.cpu_s, 1),
            by_default[task]["memory"],
            by_default[task]["cpu"],
            held.get(task, ""),
            by_run[task]["memory"],
            by_run[task]["cpu"],
        )
        for task, pod in sorted(pods.items())
    ]
    facts = {
        "pods that held more than they asked for by default": _exceeded(by_default, pods),
        "pods that held more than they asked for beside the run": _exceeded(by_run, pods),
    }
    write_table({**stamped, "rows": [asdict(row) for row in rows], "facts": facts}, RESULTS / "requests.json")


def _write_measured(pods: dict[str, _Pod], starts: dict[str, Any], spec: dict[str, Any], commit: str) -> None:
    """Writes the most that tasks with one executor took, for the compiler to read."""
    started = {row["component"]: _Pod(int(row["here_peak_mb"] * 2**20), row["here_cpu_s"]) for row in starts["rows"]}
    found: dict[str, tuple[float, int]] = {}
    for task, took in [*started.items(), *pods.items()]:
        component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
        path = executor_path(spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"])
        cpu_s, peak_bytes = found.get(path, (0.0, 0))
        found[path] = max(cpu_s, round(took.cpu_s, 2)), max(peak_bytes, took.peak_bytes)
    lines = [f'    "{path}": ({cpu_s}, {peak}),\n' for path, (cpu_s, peak) in sorted(found.items())]
    _MEASURED.write_text(_HEAD.format(commit=commit) + "".join(lines) + "}\n", encoding="utf-8")


def _piecehub(*words: str) -> str:
    command = [sys.executable, "-P", "-m", "piecehub.cli", *words]
    return subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _compiled(workdir: Path) -> dict[str, dict[str, str]]:
    """By task, what a package asks for that is compiled beside a working folder; it lies there as `digits.yaml`."""
    words = ["--image", "piecehub:0.1.0", "--workdir", str(workdir), "--volume", "work", "--json"]
    told = _piecehub("kubeflow", "compile", "digits", *words, "-o", str(workdir / "digits.yaml"), *_SETTINGS)
    return {asked["task"]: asked for asked in json.loads(told)["requests"]}


def _pods(folder: Path) -> dict[str, _Pod]:
    """By task, what its pod held and took, by the replay."""
    seen: list[Looks] = []

    @contextmanager
    def looks(pid: int) -> Generator[None]:
        with looked_at(pid, _EVERY_S) as found:
            seen.append(found)
            yield

    node = Node(claims={"work": folder / "pods"}, looks=looks)
    ran = Cluster(folder / "cluster", node).run(documents(folder / "pods" / "digits.yaml"))
    if ran.failed:
        raise SystemExit(ran.logs())
    ended = [(task, pod) for task, attempts in ran.pods.items() for pod in attempts]
    return {task: _Pod(looks.peak_bytes, pod.cpu_s) for (task, pod), looks in zip(ended, seen, strict=True)}


def _held(workdir: Path) -> dict[str, float]:
    """By component, what the run in a working folder held, in MB."""
    place = Workdir(workdir)
    (run,) = runs.run_ids(place)
    done = [event for event in runs.read_events(place, run) if event.state == "done" and event.node]
    return {event.node: round(event.peak_bytes / 1e6, 0) for event in done}


def _exceeded(asked: dict[str, dict[str, str]], pods: dict[str, _Pod]) -> str:
    more = [task for task, pod in pods.items() if pod.peak_bytes > int(asked[task]["memory"].removesuffix("Mi")) << 20]
    return ", ".join(sorted(more)) or "none"


if __name__ == "__main__":
    if sys.argv[1:]:
        write_package(Path(sys.argv[1]))
    else:
        _main()
