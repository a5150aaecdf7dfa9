"""Side-by-side timings: ours and named peers take turns in one run, so that a busy machine slows all of them alike.

    results/NAME.json   {"schema": 1, "name", "question", "command", "commit", "measured_at", "machine": {fact: value},
                         "ours", "figures": {contender: {"median_s", "times_s": [one a round]}},
                         "ratios": {peer: median_s of the peer / median_s of ours}, "facts": {what: value}}

`benchmarks/make_results.py` makes RESULTS.md of these files.
"""

import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_ROOT = Path(__file__).parent.parent
Fact = str | int | float


@dataclass(frozen=True)
class Contender:
    """Something that is timed.

    Attributes:
        name: in the results.
        run: does the whole work once, and leaves nothing behind that helps its next turn.
        takes_minutes: so that a turn which is not counted would cost more than it tells.
    """

    name: str
    run: Callable[[], object]
    takes_minutes: bool = False


@dataclass(frozen=True)
class Figure:
    """What one contender took, in seconds."""

    median_s: float
    times_s: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """One benchmark as it is kept."""

    name: str
    question: str
    command: str
    commit: str
    measured_at: str
    machine: Mapping[str, Fact]
    ours: str
    figures: Mapping[str, Figure]
    ratios: Mapping[str, float]
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])

    def to_json(self) -> str:
        """The text of `results/NAME.json`."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def take_turns(contenders: Sequence[Contender], rounds: int) -> dict[str, Figure]:
    """Times each contender once a round, after one round that is not counted (it fills the machine's caches).

    What takes minutes has no turn in that round.
    """
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    for contender in contenders:
        if not contender.takes_minutes:
            contender.run()
    for number in range(rounds):
        # Each round starts with another one: the first after a pause may find a cooler, faster processor.
        shift = number % len(contenders)
        for contender in [*contenders[shift:], *contenders[:shift]]:
            times[contender.name].append(_seconds(contender.run))
    return {name: Figure(statistics.median(values), tuple(values)) for name, values in times.items()}


def measure(
    name: str, question: str, ours: Contender, peers: Sequence[Contender], rounds: int, facts: Mapping[str, Fact]
) -> Result:
    """Times ours against the peers; `python -m benchmarks.bench_<name>` must be the command that does so.

    A benchmark that writes several results calls them `<name>.<what>`.
    """
    figures = take_turns([ours, *peers], rounds)
    ratios = {p.name: figures[p.name].median_s / figures[ours.name].median_s for p in peers}
    return Result(**stamp(name, question), ours=ours.name, figures=figures, ratios=ratios, facts=facts)


def stamp(name: str, question: str, module: str = "") -> dict[str, Any]:
    """What every result says of itself: how it was made, of which commit, when and where.

    `module` is the one that makes it, where its name does not begin as the result's.
    """
    return {
        "name": name,
        "question": question,
        "command": f"python -m benchmarks.{module or 'bench_' + name.partition('.')[0]}",
        "commit": commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Writes `NAME.json` into `folder` and returns its path."""
    return _write(result.to_json(), folder / f"{result.name}.json")


def write_table(result: Mapping[str, Any], path: Path) -> Path:
    """Writes a result that is no timing (rates, see `gate_table`, or `rows`) and returns its path."""
    return _write(json.dumps({"schema": 1, **result}, indent=2, ensure_ascii=False) + "\n", path)


def commit(root: Path = _ROOT) -> str:
    """The commit that is measured, with `+changes` if other files than benchmarks' results differ from it."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", ".", ":(exclude)benchmarks/results", ":(exclude)*RESULTS.md")
    return "unknown" if head is None else f"{head}+changes" if changed else head


def machine() -> dict[str, Fact]:
    """What the timings depend on: processor, cores that this process may use, system, Python."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _write(text: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.part")
    beside.write_text(text, encoding="utf-8")
    return beside.replace(path)


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()  # what the one before left behind, or its turn would be timed with this one's
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
