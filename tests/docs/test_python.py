"""Blocks of Python that define what a recipe calls: run as they stand, and then called as a recipe would."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import piecehub
from tests.docs.blocks import ROOT, blocks

_PAGES = ("README.md", "docs/data.md", "docs/start.md", "docs/training.md")


def _ran(page: str, number: int, replace: tuple[str, str] | None = None) -> dict[str, Any]:
    """The names after a page's block of Python has been run."""
    shown = [block for block in blocks(ROOT / page) if block.kind == "python"][number]
    text = shown.text
    if replace:
        assert replace[0] in text, f"{shown}: '{replace[0]}' is gone"
        text = text.replace(*replace)
    names: dict[str, Any] = {"keras": keras}
    exec(compile(text, str(shown), "exec"), names)
    return names


def test_each_block_has_its_test_here() -> None:
    counts = {page: sum(block.kind == "python" for block in blocks(ROOT / page)) for page in _PAGES}
    assert counts == {"README.md": 3, "docs/data.md": 3, "docs/start.md": 1, "docs/training.md": 1}


def test_the_model_of_the_readme_has_the_layer_that_its_recipe_names() -> None:
    names = _ran("README.md", 2, ("    ...\n", "    x = keras.layers.Conv2D(4, 3)(inputs)\n"))
    model = names["build_model"](seed=1, classes=3)
    assert model.output_shape == (None, 3)
    assert piecehub.cut_piece(model, "features").output_shape == (None, 4)


def test_a_text_becomes_tokens() -> None:
    decoded = _ran("docs/data.md", 0)["decode"]({"text": tf.constant("A fine DAY"), "label": 1})
    assert decoded["tokens"].numpy().tolist() == [b"a", b"fine", b"day"] and decoded["label"] == 1


def test_a_picture_is_read_and_another_one_made_of_it(tmp_path: Path) -> None:
    names = _ran("docs/data.md", 1)
    Image.new("RGB", (120, 100), (255, 0, 0)).save(tmp_path / "red.png")
    decoded = names["decode"]({"file": tf.constant((tmp_path / "red.png").read_bytes()), "label": 2})
    np.testing.assert_allclose(decoded["images"], np.broadcast_to(np.float32([1, 0, 0]), (96, 96, 3)), atol=1e-6)
    augmented = names["augment"](decoded, tf.constant([1, 2]))
    assert augmented["images"].shape == (96, 96, 3) and augmented["label"] == 2
    assert not np.allclose(augmented["images"], decoded["images"])


def test_files_that_are_no_pictures_are_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    files = [(tmp_path / f"{name}.png", number) for number, name in enumerate(("good", "bad"))]
    _ran("docs/data.md", 2)["write"](tmp_path / "data", files=files)
    said = capsys.readouterr().out
    assert said.startswith("Expected") and "bad.png" in said and said.count("\n") == 1
    records = [str(path) for path in (tmp_path / "data" / "upstream" / "train").iterdir()]
    assert sum(1 for _ in tf.data.TFRecordDataset(records)) == 1


def test_examples_are_dealt_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _ran("docs/start.md", 0)
    assert {path.name for path in (tmp_path / "my_data").iterdir()} == {"upstream", "c-or-d"}


def test_a_fit_of_ones_own_goes_on_where_it_was(tmp_path: Path) -> None:
    """What the trainer itself does with one, tests/components/test_full_model_trainer.py has."""
    my_fit = _ran("docs/training.md", 0)["my_fit"]
    reported: list[dict[str, Any]] = []
    x, y = np.random.default_rng(0).random((8, 4), np.float32), np.arange(8) % 2

    class Split:
        def batches(self, batch_size: int, epoch: int) -> Any:
            return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)

        def in_order(self, batch_size: int) -> Any:
            return self.batches(batch_size, 0)

    class Given:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        settings = type("Settings", (), {"epochs": 2, "batch_size": 4})
        train = evaluation = Split()
        resume_folder = tmp_path

        def report(self, **values: Any) -> None:
            reported.append(values)

    training: Any = Given()
    my_fit(training)
    training.settings.epochs = 3
    my_fit(training)
    assert [values["epoch"] for values in reported] == [0, 1, 2]
    assert all(values["val_loss"] > 0 for values in reported)
