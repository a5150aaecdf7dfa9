"""Publishing and serving a large SavedModel, on disk and over loopback.

store.publish.<weights>   hash, pack, sync, read back, compare; and packing alone; against what others do
store.serve               an archive of 50 MB from our server, nginx with our configuration, and nginx' bare file

Weights are float32, float32 rounded to bfloat16, and mixed (float32, rounded, half of them zero, int8). Peers that a
machine lacks are left out, and the facts say so; on Debian `apt-get install pigz nginx-light curl` brings them all.

    python -m benchmarks.bench_store [--size-mb 500] [--serve-mb 50] [--rounds 3] [--only serve]
"""

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.record import Contender, Fact, Result, measure, write
from piecehub.store import archive
from piecehub.store.catalog import Store
from piecehub.store.export import LAYOUTS, export
from piecehub.store.publish import publish
from piecehub.ui.static_pages import static_pages
from tests.store.conformance.servers import nginx_over, nginx_program

_DOWNLOADS = 20
_PEAK = """
import sys
from pathlib import Path
from piecehub.store import archive
archive.pack(Path(sys.argv[1]), Path(sys.argv[2]))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@dataclass(frozen=True)
class _Sizes:
    """What is measured."""

    model_mb: int
    serve_mb: int
    rounds: int


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=500)
    parser.add_argument("--serve-mb", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", type=Path, help="Another folder for the results than benchmarks/results.")
    parser.add_argument("--only", choices=["publish", "serve"])
    given = parser.parse_args()
    sizes = _Sizes(given.size_mb, given.serve_mb, given.rounds)
    to = functools.partial(write, folder=given.to) if given.to else write
    with tempfile.TemporaryDirectory() as scratch:
        for kind, make in _WEIGHTS.items() if given.only in (None, "publish") else ():
            folder = Path(scratch, kind)
            model = _make_model(folder / "model", make, sizes.model_mb)
            small = _make_model(folder / "small", make, max(sizes.model_mb // 10, 1))
            to(_measure_publish(kind, model, small, folder, sizes))
            shutil.rmtree(folder)
        if given.only in (None, "serve"):
            to(_measure_serve(Path(scratch), sizes))


def _float32(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, 0.02, count).astype(np.float32)


def _rounded(count: int) -> np.ndarray:
    """float32 whose lower 16 bits are zero: what bfloat16 becomes in a float32 variable."""
    return (_float32(count).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _mixed(count: int) -> np.ndarray:
    part = count // 4
    sparse = np.where(np.random.default_rng(1).random(part) < 0.5, 0, _float32(part)).astype(np.float32)
    int8 = np.random.default_rng(2).normal(0, 40, 4 * (count - 3 * part)).clip(-127, 127).astype(np.int8)
    return np.concatenate([_float32(part), _rounded(part), sparse, int8.view(np.float32)])


_WEIGHTS: dict[str, Callable[[int], np.ndarray]] = {"float32": _float32, "bf16_rounded": _rounded, "mixed": _mixed}


def _make_model(folder: Path, weights: Callable[[int], np.ndarray], size_mb: int) -> Path:
    """A folder like a SavedModel: weights, a graph, a vocabulary."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    weights(size_mb * 250_000).tofile(folder / "variables" / "variables.data-00000-of-00001")
    (folder / "variables" / "variables.index").write_bytes(os.urandom(4096))
    (folder / "assets" / "words.txt").write_text("\n".join(f"word{i}" for i in range(50_000)), encoding="utf-8")
    (folder / "saved_model.pb").write_bytes(b"".join(f"node_{i}/ReadVariableOp".encode() for i in range(40_000)))
    return folder


def _measure_publish(kind: str, model: Path, small: Path, folder: Path, sizes: _Sizes) -> Result:
    """A fresh store each time: nothing that was published before makes it shorter. `small`: a tenth of the model."""
    ours = folder / "ours.tar.gz"

    def publish_afresh() -> None:
        shutil.rmtree(folder / "store", ignore_errors=True)
        publish(Store.create(folder / "store"), model, "acme", "tiny", blobs={}, facts={})

    def pack() -> None:
        ours.unlink(missing_ok=True)
        archive.pack(model, ours)

    packers, facts = _packers(model, folder)
    twice = Contender("cp -r twice", lambda: _copy_twice(model, folder))
    peers = [Contender("piecehub, packing alone", pack), *packers, twice]
    question = f"publishing {sizes.model_mb} MB of {kind} weights: hash, pack, sync, read back, compare"
    result = measure(
        f"store.publish.{kind}", question, Contender("piecehub", publish_afresh), peers, sizes.rounds, facts
    )
    for contender in packers:
        ratio = result.figures[contender.name].median_s / result.figures[peers[0].name].median_s
        facts[f"{contender.name} over packing alone"] = round(ratio, 1)
    for path in sorted(folder.glob("*.tar.gz")):
        facts[f"size of {path.name}, MB"] = round(path.stat().st_size / 1e6, 1)
    facts["peak memory of the packing process, MB"] = _peak_mb(model, ours)
    facts["peak memory of packing a tenth of it, MB"] = _peak_mb(small, ours)
    return replace(result, facts=facts)


