from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from piecehub.errors import PieceError
from piecehub.training import weights
from tests.exporting.model_kinds import KINDS


@pytest.mark.parametrize("name", ["recurrent", "tf_keras_text"])
def test_weights_come_back_into_an_equal_model(name: str, tmp_path: Path) -> None:
    model, other = KINDS[name].build(), KINDS[name].build()
    for variable in weights.tf_variables(model):
        variable.assign_add(tf.ones_like(variable))
    weights.save(model, tmp_path / "weights")
    weights.load(other, tmp_path / "weights")
    for one, two in zip(weights.tf_variables(model), weights.tf_variables(other), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.ptp(variable.numpy()) > 0 for variable in weights.tf_variables(other))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights.save(KINDS["tf_keras_text"].build(), tmp_path / "weights")
    other = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
    with pytest.raises(PieceError, match="those of another model"):
        weights.load(other, tmp_path / "weights")
