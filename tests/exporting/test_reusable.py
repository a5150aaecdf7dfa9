from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.errors import NotReusableError, PieceError
from piecehub.exporting import reusable
from piecehub.extraction import piece as pieces
from piecehub.facts.content import list_files
from piecehub.training import weights


@pytest.fixture(scope="session")
def loaded(made: Any) -> Any:
    return tf.saved_model.load(str(made.saved_model))


def test_outputs_equal_the_pieces_before_export(made: Any, loaded: Any) -> None:
    before = made.model(made.images, training=False).numpy()
    np.testing.assert_allclose(loaded(made.images).numpy(), before, atol=1e-6)
    np.testing.assert_allclose(loaded(made.images, training=False).numpy(), before, atol=1e-6)
    served = loaded.signatures["serving_default"](inputs=tf.constant(made.images))
    np.testing.assert_allclose(served["outputs"].numpy(), before, atol=1e-6)


def test_equal_pieces_give_equal_bytes_in_fresh_processes(made: Any, tmp_path: Path) -> None:
    facts = reusable.export_in_fresh_process(made.piece, made.recipe, tmp_path / "elsewhere" / "again")
    assert list_files(tmp_path / "elsewhere" / "again") == list_files(made.saved_model)
    assert facts == made.export_facts


def test_variables_come_in_the_order_of_the_controls(made: Any, loaded: Any) -> None:
    for variable, own in zip(loaded.variables, made.model.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), own.numpy())
    control = pieces.rebuild_piece(made.piece, made.recipe)
    weights.load(control, pieces.control_weights(made.piece, 11))
    other = tf.saved_model.load(str(made.saved_model))
    prefix = str(pieces.control_weights(made.piece, 11) / "weights")
    tf.train.Checkpoint(v=list(other.variables)).read(prefix).assert_consumed()
    np.testing.assert_allclose(other(made.images).numpy(), control(made.images).numpy(), atol=1e-6)


def test_regularization_is_that_of_the_piece(made: Any, loaded: Any) -> None:
    kernels = [v.numpy() for v in made.model.trainable_variables if v.path.endswith("kernel")]
    expected = [1e-3 * np.sum(kernel**2) for kernel in kernels]
    assert [float(loss()) for loss in loaded.regularization_losses] == pytest.approx(expected)


def test_the_unmodified_client_fine_tunes_it(made: Any) -> None:
    layer = hub.KerasLayer(str(made.saved_model), trainable=True)
    model: Any = tf_keras.Sequential([tf_keras.Input((8, 8, 1)), layer, tf_keras.layers.Dense(2)])
    means = [v for v in layer.non_trainable_weights if "moving_mean" in v.name]
    before = [v.numpy() for v in means]
    assert sum(float(loss) for loss in model.losses) > 0
    assert len(layer.trainable_weights) == len(made.model.trainable_variables)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.legacy.Adam(1e-2), loss)
    history = model.fit(made.images, made.labels, epochs=3, batch_size=50, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert len(means) == 2
    for variable, value in zip(means, before, strict=True):
        assert not np.allclose(variable.numpy(), value)


def test_a_step_of_the_loaded_piece_equals_one_of_the_original(made: Any) -> None:
    original = pieces.rebuild_piece(made.piece, made.recipe)
    copy = tf.saved_model.load(str(made.saved_model))
    x = tf.constant(made.images[:32])

    def step(call: Any, variables: Any, losses: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(call(x, training=True))) + tf.add_n(losses())
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.1 * gradient)

    step(original, [v.value for v in original.trainable_variables], lambda: original.losses)
    step(copy, list(copy.trainable_variables), lambda: [f() for f in copy.regularization_losses])
    for one, other in zip(original.variables, copy.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def test_lists_and_dicts_of_inputs_and_outputs_keep_their_structure(tmp_path: Path) -> None:
    """Neither in alphabetical order nor alike: inputs or outputs that are swapped give other numbers."""
    right, left = keras.Input((3,), name="right"), keras.Input((3,), name="left")
    first, second = keras.layers.Dense(2)(right), keras.layers.Dense(2)(left)
    x, y = np.random.default_rng(0).random((2, 4, 3), np.float32)
    model: Any = keras.Model({"right": right, "left": left}, {"sum": first + second, "gap": first - 2 * second})
    expected = {name: output.numpy() for name, output in model({"right": x, "left": y}).items()}
    reusable.export(model, tmp_path / "dict")
    by_name = tf.saved_model.load(str(tmp_path / "dict"))
    outputs = by_name({"left": y, "right": x})
    served = by_name.signatures["serving_default"](left=tf.constant(y), right=tf.constant(x))
    for found in (outputs, served):
        assert set(found) == {"sum", "gap"}
        for name, output in found.items():
            np.testing.assert_allclose(output, expected[name], atol=1e-6)
    reusable.export(keras.Model([right, left], [first, first - 2 * second]), tmp_path / "list")
    by_place = tf.saved_model.load(str(tmp_path / "list"))
    one, two = by_place([x, y])
    np.testing.assert_allclose(two, expected["gap"], atol=1e-6)
    np.testing.assert_allclose(3 * one, 2 * expected["sum"] + expected["gap"], atol=1e-5)
    named = by_place.signatures["serving_default"](input_0=tf.constant(x), input_1=tf.constant(y))
    np.testing.assert_allclose(named["output_1"], expected["gap"], atol=1e-6)


def test_half_precision_outputs_become_float32(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    model: Any = keras.Model(inputs, keras.layers.Dense(2, dtype="mixed_float16")(inputs))
    assert model.output.dtype == "float16"
    reusable.export(model, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert loaded(np.ones((2, 3), np.float32)).dtype == tf.float32
    assert loaded.signatures["serving_default"].structured_outputs["outputs"].dtype == tf.float32


def test_dropout_works_in_training_only_and_moves_its_seed_there(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(8)(keras.layers.Dropout(0.5, seed=1)(inputs)))
    reusable.export(model, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    x = np.ones((5, 6), np.float32)
    np.testing.assert_array_equal(loaded(x), loaded(x))
    assert not np.allclose(loaded(x, training=True), loaded(x, training=True))


def test_a_model_without_trainable_weights_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    with pytest.raises(NotReusableError, match="none; unfreeze it"):
        reusable.export(keras.Model(inputs, keras.layers.ReLU()(inputs)), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_fresh_process_comes_back_as_ours(made: Any, tmp_path: Path) -> None:
    (tmp_path / "piece").mkdir()
    (tmp_path / "piece" / "builder.json").write_bytes((made.piece / "builder.json").read_bytes())
    with pytest.raises(PieceError, match="Expected weights of the model 'piece'"):
        reusable.export_in_fresh_process(tmp_path / "piece", made.recipe, tmp_path / "model")
    assert not (tmp_path / "model").exists()