def _packers(model: Path, folder: Path) -> tuple[list[Contender], dict[str, Fact]]:
    """What packs by itself, and what this machine lacks of it."""
    tar, pigz, python = (folder / f"{name}.tar.gz" for name in ("tar", "pigz", "tarfile"))
    peers = [
        Contender(
            "tar czf", lambda: subprocess.run(["tar", "czf", tar, "-C", model, "."], check=True), takes_minutes=True
        ),
        # At its own level 9 it would take many minutes for rounded weights.
        Contender("Python's tarfile, level 6", lambda: _tarfile(model, python), takes_minutes=True),
    ]
    if shutil.which("pigz") is None:
        return peers, {"left out": "pigz -6: not on this machine (Debian: pigz)"}
    command = ["tar", "-C", model, "-I", "pigz -6", "-cf", pigz, "."]
    return [*peers, Contender("tar, pigz -6", lambda: subprocess.run(command, check=True), takes_minutes=True)], {}


def _tarfile(model: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz", compresslevel=6) as tar:
        tar.add(model, arcname=".")


def _copy_twice(model: Path, folder: Path) -> None:
    """What TFX's Pusher does with a model, into its artifact and into the serving folder: no archive, no sync."""
    for number in range(2):
        to = folder / f"copy-{number}"
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-r", model, to], check=True)


def _peak_mb(model: Path, to: Path) -> int:
    command = [sys.executable, "-c", _PEAK, model, to]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) // 1024


def _measure_serve(scratch: Path, sizes: _Sizes) -> Result:
    model = scratch / "noise"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(os.urandom(sizes.serve_mb * 1_000_000))
    store = Store.create(scratch / "served")
    publish(store, model, "acme", "tiny", blobs={}, facts={})
    url, blob = "acme/tiny/1?tf-hub-format=compressed", "api/v1/models/acme/tiny/1/blobs/model.tar.gz"
    with ExitStack() as stack:
        ours = stack.enter_context(_our_server(store.root))
        contenders = [Contender("piecehub serve", lambda: _download(f"{ours}/{url}"))]
        facts: dict[str, Fact] = {"downloads a turn, one after the other, by curl": _DOWNLOADS}
        if nginx_program() is None:
            facts["left out"] = "nginx: not on this machine (Debian: nginx-light)"
        else:
            nginx = stack.enter_context(_nginx(store, scratch / "nginx"))
            contenders += [
                Contender("nginx, chunked as deploy/nginx.conf has it", lambda: _download(f"{nginx}/{url}")),
                Contender("nginx, the file by sendfile", lambda: _download(f"{nginx}/{blob}")),
            ]
        for contender in contenders:
            contender.run()
        question = f"serving {sizes.serve_mb} MB over loopback, {_DOWNLOADS} times"
        return measure("store.serve", question, contenders[0], contenders[1:], sizes.rounds, facts)


def _download(url: str) -> None:
    """One process for all downloads, so that its start does not count."""
    command = ["curl", "--silent", "--fail", "--noproxy", "*", *["--output", "/dev/null", url] * _DOWNLOADS]
    subprocess.run(command, check=True)


@contextmanager
def _our_server(root: Path) -> Iterator[str]:
    program = "import sys; from pathlib import Path; from piecehub.facts.workdir import Workdir; "
    program += "from piecehub.ui.serve import serve; serve(Workdir(Path('.')), '127.0.0.1', 0, hub_only=True, "
    program += "store=sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", program, root], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process.stderr.readline().split()[1].rstrip("/")
        finally:
            process.terminate()


@contextmanager
def _nginx(store: Store, folder: Path) -> Iterator[str]:
    folder.mkdir()
    export(store, folder / "tree", LAYOUTS["nginx"], static_pages(""))
    with nginx_over(folder / "tree", folder) as url:
        yield url


if __name__ == "__main__":
    _main()
