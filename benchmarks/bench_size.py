"""Memory and speed at a real size: `piecehub run` beside a hand-written script, at several sizes of upstream JPEGs.

    python -m benchmarks.bench_size [GIGABYTES …]      0.5 2 8 if none is given; 8 need 30 GB of disk and an hour

Memory is the peak of `Pss_Dirty` over a process and all that it started: anonymous memory and written pages of maps,
shared ones once. Pictures a second are what the trainer's input and the script's last epoch gave.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.record import RESULTS
from benchmarks.size_world import write_world
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir

_SIZES = (0.5, 2.0, 8.0)
_EVERY_S = 0.5


def main(sizes: list[float]) -> None:
    """Measures each size, and writes `results/size.memory.json`."""
    rows = [_measured(size) for size in sizes]
    result = {"schema": 1, "name": "size.memory", "command": "python -m benchmarks.bench_size", "rows": rows}
    (RESULTS / "size.memory.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _measured(gigabytes: float) -> dict[str, str | float]:
    with tempfile.TemporaryDirectory(prefix="piecehub-size-") as name:
        folder = Path(name)
        write_world(folder, gigabytes)
        recipe, work = folder / "recipe", folder / "work"
        peer_mb, said = _peak_mb("-m", "benchmarks.size_peer", str(folder / "records"), str(recipe / "model.py"))
        ours_mb, _ = _peak_mb("-P", "-m", "piecehub.cli", "run", str(recipe), "--workdir", str(work))
        row: dict[str, str | float] = {
            "work": "run",
            "gb": gigabytes,
            "peak_mb": ours_mb,
            "peer_peak_mb": peer_mb,
            "images_per_s": _speed(Workdir(work)),
            "peer_images_per_s": float(said.split()[-1]),
        }
        print(json.dumps(row), flush=True)
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
    """What the trainer said last of its examples a second."""
    [run] = runs.run_ids(workdir)
    said = [event.message for event in runs.read_events(workdir, run) if event.node == "FullModelTrainer"]
    told = [re.search(r"([\d,]+) examples/s", message) for message in said]
    return float([found[1] for found in told if found][-1].replace(",", ""))


if __name__ == "__main__":
    main([float(size) for size in sys.argv[1:]] or list(_SIZES))
