"""A disk that is really full, at one place after another: one sentence each, and the next run goes on."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("tfx")

from tests.command_line import ROOT
from tests.pipelines.on_full_disk import COMPONENTS
from tests.pipelines.world import write_foreign_repository

# A file system in a namespace of its own, which nobody else sees and which goes with its last process.
_ON_A_SMALL_DISK = 'mount -t tmpfs -o size=200m none "$1" && exec "$2" -P -m tests.pipelines.on_full_disk "$1" "$3"'
_FULL = ("data.py", *COMPONENTS, "publish", "fetch")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened, as `on_full_disk` tells it."""
    root = tmp_path_factory.mktemp("full")
    disk = root / "disk"
    disk.mkdir()
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    tried = subprocess.run([*start, 'mount -t tmpfs none "$0"', str(disk)], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"Expected to mount a tmpfs (`unshare --user --map-root-user --mount`). Received: {tried.stderr}")
    recipe = write_foreign_repository(root / "repository")
    done = subprocess.run(
        [*start, _ON_A_SMALL_DISK, "sh", str(disk), sys.executable, str(recipe)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("place", _FULL)
def test_a_full_disk_is_one_sentence_and_nothing_half_written(place: str, told: dict[str, Any]) -> None:
    found = told[place]
    assert found["code"] == 3 and len(found["said"]) == 1, found
    [sentence] = found["said"]
    assert "Expected room for what is written" in sentence, sentence
    assert "Received: no space left on device; free some, such as by `piecehub workdir gc`" in sentence, sentence
    assert found["left"] == []


@pytest.mark.long
@pytest.mark.parametrize("again", ["run again", "publish again", "fetch again"])
def test_once_there_is_room_the_next_call_goes_on(again: str, told: dict[str, Any]) -> None:
    ends = (0, 4) if again == "run again" else (0,)  # what was trained for a moment need not be published
    assert told[again]["code"] in ends, told[again]
    assert told[again]["left"] == []
