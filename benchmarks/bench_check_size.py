"""What `piecehub check` takes of models of a real size: seconds of the processor, and memory.

    python -m benchmarks.bench_check_size      1.5 GB of disk and ten minutes

Both are those of the command and of all that it starts; memory is the peak of the sum of resident memory, in which
libraries that several processes share count once for each.
"""

import json
import os
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
    before = _children_s()
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out) as process:
        peak_bytes = 0
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _resident_bytes(process.pid))
            time.sleep(_EVERY_S)
        out.seek(0)
        report = json.load(out)
    return _Row(name, _children_s() - before, peak_bytes / 1e6), report["verdict"]


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def _children_s() -> float:
    """Seconds of the processor of all that this process has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def _resident_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        return sum(_resident_bytes_of(process) for process in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _resident_bytes_of(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0  # it has ended


if __name__ == "__main__":
    main()
