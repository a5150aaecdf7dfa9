"""A run on this machine whose store is a bucket."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.world import TINY
from tests.s3_server import BUCKET, running_s3, told_to

pytestmark = pytest.mark.long


def _piecehub(endpoint: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "piecehub.cli", *words]
    environment = {**os.environ, **told_to(endpoint)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_publishes_there_and_its_artifacts_stay_here(tmp_path: Path) -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    run = ("run", "digits", *settings, "--workdir", str(tmp_path / "work"))
    with running_s3() as endpoint:
        gone = _piecehub(endpoint, *run, "--store", "s3://gone/shop")
        assert gone.returncode == 3
        assert (
            "Expected to reach 's3://gone/shop'. Received: 404 Not Found, NoSuchBucket;" in gone.stderr.splitlines()[-1]
        )
        assert not list((tmp_path / "work" / "artifacts").glob("*/*"))
        store = f"s3://{BUCKET}/shop"
        done = _piecehub(endpoint, *run, "--store", store)
        assert done.returncode == 0, done.stderr
        assert f"piecehub store show piecehub/digits/1 --store {store}" in done.stdout
        shown = _piecehub(endpoint, "store", "show", "piecehub/digits/1", "--store", store)
        assert "piecehub/digits/1" in shown.stdout and "published" in shown.stdout, shown.stdout + shown.stderr
        checked = _piecehub(endpoint, "store", "fsck", "--store", store)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert list((tmp_path / "work" / "artifacts").glob("*/FullModelTrainer"))
    assert list((tmp_path / "work" / "trials").glob("*/*.npz"))
    assert [path for path in (tmp_path / "work" / "store").rglob("*") if path.is_file()] == []
