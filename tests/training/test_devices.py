"""Devices as a runner tells them; two logical ones of the CPU stand in for two GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import TrainingError
from piecehub.training import devices

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process that trained on two devices says."""
    folder = tmp_path_factory.mktemp("devices")
    command = [sys.executable, "-m", "tests.training.two_devices", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_share_each_batch_as_a_plain_keras_script_has_them_do(found: dict[str, Any]) -> None:
    assert found["devices"] == {"kind": "cpu", "replicas": 2}
    assert found["equal to Keras"]
    assert found["policy"] == "False"


def test_one_device_gives_other_numbers_but_near_ones(found: dict[str, Any]) -> None:
    told, loss = found["one"]
    assert told == {"kind": "cpu", "replicas": 1}
    assert loss != found["loss"]
    assert loss == pytest.approx(found["loss"], rel=0.5)


def test_a_training_on_two_devices_goes_on_where_it_was_killed(found: dict[str, Any]) -> None:
    assert found["killed equal"]


def test_examples_that_are_decoded_one_by_one_are_shared_too(found: dict[str, Any]) -> None:
    assert found["decoded"]


@pytest.mark.parametrize("told", ["tpu", "cpu", "cpu:0", "gpu:two", "gpu:3"])
def test_devices_that_are_not_there_are_refused(told: str) -> None:
    with pytest.raises(TrainingError, match="Received: "):
        devices.find_devices(told)


def test_what_a_runner_tells_names_the_devices_that_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.resolved("") == ""
    assert devices.resolved("cpu:1") == "cpu:1"
    monkeypatch.setattr(devices, "find_devices", lambda told: devices.Devices("gpu", 4))
    assert devices.resolved("") == "gpu:4"


def test_logical_devices_need_a_process_that_has_computed_nothing() -> None:
    import tensorflow as tf

    assert devices.find_devices("").facts() == devices.find_devices("cpu:1").facts() == {"kind": "cpu", "replicas": 1}
    tf.zeros([])
    with pytest.raises(TrainingError, match="train in a fresh process"):
        devices.find_devices("cpu:3")
