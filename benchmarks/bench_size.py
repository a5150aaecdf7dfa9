"""Memory and speed at a real size: `piecehub run` beside a hand-written script, at several sizes of upstream JPEGs.

    python -m benchmarks.bench_size [GIGABYTES …]      0.5 2 8 if none is given; 8 need 30 GB of disk and an hour

Memory is the peak of `Pss_Dirty` over a process and all that it started: anonymous memory and written pages of maps,
shared ones once. Pictures a second are those of the one epoch of both after its first step, which traces.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.record import RESULTS, stamp, write_table
from benchmarks.size_world import write_world
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir

_SIZES = (0.5, 2.0, 8.0)
_EVERY_S = 0.5


@dataclass(frozen=True)
class _Row:
    work: str
    gb: float
    peak_mb: float
    peer_peak_mb: float
    images_per_s: float
    peer_images_per_s: float


def main(sizes: list[float]) -> None:
    """Measures each size, and writes `results/size.memory.json`."""
    rows = [_measured(size) for size in sizes]
    speed = min(row.images_per_s / row.peer_images_per_s for row in rows)
    facts = {
        "in each run": "one epoch over all upstream pictures with a small network, 4 trials, 240 other pictures",
        "peak of the last row over that of the first": f"{rows[-1].peak_mb / rows[0].peak_mb:.3f}",
        "images a second, ours over the peer's, at least": f"{speed:.3f}",
    }
    stamped = stamp("size.memory", "a whole run over upstream data of a real size, beside a script written by hand")
    write_table({**stamped, "rows": [asdict(row) for row in rows], "facts": facts}, RESULTS / "size.memory.json")


def _measured(gigabytes: float) -> _Row:
    with tempfile.TemporaryDirectory(prefix="piecehub-size-") as name:
        folder = Path(name)
        write_world(folder, gigabytes)
        recipe, work = folder / "recipe", folder / "work"
        peer_mb, said = _peak_mb("-m", "benchmarks.size_peer", str(folder / "records"), str(recipe / "model.py"))
        ours_mb, _ = _peak_mb("-P", "-m", "piecehub.cli", "run", str(recipe), "--workdir", str(work))
        row = _Row("run", gigabytes, ours_mb, peer_mb, _speed(Workdir(work)), float(said.split()[-1]))
        print(row, flush=True)
        return row


def _peak_mb(*arguments: str) -> tuple[float, str]:
    """The peak over the process tree of Python so called, and what it printed; no blessing is no failure."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _dirty_kb(process.pid))
            time.sleep(_EVERY_S)
        out.seek(0)
        said = out.read()
    if process.returncode not in (0, 4):
        raise SystemExit(said)
    return peak / 1024, said


def _dirty_kb(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        return sum(_dirty_kb_of(process.pid) for process in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _dirty_kb_of(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has ended
    found = re.search(r"^Pss_Dirty:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _speed(workdir: Workdir) -> float:
    """The mean of what the trainer said of its examples a second."""
    [run] = runs.run_ids(workdir)
    said = [event.message for event in runs.read_events(workdir, run) if event.node == "FullModelTrainer"]
    told = [re.search(r"([\d,]+) examples/s", message) for message in said]
    return statistics.mean(float(found[1].replace(",", "")) for found in told if found)  # of spans of equal length


if __name__ == "__main__":
    main([float(size) for size in sys.argv[1:]] or list(_SIZES))
