"""What `piecehub run` costs beside its work, on the recipe `digits` with little training and few trials.

run.nothing    the whole pipeline from nothing, beside TFX's own `LocalDagRunner` on the same pipeline
run.cached     all of it from the cache but the gate, which is told something else, and what follows it; the same peer
run.noop       nothing changed, beside `dvc repro` of as many stages, which made the same files

    python -m benchmarks.bench_run [--rounds 5] [--only noop]

Each turn is a process of its own, from its start to its end. DVC is installed into an environment of its own.
"""

import argparse
import functools
import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.record import RESULTS, Contender, Fact, Result, measure, write
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from tests.pipelines.world import TINY

_ROOT = Path(__file__).parent.parent
_DVC = "dvc==3.67.1"
_OURS, _PEER = "piecehub run", "LocalDagRunner of TFX"


@dataclass(frozen=True)
class _Bench:
    folder: Path
    rounds: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def new(self) -> Path:
        """A working folder that is not there yet."""
        return self.folder / f"work-{next(self.numbers)}"

    def gain(self) -> str:
        """A bar for the gate that no run was told before, and that every piece of the recipe takes."""
        return f"gate.min_gain={-0.9 - next(self.numbers) / 10_000}"


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=RESULTS, help="The folder for the results.")
    parser.add_argument("--only", choices=list(_MEASURES))
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="piecehub-bench-run-") as scratch:
        for name, measured in _MEASURES.items():
            if given.only in (None, name):
                (folder := Path(scratch, name)).mkdir()
                write(measured(_Bench(folder, given.rounds)), given.to)


def _nothing(bench: _Bench) -> Result:
    ours = Contender(_OURS, lambda: _ours(bench.new()), takes_minutes=True)
    peer = Contender(_PEER, lambda: _peer(bench.new()), takes_minutes=True)
    return measure("run.nothing", "a pipeline from nothing", ours, [peer], bench.rounds, _facts())


def _cached(bench: _Bench) -> Result:
    mine, other = bench.new(), bench.new()
    _ours(mine)
    _peer(other)
    ours = Contender(_OURS, lambda: _ours(mine, bench.gain()))
    peer = Contender(_PEER, lambda: _peer(other, bench.gain()))
    question = "a pipeline that comes from the cache but for the gate and what follows it"
    result = measure("run.cached", question, ours, [peer], bench.rounds, _facts())
    ran = ", ".join(component for component, event in _events(Workdir(mine)).items() if event.state == "done")
    return replace(result, facts={**result.facts, "components of ours that ran": ran})


def _noop(bench: _Bench) -> Result:
    work = bench.new()
    _ours(work)
    dvc = _installed(bench.folder / "environment")
    _write_stages(bench.folder / "dvc", Workdir(work), dvc)
    repro = functools.partial(_run, [dvc, "repro", "--quiet"], bench.folder / "dvc")
    repro()
    ours, peer = Contender(_OURS, lambda: _ours(work)), Contender("dvc repro", repro)
    facts: dict[str, Fact] = {**_facts(), "stages of each": len(_events(Workdir(work))), "peer": _DVC}
    return measure("run.noop", "a run in which nothing has changed", ours, [peer], bench.rounds, facts)


_MEASURES: dict[str, Callable[[_Bench], Result]] = {"nothing": _nothing, "cached": _cached, "noop": _noop}


def _facts() -> dict[str, Fact]:
    return {"recipe": f"digits with {', '.join(TINY)}"}


def _ours(workdir: Path, *settings: str) -> None:
    words = [word for setting in (*TINY, *settings) for word in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", "digits", "--workdir", str(workdir), "--quiet"]
    _run([*command, *words], _ROOT, may_refuse=True)


def _peer(workdir: Path, *settings: str) -> None:
    _run([sys.executable, "-m", "benchmarks.run_peer", str(workdir), *TINY, *settings], _ROOT)


def _run(command: Sequence[str | Path], folder: Path, *, may_refuse: bool = False) -> None:
    """Runs a command to its end, which must be a good one."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in ((0, 4) if may_refuse else (0,)):
        raise SystemExit(f"Expected {shlex.join(map(str, command))} to end well. Received: {done.stderr[-2000:]}")


def _events(workdir: Workdir) -> dict[str, runs.Event]:
    """How the components of the newest run ended."""
    record = runs.read_run(workdir, runs.run_ids(workdir)[0])
    assert record is not None
    return runs.node_states(record, runs.read_events(workdir, record.run))


def _installed(environment: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([str(environment / "bin" / "pip"), "install", "--quiet", _DVC], check=True)
    return environment / "bin" / "dvc"


def _write_stages(folder: Path, workdir: Workdir, dvc: Path) -> None:
    """A repository of DVC with a stage for each component, that reads what it reads and makes what it made."""
    folder.mkdir()
    _run([dvc, "init", "--no-scm", "--quiet"], folder)
    record = runs.read_run(workdir, runs.run_ids(workdir)[0])
    assert record is not None
    recipe = [str(path) for path in sorted(Path(record.recipe).iterdir()) if path.is_file()]
    stages = {}
    for node in record.nodes:
        made = _events(workdir)[node.id].outputs.values()
        commands = [f"mkdir -p {node.id}", *(shlex.join(["cp", "-r", place, node.id]) for place in made)]
        stages[node.id] = {"cmd": " && ".join(commands), "deps": [*recipe, *node.upstream], "outs": [node.id]}
    # JSON is YAML, too.
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    _main()
