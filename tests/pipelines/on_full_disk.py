"""What happens on a disk of its own that is full at one place after another: `python -m … DISK RECIPE`, JSON on stdout.

{place: {"code", "said", "left"}}     exit code and last line of a command, and what it left half-written
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir

_HALF = ("tmp-*", "*.part", ".*.part", ".checkpoint*", ".run.json", "*.tmp")
# What is trained is of no interest here, so it is trained for a moment.
_SMALLER = ("train.epochs=2", "evaluation.steps=5")
# Which component is at work when the disk is filled up.
COMPONENTS = ("UpstreamExamples", "FullModelTrainer", "ReusableExporter", "FineTuneEvaluator")


@contextlib.contextmanager
def filled(disk: Path, room: int = 0) -> Iterator[None]:
    """Inside, the disk has `room` bytes left."""
    ballast = disk / "ballast"
    found = os.statvfs(disk)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        left = found.f_bavail * found.f_frsize - room
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))
    yield
    ballast.unlink()


class Place:
    """A working folder on the disk, and a recipe to run in it."""

    def __init__(self, disk: Path, recipe: str) -> None:
        self.disk, self.workdir = disk, Workdir(disk / "work")
        settings = [word for setting in _SMALLER for word in ("--set", setting)]
        words = ["run", recipe, "--workdir", str(self.workdir.root), *settings]
        self._command = [sys.executable, "-P", "-m", "piecehub.cli", *words]

    def run(self, component: str = "") -> dict[str, Any]:
        """A run to its end; the disk is filled up as soon as the component is at work."""
        known = set(runs.run_ids(self.workdir))
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with contextlib.ExitStack() as stack:
            while component and process.poll() is None and not self._works(component, known):
                time.sleep(0.02)
            if component:
                stack.enter_context(filled(self.disk))
            _, said = process.communicate()
            return self._told(process.returncode, said)

    def _works(self, component: str, known: set[str]) -> bool:
        new = set(runs.run_ids(self.workdir)) - known
        events = [event for run in new for event in runs.read_events(self.workdir, run)]
        return any((event.node, event.state) == (component, "running") for event in events)

    def _told(self, code: int, said: str) -> dict[str, Any]:
        lines = [line for line in said.splitlines() if line.startswith("piecehub: ")] or said.splitlines()[-5:]
        left = [str(found) for half in _HALF for found in self.disk.rglob(half) if found.exists()]
        return {"code": code, "said": lines, "left": left}


def met(do: Any) -> dict[str, Any]:
    """The same of a call."""
    try:
        do()
    except PiecehubError as error:
        return {"code": error.exit_code, "said": [error.sentence], "left": []}
    return {"code": 0, "said": [], "left": []}


def shop(place: Place) -> dict[str, Any]:
    """Publishing what the run exported, and fetching it."""
    from piecehub.signing.fetch import fetch
    from piecehub.store.catalog import Store
    from piecehub.store.publish import publish
    from tests.loopback import served

    [model, *_] = place.workdir.artifacts.glob("*/ReusableExporter/reusable_model/*/saved_model")
    store, cache = Store.open(place.disk / "shop"), place.disk / "cache"
    told: dict[str, Any] = {}

    def put() -> None:
        publish(store, model, "acme", "tiny", blobs={}, facts={})

    with filled(place.disk, 100_000):
        told["publish"] = met(put) | {"left": [str(m.handle) for m in store.models()]}
    told["publish again"] = met(put)
    with served(store.root) as url:

        def get() -> None:
            fetch(f"{url}/acme/tiny/1", cache)

        with filled(place.disk, 100_000):
            told["fetch"] = met(get) | {"left": [path.name for path in cache.iterdir()] if cache.is_dir() else []}
        told["fetch again"] = met(get)
    return told


def main(disk: Path, recipe: str) -> None:
    """Prints what happened at each place."""
    place = Place(disk, recipe)
    with filled(disk, 600_000):
        told = {"data.py": place.run()}
    told |= {component: place.run(component) for component in COMPONENTS}
    told["run again"] = place.run()
    print(json.dumps(told | shop(place)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
