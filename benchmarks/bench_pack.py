"""Packing a 100 MB SavedModel: piecehub.store.archive against `tar czf` and Python's tarfile."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import Contender, measure, write
from piecehub.store import archive

_WEIGHTS = 25_000_000  # float32: 100 MB
_ROUNDS = 5


def _make_model(folder: Path) -> Path:
    """A folder like a SavedModel: weights (as hard to compress as trained ones), a graph, a vocabulary."""
    weights = np.random.default_rng(0).normal(0.0, 0.05, _WEIGHTS).astype(np.float32)
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(weights.tobytes())
    (folder / "variables" / "variables.index").write_bytes(os.urandom(4096))
    (folder / "assets" / "words.txt").write_text("\n".join(f"word{i}" for i in range(50_000)), encoding="utf-8")
    (folder / "saved_model.pb").write_bytes(b"".join(f"node_{i}/ReadVariableOp".encode() for i in range(40_000)))
    return folder


def _tar_czf(model: Path, to: Path) -> object:
    return subprocess.run(["tar", "czf", to, "-C", model, "."], check=True)


def _tarfile(model: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz") as tar:
        tar.add(model, arcname=".")


def _main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = _make_model(folder / "model")
        names = {"piecehub": "ours.tar.gz", "tar czf": "tar.tar.gz", "Python's tarfile": "tarfile.tar.gz"}
        ours, tar, python = (folder / name for name in names.values())

        def pack() -> None:
            ours.unlink(missing_ok=True)
            archive.pack(model, ours)

        contenders = [
            Contender("piecehub", pack),
            Contender("tar czf", lambda: _tar_czf(model, tar)),
            Contender("Python's tarfile", lambda: _tarfile(model, python)),
        ]
        for contender in contenders:
            contender.run()
        sizes = {f"archive of {who}, MB": round((folder / name).stat().st_size / 1e6, 1) for who, name in names.items()}
        write(measure("pack", "packing a 100 MB SavedModel", contenders[0], contenders[1:], _ROUNDS, sizes))


if __name__ == "__main__":
    _main()
