"""`piecehub check` on SavedModels that are and are not reusable, as a person calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")


def _check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "piecehub.cli", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_saved_model_that_is_not_callable_exits_1_and_names_s3(tmp_path: Path) -> None:
    module = tf.Module()
    module.weight = tf.Variable(2.0)
    signature = tf.function(lambda x: {"y": x * module.weight}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": signature})
    before = sorted(tmp_path.rglob("*"))
    done = _check(str(tmp_path / "model"))
    assert done.returncode == 1
    assert done.stderr.startswith("piecehub: S3 fell short: Expected ")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    findings = {
        f["check"]: f["passed"] for f in json.loads(_check(str(tmp_path / "model"), "--json").stdout)["findings"]
    }
    assert findings["S3"] is False
    assert findings["D1"] is None


def test_a_folder_without_a_saved_model_is_one_sentence(tmp_path: Path) -> None:
    done = _check(str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Expected a SavedModel" in done.stderr and len(done.stderr.splitlines()) == 1
