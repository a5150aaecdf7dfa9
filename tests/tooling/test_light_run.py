"""`pytest --light`: what needs no TensorFlow, and nothing that imports it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_CONFTEST = Path(__file__).parents[1] / "conftest.py"


def _run(folder: Path, *options: str) -> str:
    """What pytest says of a light file that imports TensorFlow, and of a file that is not light."""
    shutil.copy(_CONFTEST, folder)
    (folder / "facts").mkdir(exist_ok=True)
    (folder / "facts" / "test_it.py").write_text(
        "def test_light(): import json\n\ndef test_sly(): import tensorflow.python\n"
    )
    (folder / "consume").mkdir(exist_ok=True)
    (folder / "consume" / "test_heavy.py").write_text("raise RuntimeError('collected')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder), f"--rootdir={folder}"]
    done = subprocess.run(
        [*command, *options], env=os.environ | {"CI": ""}, cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_an_import_of_tensorflow_fails_where_it_stands_and_heavy_files_are_not_collected(tmp_path: Path) -> None:
    said = _run(tmp_path, "--light")
    assert "1 failed, 1 passed" in said and "test_sly" in said
    assert "Expected a light run to import no TensorFlow" in said
    assert "collected'" not in said


def test_any_other_run_collects_everything(tmp_path: Path) -> None:
    assert "RuntimeError: collected" in _run(tmp_path, "--collect-only")
