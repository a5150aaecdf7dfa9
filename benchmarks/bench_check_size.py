"""What `piecehub check` takes of models of a real size: seconds of the processor, and memory.

    python -m benchmarks.bench_check_size      1.5 GB of disk and ten minutes

Both are those of the command and of all that it starts; memory is the peak of the sum of resident memory, in which
libraries that several processes share count once for each.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.record import RESULTS, stamp, write_table

_MODELS = ("EfficientNetV2B0, 224²", "ResNet50, 224²", "BERT-base, 128 tokens")
_EVERY_S = 0.1


@dataclass(frozen=True)
class _Row:
    model: str
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Measures each model, and writes `results/size.check.json`."""
    rows: list[_Row] = []
    facts: dict[str, str] = {}
    for name in _MODELS:
        with tempfile.TemporaryDirectory(prefix="piecehub-check-size-") as place:
            folder = Path(place, "model")
            parameters = int(_python("-m", "benchmarks.check_models", name, str(folder)))
            row, verdict = _checked(name, folder)
        rows.append(row)
        facts[name] = f"{parameters / 1e6:.1f} million parameters, {verdict}"
        print(row, verdict, flush=True)
    question = "`piecehub check` of models of a real size, with random weights"
    table = {**stamp("size.check", question, "bench_check_size"), "rows": [asdict(row) for row in rows], "facts": facts}
    write_table(table, RESULTS / "size.check.json")


def _checked(name: str, folder: Path) -> tuple[_Row, str]:
    """What the command took, and its verdict; a model that falls short is no failure here."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", "check", str(folder), "--json", "--trust"]
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out) as process:
        peak_bytes, seconds = 0, dict[int, float]()
        while process.poll() is None:
            seen = _tree(process.pid)
            peak_bytes = max(peak_bytes, sum(resident_bytes for resident_bytes, _ in seen.values()))
            seconds |= {pid: cpu_s for pid, (_, cpu_s) in seen.items()}
            time.sleep(_EVERY_S)
        out.seek(0)
        report = json.load(out)
    return _Row(name, sum(seconds.values()), peak_bytes / 1e6), report["verdict"]


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def _tree(pid: int) -> dict[int, tuple[int, float]]:
    """Resident bytes, and seconds of the processor so far, of a process and of each below it, by number.

    The seconds are not asked of wait(2), since who waits in a sandbox need not hand them on.
    """
    found: dict[int, tuple[int, float]] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
                times = process.cpu_times()
                found[process.pid] = process.memory_info().rss, times.user + times.system
    return found


if __name__ == "__main__":
    main()
