"""The code of docs/consume.md, run as it stands in one go, with the handle replaced."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from piecehub.modeling import reusable
from tests.guides.book import ROOT

PAGE = ROOT / "docs" / "consume.md"
HANDLE = "https://models.example.com/acme/features/1"


def test_the_page_runs_from_its_first_block_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Dense(6, "relu", kernel_regularizer="l2")(keras.layers.Flatten()(inputs))
    reusable.export(keras.Model(inputs, x), tmp_path / "piece")
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3 and HANDLE in blocks[0] and HANDLE in blocks[1]
    random = np.random.default_rng(0)
    names = {"images": random.random((32, 8, 8, 1)).astype(np.float32), "labels": random.integers(0, 3, 32)}
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block.replace(HANDLE, str(tmp_path / "piece")), PAGE.name, "exec"), names)
    assert names["history"].history["loss"][-1] < names["history"].history["loss"][0]
    assert names["features"].shape == (32, 6)
    images = names["images"]
    np.testing.assert_array_equal(names["again"].predict(images, verbose=0), names["model"].predict(images, verbose=0))
    assert (tmp_path / "classifier.weights.h5").is_file()
