"""B10: a model that was made on several devices."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By kind of model, in a process of its own: this one has one device already."""
    command = [sys.executable, "-m", "tests.exporting.mirrored", str(tmp_path_factory.mktemp("mirrored"))]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["keras", "tf_keras", "low-level"])
def test_b10_a_model_of_two_devices_has_each_variable_once_with_the_aggregated_value(
    kind: str, told: dict[str, Any]
) -> None:
    found = told[kind]
    assert found["exported"] == found["variables"]
    assert found["in the checkpoint"] == found["variables"]
    assert found["aggregated"] == [True] * found["variables"]
    assert found["replicas differ"], "else this test shows nothing"
    assert found["as before"]
