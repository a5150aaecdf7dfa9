"""Memory of an evaluation at a real size: test pictures by the thousand, and a real network beside plain Keras.

    python -m benchmarks.bench_size_evaluation [pictures] [network]      both if none is given; a quarter of an hour

`pictures`: trials of two workers on 1,000 and more test pictures of 224x224, bytes, on a small piece. `network`:
trials of EfficientNetV2B0 at 96x96 in one worker, and the same steps by Keras `fit` and `predict` in a process of its
own, both with one thread. Memory is anonymous memory at its peak, MB.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.anonymous import Watch
from benchmarks.record import RESULTS, stamp, write_table

_PICTURES, _SIDE = (1_000, 10_000), 224
_QUESTION = "memory of an evaluation over many pictures, and of a trial of a real network beside plain Keras"
_ONE_THREAD = {"CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def main(parts: Sequence[str]) -> None:
    """Measures the parts, and lays them into `results/size.evaluation.json` beside what is there."""
    target = RESULTS / "size.evaluation.json"
    standing = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    rows: list[dict[str, Any]] = [row for row in standing.get("rows", []) if _part(row["what"]) not in parts]
    facts: dict[str, Any] = dict(standing.get("facts", {}))
    for part, measure in (("pictures", pictures), ("network", network)):
        if part in parts:
            found, more = measure()
            rows, facts = rows + found, facts | more
    stamped = {**stamp("size.evaluation", _QUESTION), "command": "python -m benchmarks.bench_size_evaluation"}
    write_table({**stamped, "rows": rows, "facts": facts}, target)


def _part(what: str) -> str:
    return "pictures" if "test pictures" in what else "network"


def pictures() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trials over more and more test pictures: rows, and facts."""
    from benchmarks.size_pictures import export_small_piece, measure

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="piecehub-size-") as name:
        folder = Path(name)
        export_small_piece(folder, _SIDE)
        for count in _PICTURES:
            found = measure(folder, folder / f"trials-{count}", count, _SIDE)
            what = f"{count:,} test pictures of {_SIDE}x{_SIDE}, parent and two workers"
            rows.append(_row(what, found.peak_mb, "", ""))
            print(rows[-1], flush=True)
    growth = rows[-1]["peak_mb"] - rows[0]["peak_mb"]
    return rows, {f"from {_PICTURES[0]:,} to {_PICTURES[-1]:,} test pictures, MB more": f"{growth:.1f}"}


def network() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trials of a real network, and the same in plain Keras: rows, and facts."""
    from benchmarks import size_network

    with tempfile.TemporaryDirectory(prefix="piecehub-size-") as name:
        folder = Path(name)
        _called("write", folder)
        with Watch() as ours:
            seconds = size_network.run_ours(folder)
        print(f"a worker: {ours.worst_mb:.0f} MB, {seconds:.1f} s", flush=True)
        with Watch() as peer:
            said = _called("keras", folder)
    rows = [
        _row("EfficientNetV2B0, a worker", ours.worst_mb, round(seconds, 1), size_network.STEPS),
        _row("EfficientNetV2B0, plain Keras", peer.worst_mb, round(float(said.split()[-1]), 1), size_network.STEPS),
    ]
    print(rows, flush=True)
    return rows, {
        "a worker's memory over that of plain Keras": f"{ours.worst_mb / peer.worst_mb:.2f}",
        "seconds a trial": "the second of two trials: steps of 32 and all answers; a worker's has BatchNorm's "
        "re-estimation beside, the peer's has not",
    }


def _row(what: str, peak_mb: float, seconds: float | str, steps: int | str) -> dict[str, Any]:
    return {"what": what, "peak_mb": round(peak_mb, 1), "seconds_a_trial": seconds, "steps": steps}


def _called(what: str, folder: Path) -> str:
    command = [sys.executable, "-m", "benchmarks.size_network", what, str(folder)]
    done = subprocess.run(command, env={**os.environ, **_ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    started = time.monotonic()
    main(sys.argv[1:] or ["pictures", "network"])
    print(f"{time.monotonic() - started:.0f} s")
