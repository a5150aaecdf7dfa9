from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.exporting import reusable
from piecehub.tensors.approximate_controls import write_controls
from piecehub.transfer.engine import Engine


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("piece")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(8, 3, bias_initializer="ones")(inputs)
    x = keras.layers.BatchNormalization(beta_initializer="ones", gamma_initializer="zeros")(x)
    x = keras.layers.Dropout(0.2, seed=1)(keras.layers.GlobalAveragePooling2D()(x))
    reusable.export(keras.Model(inputs, keras.layers.Dense(40)(x)), folder / "m")
    return folder / "m"


def _values(folder: Path) -> list[np.ndarray]:
    prefix = str(folder / "variables")
    names = sorted(n for n, _ in tf.train.list_variables(prefix) if n.startswith("v/"))
    return [tf.train.load_variable(prefix, name) for name in sorted(names, key=lambda n: int(n.split("/")[1]))]


def test_kernels_are_drawn_with_their_fan_in_and_the_rest_as_layers_begin(piece, tmp_path):
    write_controls(piece, [3, 4], tmp_path)
    drawn = _values(tmp_path / "seed-3")
    by_shape = {value.shape: value for value in drawn if value.ndim > 1}
    assert np.std(by_shape[3, 3, 2, 8]) == pytest.approx(np.sqrt(1 / 18), rel=0.2)
    assert np.std(by_shape[8, 40]) == pytest.approx(np.sqrt(1 / 8), rel=0.15)
    flat = [value.tolist() for value in drawn if value.shape == (8,)]
    # Bias, gamma, beta, mean and variance.
    assert sorted(flat) == [[0] * 8, [0] * 8, [0] * 8, [1] * 8, [1] * 8]
    assert not np.allclose(by_shape[8, 40], next(v for v in _values(tmp_path / "seed-4") if v.shape == (8, 40)))


def test_equal_seeds_give_equal_controls_that_the_engine_takes(piece, tmp_path):
    for name in ("a", "b"):
        write_controls(piece, [1], tmp_path / name)
    for one, other in zip(_values(tmp_path / "a" / "seed-1"), _values(tmp_path / "b" / "seed-1"), strict=True):
        np.testing.assert_array_equal(one, other)
    engine = Engine(piece, 3)
    x = np.random.default_rng(0).random((4, 6, 6, 2)).astype(np.float32)
    before = engine.features(x)
    engine.use_control(tmp_path / "a" / "seed-1")
    assert not np.allclose(engine.features(x), before)


def test_what_is_not_float_is_kept(piece, tmp_path):
    write_controls(piece, [1], tmp_path)
    kept = [v for v in tf.saved_model.load(str(piece)).variables if not v.dtype.is_floating]
    assert kept  # the state of the dropout
    drawn = [value for value in _values(tmp_path / "seed-1") if not np.issubdtype(value.dtype, np.floating)]
    for value, variable in zip(drawn, kept, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_model_without_variables_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    with pytest.raises(NotReusableError, match="with 'variables'"):
        write_controls(tmp_path / "m", [1], tmp_path / "controls")
