"""G10: the guide's own low-level model, word for word and through our export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from piecehub.consume.layer import ReusableLayer
from tests.guides import book


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the guide's block leaves behind, with `folder`, where it saved."""
    folder = tmp_path_factory.mktemp("low-level") / "my_mul"
    return book.run(10, {"folder": folder}, replace={"/tmp/my_mul": str(folder)})


def _check(layer: Any) -> None:
    assert np.asarray(layer([10.0, 20.0])).tolist() == [20.0, 40.0]
    assert layer.trainable_weights == []
    layer.trainable = True
    assert [np.asarray(weight).tolist() for weight in layer.trainable_weights] == [2.0]
    assert [float(loss) for loss in layer.losses] == [pytest.approx(0.004)]


def test_g10_the_guides_code_works_word_for_word(made: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert [np.asarray(weight).tolist() for weight in made["layer"].trainable_weights] == [2.0]
    assert [float(loss) for loss in made["layer"].losses] == [pytest.approx(0.004)]
    for layer in (hub.KerasLayer(str(made["folder"])), ReusableLayer(str(made["folder"]))):
        _check(layer)


def test_g10_it_goes_through_our_export_too(made: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "my_mul"
    book.run(10, dict(made), block=1, replace={'"my_mul"': repr(str(folder))})
    for layer in (hub.KerasLayer(str(folder)), ReusableLayer(str(folder))):
        _check(layer)
    obj = hub.load(str(folder))
    served = obj.signatures["serving_default"](inputs=tf.constant([10.0, 20.0]))
    assert [tensor.numpy().tolist() for tensor in served.values()] == [[20.0, 40.0]]
    stored = [name for name, _ in tf.train.list_variables(str(folder / "variables" / "variables"))]
    assert not any("save_counter" in name for name in stored)
    stored = [name for name, _ in tf.train.list_variables(str(made["folder"] / "variables" / "variables"))]
    assert any("save_counter" in name for name in stored)
