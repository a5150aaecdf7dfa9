"""C5: a dict of inputs or outputs keeps whatever keys the model itself takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.conformance import behaviour
from piecehub.conformance import loaded as loaded_models
from piecehub.consume.layer import ReusableLayer
from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable
from piecehub.exporting.reusable import ExportOptions
from piecehub.facts import piece_manifest

pytestmark = pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")  # Keras warns of most such keys
ONE, TWO = np.float32([[1, 2], [3, 4]]), np.float32([[10, 20], [30, 40]])


def _difference(framework: Any, one: Any, two: Any, outputs: tuple[Any, Any] = ("default", "twice")) -> Any:
    """A model of two inputs by these keys: half of the first minus the second, and twice that."""
    a, b = framework.layers.Input((2,)), framework.layers.Input((2,))
    half = framework.layers.Dense(2, use_bias=False, kernel_initializer=lambda shape, dtype=None: 0.5 * tf.eye(2))
    difference = framework.layers.Subtract()([half(a), b])
    return framework.Model(
        {one: a, two: b}, {outputs[0]: difference, outputs[1]: framework.layers.Add()([difference] * 2)}
    )


def _object(_: Any, one: str, two: str, outputs: tuple[str, str] = ("default", "twice")) -> Any:
    """The same, of low-level TensorFlow."""
    obj: Any = tf.train.Checkpoint()
    half = tf.Variable(0.5)

    @tf.function
    def call(inputs: Any) -> Any:
        difference = half * inputs[one] - inputs[two]
        return {outputs[0]: difference, outputs[1]: 2 * difference}

    call.get_concrete_function({key: tf.TensorSpec([None, 2]) for key in (one, two)})
    obj.__call__, obj.variables, obj.trainable_variables = call, [half], [half]
    return obj


PAIRS = [
    ("petal-width", "petal-length"),
    ("petal-width", "petal_width"),
    ("A", "a"),
    ("class", "self"),
    ("é", "e"),
    ("", "0"),
    ("x", "x.values"),
    ("tab\there", "nul\0here"),
    ("🌱", "input_1"),
]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_c5_any_key_that_the_model_takes_is_exported(one: str, two: str, tmp_path: Path) -> None:
    model = _difference(keras, one, two, outputs=(two, one))
    refused = ""
    try:
        reusable.export(model, tmp_path / "model")
    except (NotReusableError, KeyError, ValueError, TypeError) as error:
        refused = repr(error)
    assert refused == ""
    _require_same(tmp_path / "model", one, two, outputs=(two, one))


@pytest.mark.parametrize(("build", "framework"), [(_difference, tf_keras), (_object, None)])
def test_c5_keys_of_other_models_are_kept_too(build: Callable[..., Any], framework: Any, tmp_path: Path) -> None:
    reusable.export(build(framework, "petal-width", "petal_width"), tmp_path / "model")
    _require_same(tmp_path / "model", "petal-width", "petal_width", ("default", "twice"))


def _require_same(folder: Path, one: str, two: str, outputs: tuple[str, str]) -> None:
    inputs, expected = {one: ONE, two: TWO}, 0.5 * ONE - TWO
    loaded: Any = hub.load(str(folder))
    for found in (loaded(inputs), hub.KerasLayer(str(folder))(inputs), ReusableLayer(str(folder))(inputs)):
        np.testing.assert_allclose(found[outputs[0]], expected, atol=1e-6)
        np.testing.assert_allclose(found[outputs[1]], 2 * expected, atol=1e-6)
    manifest = piece_manifest.read(folder)
    names = {key: manifest.signature_inputs.get(key, key) for key in inputs}
    served = loaded.signatures["serving_default"](**{names[key]: tf.constant(inputs[key]) for key in inputs})
    np.testing.assert_allclose(served[outputs[0]], expected, atol=1e-6)
    assert set(manifest.input) == set(inputs) and set(manifest.output) == set(outputs)
    recorded = golden.read(folder, manifest)
    assert set(recorded.inputs) == set(inputs)
    assert golden.difference(recorded.outputs, loaded(recorded.inputs)) < 1e-6


def test_c5_keys_that_a_signature_takes_stay_its_names_and_need_no_map(tmp_path: Path) -> None:
    reusable.export(_difference(keras, "left", "Right_1"), tmp_path / "model")
    names = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"].structured_input_signature[1]
    assert set(names) == {"left", "Right_1"}
    assert "signature_inputs" not in (tmp_path / "model" / piece_manifest.FILE).read_text()


def test_c5_the_validator_serves_by_the_map(tmp_path: Path) -> None:
    reusable.export(_difference(keras, "petal-width", "é"), tmp_path / "model")
    assert behaviour.serves_the_same(loaded_models.load(tmp_path / "model")).passed


@pytest.mark.parametrize("framework", [keras, tf_keras])
@pytest.mark.parametrize(("keys", "named"), [((0, 1), "0"), ((b"a", b"b"), "b'a'"), (("a", "\ud800"), "ud800")])
def test_c14_keys_that_a_saved_model_cannot_hold_are_refused(
    framework: Any, keys: tuple[Any, Any], named: str, tmp_path: Path
) -> None:
    for model in (_difference(framework, *keys), _difference(framework, "x", "y", outputs=keys)):
        refused = ""
        try:
            reusable.export(model, tmp_path / "model")
        except NotReusableError as error:
            refused = error.sentence
        assert "to be texts of Unicode" in refused and named in refused


def test_c5_a_sub_piece_takes_a_name_that_source_code_can_write(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="dense")(inputs))
    with pytest.raises(NotReusableError, match="to be a free attribute"):
        reusable.export(model, tmp_path / "model", ExportOptions(sub_pieces={"ﬁrst": "dense"}))
