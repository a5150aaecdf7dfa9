"""A piece that is made here, in environments of older TensorFlow: docs/compatibility.md has what comes of it."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import piecehub
from tests.command_line import ROOT

# The last of each, from the oldest that Python 3.11 takes.
VERSIONS = ("2.12.1", "2.13.1", "2.14.1", "2.15.1", "2.16.2", "2.17.1", "2.18.1", "2.19.1", "2.20.0")
_UV = ROOT / ".venv" / "uv" / "bin" / "uv"
_READER = Path(__file__).with_name("older_tensorflow.py")


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A SavedModel with convolutions, BatchNorm, dropout and weight decay, and what it computes."""
    folder = tmp_path_factory.mktemp("piece")
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, kernel_regularizer="l2")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dropout(0.1)(layers.LayerNormalization()(layers.BatchNormalization()(x)))
    x = layers.Dense(6, "gelu")(layers.GlobalAveragePooling2D()(x))
    piecehub.export(keras.Model(inputs, x), folder / "saved_model")
    values = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)).astype(np.float32)
    np.savez(folder / "golden.npz", inputs=values, outputs=piecehub.load(folder / "saved_model")(values))
    return folder / "saved_model", folder / "golden.npz"


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_tensorflow_loads_calls_and_fine_tunes_a_piece(
    piece: tuple[Path, Path], version: str, tmp_path: Path
) -> None:
    python = tmp_path / "older" / "bin" / "python"
    of_keras_2 = [f"tf-keras=={version.rpartition('.')[0]}.*"] if version >= "2.16" else []
    _run(tmp_path, _UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "older")
    wanted = [f"tensorflow=={version}", "tensorflow-hub==0.16.1", "setuptools<81", *of_keras_2]
    _run(tmp_path, _UV, "pip", "install", "--quiet", "--python", python, *wanted)
    told = json.loads(_run(tmp_path, python, _READER, *piece).splitlines()[-1])
    assert told == {"tensorflow": version, "call": True, "signature": True, "trains": True, "layer": True}


def test_the_page_names_the_oldest_and_the_newest_that_were_tried() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
    assert f"TensorFlow {VERSIONS[0]} to {VERSIONS[-1]}" in page


def _run(folder: Path, *words: object) -> str:
    """In a folder of its own: in ours uv would put this project's TensorFlow in the place of what is asked for."""
    done = subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
