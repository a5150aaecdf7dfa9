"""How each component of a Kubeflow package starts: through TFX's executor, and by the function that needs no TFX.

A container of the package of `digits` is started as its pod would start it, with the digest of other code, at which
every component of ours stops before its work; TFX's own do their work on nothing. So what is measured is Python,
imports, and reading what the launcher hands over: seconds of processors, and the peak of resident memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.record import RESULTS, stamp, write_table
from piecehub.containers.entrypoint import LIGHT_FUNCTION
from piecehub.facts.workdir import Workdir

_ROOT = Path(__file__).parent.parent
_OTHER_CODE = ("code_digest", "sha256:other")
# Tasks that start as another one does: of the same component, on other inputs.
_TWINS = ("DownstreamExamples", "DownstreamAnomalies")


@dataclass(frozen=True)
class _Row:
    component: str
    tfx_cpu_s: float | str
    tfx_peak_mb: float | str
    here_cpu_s: float
    here_peak_mb: float


@dataclass(frozen=True)
class _Start:
    cpu_s: float
    peak_mb: float


def _main() -> None:
    """Measures each component, and writes `results/starts.json`."""
    with tempfile.TemporaryDirectory(prefix="piecehub-starts-") as name:
        folder = Path(name)
        # In a process of its own: a child's peak begins with that of its parent, which is to stay small.
        subprocess.run([sys.executable, "-m", "benchmarks.bench_starts", str(folder)], cwd=_ROOT, check=True)
        spec = yaml.safe_load((folder / "p.yaml").read_bytes())
        tasks = [task for task in spec["root"]["dag"]["tasks"] if task not in _TWINS]
        _started(spec, tasks[0], folder, through_tfx=True)  # what lies on the disk is in memory from here on
        rows = [_row(spec, task, folder) for task in sorted(tasks)]
    both = [row for row in rows if isinstance(row.tfx_cpu_s, float) and row.here_cpu_s < row.tfx_cpu_s / 2]
    facts = {
        "start light": ", ".join(row.component for row in rows if row in both or row.tfx_cpu_s == ""),
        "seconds of processors that one run saves, beside what its work takes": round(
            sum(float(row.tfx_cpu_s) - row.here_cpu_s for row in both), 1
        ),
    }
    stamped = stamp("starts", "how each component of a Kubeflow package starts, through TFX and here")
    write_table({**stamped, "rows": [asdict(row) for row in rows], "facts": facts}, RESULTS / "starts.json")


def write_package(folder: Path) -> None:
    """The package of `digits` that starts from a published piece, as `p.yaml` in a folder."""
    from piecehub.store.catalog import Store
    from piecehub.store.publish import publish
    from pipelines.kubeflow_runner import compile_recipe
    from pipelines.recipe.loader import load_recipe

    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").write_bytes(b"none")
    work = Workdir(folder / "work")
    publish(Store.create(work.store), folder / "model", "acme", "parent", blobs={}, facts={})
    recipe = load_recipe("digits", {"model.parent": "acme/parent/1"})
    compile_recipe(recipe, work, folder / "p.yaml", "piecehub:0.1.0")


def _row(spec: dict[str, Any], task: str, folder: Path) -> _Row:
    light = LIGHT_FUNCTION in _container(spec, task)["args"]
    here = _started(spec, task, folder, through_tfx=not light)
    if not light:
        return _Row(task, here.cpu_s, here.peak_mb, here.cpu_s, here.peak_mb)
    if "parameters" in spec["components"][task]["outputDefinitions"]:
        return _Row(task, "", "", here.cpu_s, here.peak_mb)  # that TFX does not have
    before = _started(spec, task, folder, through_tfx=True)
    return _Row(task, before.cpu_s, before.peak_mb, here.cpu_s, here.peak_mb)


def _container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def _started(spec: dict[str, Any], task: str, folder: Path, *, through_tfx: bool) -> _Start:
    container, asked = _container(spec, task), json.dumps(_asked(spec, task, folder / "pods" / uuid.uuid4().hex))
    argv = [*container["command"], *(asked if word == "{{$}}" else word for word in container["args"])]
    argv += [LIGHT_FUNCTION, ""] if through_tfx else []
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    to_log = [(os.POSIX_SPAWN_DUP2, log, stream) for stream in (1, 2)]
    child = os.posix_spawn(sys.executable, [sys.executable, *argv[1:]], environment, file_actions=to_log)
    os.close(log)
    _, _, used = os.wait4(child, 0)
    last = (folder / "log").read_text(encoding="utf-8").splitlines()[-1]
    if _has_code(spec, task) and "that the pipeline was compiled with" not in last:
        raise SystemExit(f"Expected {task} to stop at its code. Received: {last}")
    return _Start(round(used.ru_utime + used.ru_stime, 2), round(used.ru_maxrss / 1024, 0))


def _has_code(spec: dict[str, Any], task: str) -> bool:
    return _OTHER_CODE[0] in spec["root"]["dag"]["tasks"][task]["inputs"].get("parameters", {})


def _asked(spec: dict[str, Any], task: str, folder: Path) -> dict[str, Any]:
    """What the launcher would tell the task, of folders of this machine with nothing in them."""
    body = spec["root"]["dag"]["tasks"][task]
    outputs = spec["components"][body["componentRef"]["name"]]["outputDefinitions"]
    given = body["inputs"].get("parameters", {})
    values = {key: source.get("runtimeValue", {}).get("constant", "") for key, source in given.items()}
    values |= dict([_OTHER_CODE]) if _has_code(spec, task) else {}
    made = {key: out["artifactType"] for key, out in outputs.get("artifacts", {}).items()}
    told = {key: {"outputFile": str(folder / key)} for key in outputs.get("parameters", {})}
    return {
        "inputs": {
            "artifacts": {key: _artifact(folder, key, {}) for key in body["inputs"].get("artifacts", {})},
            "parameterValues": values,
        },
        "outputs": {
            **({"parameters": told} if told else {}),
            "artifacts": {key: _artifact(folder, key, kind) for key, kind in made.items()},
            "outputFile": str(folder / "output_metadata.json"),
        },
    }


def _artifact(folder: Path, key: str, kind: dict[str, Any]) -> dict[str, Any]:
    facts = {"split_names": "[]"}
    return {"artifacts": [{"name": key, "type": kind, "uri": str(folder / key), "metadata": facts}]}


if __name__ == "__main__":
    if sys.argv[1:]:
        write_package(Path(sys.argv[1]))
    else:
        _main()
