import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import piecehub
from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError, NotReusableError, StoreError
from piecehub.exporting import reusable
from piecehub.exporting.reusable import ExportOptions
from piecehub.store.archive import pack
from tests.exporting import low_level_pieces
from tests.loopback import answering

KERNEL = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)
X = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]], np.float32)
Y = X @ KERNEL + BIAS


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> str:
    return low_level_pieces.save_affine(tmp_path_factory.mktemp("affine") / "model")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return low_level_pieces.save_text(tmp_path_factory.mktemp("text") / "model")


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> str:
    return low_level_pieces.save_ragged(tmp_path_factory.mktemp("ragged") / "model")


def _calls(layer: ReusableLayer) -> float:
    return next(float(v.numpy()) for v in layer.weights if v.name == "calls")


# --- where a piece comes from -----------------------------------------------------------------------------------------


def test_a_path_a_string_and_a_loaded_object_give_the_same(affine: str) -> None:
    for handle in (affine, Path(affine), piecehub.load(affine), hub.load(affine)):
        np.testing.assert_allclose(ReusableLayer(handle, output_key="default")(X), Y, rtol=1e-6)


_LOADS = """
import sys, piecehub
for address in sys.argv[1:]:
    try: print(piecehub.load(address).variables[0].shape)
    except Exception as error: print(error)
"""


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])  # Python knows no other
def test_a4_hubs_client_asks_this_machine_directly_and_tells_nobody_a_token(
    variable: str, affine: str, tmp_path: Path
) -> None:
    pack(Path(affine), tmp_path / "model.tar.gz")
    through: list[tuple[str, str]] = []
    query = "?tf-hub-format=compressed"
    answer = (200, {}, (tmp_path / "model.tar.gz").read_bytes())
    proxied = {f"http://models.example/m{query}": answer}
    with answering({f"/m{query}": answer}) as url, answering(proxied, through) as proxy:
        addresses = [f"{url}/m", "http://models.example/m", "http://models.example/m?token=t0ken"]
        variables = {**os.environ, "TFHUB_CACHE_DIR": str(tmp_path / "cache"), "no_proxy": "", variable: proxy}
        command = [sys.executable, "-P", "-c", _LOADS, *addresses]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path, check=False)
    direct, by_proxy, refused = done.stdout.splitlines()
    assert through == [(f"http://models.example/m{query}", "")]
    assert direct == by_proxy == "(3, 2)", done.stdout
    assert refused.startswith("Expected https for a token.") and "t0ken" not in refused


def test_a_loaded_object_is_shared_not_copied(affine: str) -> None:
    loaded = piecehub.load(affine)
    layer = ReusableLayer(loaded, output_key="default")
    loaded.trainable_variables[1].assign([0.0, 0.0])
    np.testing.assert_allclose(layer(X), X @ KERNEL, rtol=1e-6)
    layer.weights[1].assign(BIAS)
    np.testing.assert_array_equal(loaded.trainable_variables[1], BIAS)
    assert layer.resolved_object is loaded


def test_variables_live_as_long_as_the_layer(affine: str) -> None:
    layer = ReusableLayer(affine, output_key="default")
    gc.collect()
    np.testing.assert_allclose(layer(X), Y, rtol=1e-6)


def test_what_cannot_be_loaded_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Expected a SavedModel at .* Received: .*does not exist; check the handle"):
        ReusableLayer(str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match="contains neither"):
        piecehub.load(tmp_path)
    with pytest.raises(StoreError, match=r"urlopen error.*check the handle"):
        piecehub.load("http://127.0.0.1:9/publisher/name/1")


def test_a_handle_goes_through_the_clients_cache(affine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    handle = "https://nobody.invalid/publisher/name/1"
    cached = tmp_path / sha1(handle.encode()).hexdigest()  # tensorflow_hub/resolver.py
    shutil.copytree(affine, cached)
    np.testing.assert_allclose(ReusableLayer(handle, output_key="default")(X), Y, rtol=1e-6)
    (cached / "saved_model.pb").unlink()
    with pytest.raises(StoreError, match=r"contains neither.*delete '.*' if it is the client's cache"):
        ReusableLayer(handle)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_are_not_trainable_by_default_and_tracked_by_keras(affine: str) -> None:
    layer = ReusableLayer(affine)
    assert layer.trainable_weights == [] and layer.losses == []
    assert [(v.name, v.shape) for v in layer.weights] == [("dense_kernel", (3, 2)), ("dense_bias", (2,)), ("calls", ())]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)["default"]))
    assert len(model.trainable_variables) == 2 and len(model.weights) == 5


def test_trainable_may_be_set_later_both_ways(affine: str) -> None:
    layer = ReusableLayer(affine)
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Lambda(lambda outputs: outputs["default"])])
    for trainable in (True, False, True):
        layer.trainable = trainable
        assert len(model.trainable_variables) == (2 if trainable else 0)
        assert len(layer.losses) == (1 if trainable else 0)
        before = _calls(layer)
        model(X, training=True)
        assert _calls(layer) == before + trainable
    model.trainable = False
    assert layer.trainable_weights == [] and model.losses == []


def test_subclassed_functional_and_sequential_models_train_all_weights(affine: str) -> None:
    def functional() -> keras.Model:
        inputs = keras.Input((3,))
        return keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.piece, self.head = layer, keras.layers.Dense(1)

        def call(self, inputs: Any, training: Any = None) -> Any:  # or Keras would not train in training mode
            return self.head(self.piece(inputs))

    def sequential() -> keras.Model:
        return keras.Sequential([layer, keras.layers.Dense(1)])

    for build in (functional, Subclassed, sequential):
        layer = ReusableLayer(affine, trainable=True, output_key="default")
        before = [v.numpy() for v in layer.trainable_weights]
        model = build()
        model.compile(keras.optimizers.SGD(0.01), "mse")
        model.fit(X, np.ones((2, 1)), verbose=0)
        assert len(model.trainable_weights) == 4
        assert all(not np.allclose(old, v.numpy()) for old, v in zip(before, layer.trainable_weights, strict=True))
        assert _calls(layer) == 1


def test_a_piece_without_trainable_weights_cannot_be_fine_tuned(tmp_path: Path) -> None:
    root = tf.Module()
    root.__class__ = type("Doubles", (tf.Module,), {"__call__": tf.function(lambda self, inputs: 2 * inputs)})
    root.__call__.get_concrete_function(tf.TensorSpec([None]))  # pyright: ignore[reportCallIssue]
    tf.saved_model.save(root, str(tmp_path))
    layer = ReusableLayer(str(tmp_path))
    np.testing.assert_array_equal(layer(np.ones(2, np.float32)), [2.0, 2.0])
    layer.trainable = True  # as an outer model's `trainable` does
    assert layer.trainable_weights == []
    with pytest.raises(ConsumerError, match=r"Expected trainable variables.* Received: none; .*leave out"):
        ReusableLayer(str(tmp_path), trainable=True)


# --- regularization ---------------------------------------------------------------------------------------------------


def test_each_regularization_loss_counts_once_however_often_the_layer_is_applied(affine: str) -> None:
    p = low_level_pieces
    expected = p.L2 * (np.sum(KERNEL**2) + np.sum(np.abs(KERNEL)) + np.sum(KERNEL) * np.sum(BIAS)) + p.CONSTANT
    layer = ReusableLayer(affine, trainable=True, output_key="default")
    inputs = keras.Input((3,))
    once = keras.Model(inputs, layer(inputs))
    twice = keras.Model(inputs, keras.layers.Subtract()([layer(inputs), layer(keras.ops.negative(inputs))]))
    for model in (once, twice):
        model(X, training=True)
        assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-6)
    layer.trainable = False
    assert twice.losses == []


def test_regularization_reaches_the_gradients(affine: str) -> None:
    p = low_level_pieces
    layer = ReusableLayer(affine, trainable=True)
    with tf.GradientTape() as tape:
        loss = tf.add_n(layer.losses)
    kernel, bias = map(np.asarray, tape.gradient(loss, [v.value for v in layer.trainable_weights]))
    np.testing.assert_allclose(kernel, p.L2 * (2 * KERNEL + np.sign(KERNEL) + np.sum(BIAS)), rtol=1e-5)
    np.testing.assert_allclose(bias, p.L2 * np.sum(KERNEL) * np.ones(2), rtol=1e-5)


# --- training mode ----------------------------------------------------------------------------------------------------


def test_training_mode_needs_a_trainable_layer_called_for_training(affine: str) -> None:
    layer = ReusableLayer(affine, trainable=True)
    for training, counted in ((None, 0), (False, 0), (np.bool_(False), 0), (tf.constant(False), 0),
                              (True, 1), (np.bool_(True), 1), (tf.constant(True), 1)):  # fmt: skip
        before = _calls(layer)
        layer(X, training=training)
        assert _calls(layer) == before + counted, training
    frozen = ReusableLayer(affine)
    frozen(X, training=True)
    assert _calls(frozen) == 0


def test_a_training_mode_known_only_in_the_graph_chooses_there(affine: str) -> None:
    layer = ReusableLayer(affine, trainable=True, output_key="default")
    step = tf.function(lambda training: layer(X, training=training))
    for training in (True, False, True):
        np.testing.assert_allclose(step(tf.constant(training)), Y, rtol=1e-6)
    assert _calls(layer) == 2


def test_a_piece_without_training_argument_gets_none(text: str) -> None:
    assert ReusableLayer(text, trainable=True)(["the cat"], training=True).shape == (1, 3)


# --- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32", "int64", "uint8"])
def test_inputs_are_cast_to_the_traced_dtype(affine: str, dtype: str) -> None:
    layer = ReusableLayer(affine, output_key="default")
    whole = tf.constant([[1, 2, 3]])
    expected = np.array([[1.0, 2.0, 3.0]]) @ KERNEL + BIAS
    np.testing.assert_allclose(layer(tf.cast(whole, dtype)), expected, rtol=1e-6)
    inputs = keras.Input((3,), dtype=dtype)
    np.testing.assert_allclose(keras.Model(inputs, layer(inputs))(tf.cast(whole, dtype)), expected, rtol=1e-6)


def test_python_lists_and_numpy_doubles_are_inputs_too(affine: str) -> None:
    layer = ReusableLayer(affine, output_key="default")
    np.testing.assert_allclose(layer(X.tolist()), Y, rtol=1e-6)
    np.testing.assert_allclose(layer(X.astype(np.float64)), Y, rtol=1e-6)


def test_a_trace_of_the_inputs_own_dtype_is_preferred_to_a_cast(tmp_path: Path) -> None:
    """A cast from float32 to float64 would lose nothing, and still be another function."""
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.factor = tf.Variable(2.0)

    @tf.function
    def call(inputs: Any) -> Any:
        return (
            tf.cast(inputs, tf.float32)
            * root.factor
            * {"float64": 1.0, "float32": 10.0, "int32": 100.0}[inputs.dtype.name]
        )

    for dtype in (tf.float64, tf.float32, tf.int32):
        call.get_concrete_function(tf.TensorSpec([None, 3], dtype))
    root.__call__ = call
    root.variables = root.trainable_variables = [root.factor]
    tf.saved_model.save(root, str(tmp_path / "model"))
    layer = ReusableLayer(str(tmp_path / "model"))
    for dtype, factor in (("float64", 2.0), ("float32", 20.0), ("int32", 200.0)):
        inputs = tf.cast([[1, 2, 3]], dtype)
        np.testing.assert_allclose(layer(inputs), [[factor, 2 * factor, 3 * factor]])
        symbolic = keras.Input((3,), dtype=dtype)
        np.testing.assert_allclose(keras.Model(symbolic, layer(symbolic))(inputs), layer(inputs))


def test_a_cast_that_would_change_the_meaning_is_refused(affine: str, ragged: str, text: str) -> None:
    with pytest.raises(ConsumerError, match=r"Expected float32 inputs.* Received: string; convert them first"):
        ReusableLayer(affine)(tf.constant([["a", "b", "c"]]))
    with pytest.raises(ConsumerError, match=r"Expected int32 inputs.* Received: float32"):
        ReusableLayer(ragged)(tf.ragged.constant([[1.5]]))
    with pytest.raises(ConsumerError, match=r"Expected string inputs.* Received: int32"):
        ReusableLayer(text)(tf.constant([1]))


def test_a_mixed_precision_policy_changes_nothing_in_the_piece(affine: str) -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = ReusableLayer(affine, trainable=True, output_key="default")
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(4)(layer(inputs)))
        thousandth = X + np.float32(1e-4)  # lost in float16
        np.testing.assert_allclose(layer(thousandth), thousandth @ KERNEL + BIAS, rtol=1e-6)
        assert layer(X).dtype == tf.float32 and model(X).dtype == tf.float16
        assert {v.dtype for v in layer.weights} == {"float32"}
        half = keras.layers.Rescaling(1.0)(inputs)
        assert half.dtype == "float16"
        np.testing.assert_allclose(keras.Model(inputs, layer(half))(X), Y, rtol=1e-3)
        model.compile("adam", "mse")
        assert np.isfinite(model.fit(X, np.ones((2, 4)), epochs=2, verbose=0).history["loss"]).all()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_sentences_are_embedded_and_trained_as_the_guide_says(text: str) -> None:
    embed = ReusableLayer(text, trainable=True)
    embeddings = embed(["the cat", "dog", ""])
    assert embeddings.shape == (3, 3) and embeddings.dtype == tf.float32
    model = keras.Sequential(
        [embed, keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    before = embed.weights[0].numpy()
    sentences, labels = ["the cat", "a dog"] * 8, [0, 1] * 8
    model.fit(tf.data.Dataset.from_tensor_slices((sentences, labels)).batch(4), verbose=0)
    model.fit(np.array(sentences, dtype=object), np.array(labels), verbose=0)
    assert not np.allclose(before, embed.weights[0].numpy())


def test_ragged_inputs_and_outputs_stay_ragged(ragged: str) -> None:
    layer = ReusableLayer(ragged)
    rows = tf.ragged.constant([[1, 2, 3], [], [4]], dtype=tf.int32)  # int64 row splits, where int32 was traced
    expected = [[[0.5], [1.0], [1.5]], [], [[2.0]]]
    for given in (rows, tf.cast(rows, tf.int64), [[1, 2, 3], [], [4]]):
        outputs = layer(given)
        assert isinstance(outputs, tf.RaggedTensor) and outputs.to_list() == expected
    inputs = keras.Input((None,), dtype="int32", ragged=True)
    symbolic = layer(inputs)
    assert symbolic.ragged and symbolic.shape == (None, None, 1) and symbolic.dtype == "float32"
    assert keras.Model(inputs, symbolic)(rows).to_list() == expected


def test_sparse_inputs_stay_sparse(tmp_path: Path) -> None:
    inputs = keras.Input((3,), sparse=True)
    dense = keras.layers.Dense(2)
    reusable.export(keras.Model(inputs, dense(inputs)), tmp_path / "model")
    layer = ReusableLayer(str(tmp_path / "model"))
    given = tf.sparse.from_dense(tf.constant([[0.0, 2.0, 0.0]], tf.float64))
    expected = dense(np.array([[0.0, 2.0, 0.0]], np.float32))
    np.testing.assert_allclose(layer(given), expected, rtol=1e-6)
    symbolic = keras.Input((3,), dtype="float64", sparse=True)
    np.testing.assert_allclose(keras.Model(symbolic, layer(symbolic))(given), expected, rtol=1e-6)


def test_inputs_of_another_structure_are_refused(tmp_path: Path) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    dense = keras.layers.Dense(2)
    reusable.export(keras.Model({"a": a, "b": b}, dense(a + b)), tmp_path / "dict")
    reusable.export(keras.Model([a, b], [dense(a), dense(b)]), tmp_path / "list")
    by_name, by_place = ReusableLayer(str(tmp_path / "dict")), ReusableLayer(str(tmp_path / "list"))
    np.testing.assert_allclose(by_name({"b": X, "a": X}), by_name({"a": X + X, "b": 0 * X}), rtol=1e-5)
    np.testing.assert_allclose(by_place((X, 2 * X))[1], 2 * (by_place([X, X])[0]), rtol=1e-5)
    with pytest.raises(ConsumerError, match=r"Expected a dict of a, b as input. Received: a dict of a; name them so"):
        by_name({"a": X})
    with pytest.raises(ConsumerError, match=r"Expected a dict of a, b as input. Received: ndarray"):
        by_name(X)
    with pytest.raises(ConsumerError, match=r"Expected a list of 2 inputs. Received: 3"):
        by_place([X, X, X])


# --- arguments, outputs, sub-pieces -----------------------------------------------------------------------------------


def test_arguments_are_passed_as_they_were_traced(affine: str) -> None:
    for scale in (2, 2.0, np.float64(2.0)):
        layer = ReusableLayer(affine, arguments={"scale": scale, "negate": True}, output_key="default")
        np.testing.assert_allclose(layer(X), -2.0 * Y, rtol=1e-6)
    with pytest.raises(ConsumerError, match=r"Expected `arguments` among .*\(negate, scale\). Received: size"):
        ReusableLayer(affine, arguments={"size": 1})
    with pytest.raises(ConsumerError, match="Received: training; `training` comes from the model"):
        ReusableLayer(affine, arguments={"training": False})


def test_one_output_is_chosen_by_name(affine: str, text: str) -> None:
    np.testing.assert_allclose(ReusableLayer(affine, output_key="double")(X), 2 * Y, rtol=1e-6)
    assert set(ReusableLayer(affine)(X)) == {"default", "double"}
    with pytest.raises(ConsumerError, match=r"Expected the output 'other'.* default, double; choose another"):
        ReusableLayer(affine, output_key="other")(X)
    with pytest.raises(ConsumerError, match="Received: outputs without names"):
        ReusableLayer(text, output_key="default")(["the"])


def test_a_list_of_outputs_keeps_its_order_beside_losses_of_activations(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    first = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(0.1))(inputs)
    outputs = [first, keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(first)]
    model: Any = keras.Model(inputs, outputs)
    reusable.export(model, tmp_path / "model", ExportOptions(return_losses=True))
    layer = ReusableLayer(str(tmp_path / "model"), trainable=True)
    for training in (True, False):
        expected = model(X, training=training)
        found = layer(X, training=training)
        assert len(found) == 3
        for output, original in zip(found, expected, strict=True):
            np.testing.assert_allclose(output, original, rtol=1e-5)
    layer(X, training=True)
    model(X, training=True)
    assert float(sum(layer.losses)) == pytest.approx(float(sum(model.losses)), rel=1e-5)


def test_a_sub_piece_has_weights_of_its_own(affine: str) -> None:
    layer = ReusableLayer(affine, trainable=True, piece="half")
    np.testing.assert_allclose(layer(X), X @ KERNEL, rtol=1e-6)
    assert [v.name for v in layer.trainable_weights] == ["dense_kernel"] and layer.losses == []
    with pytest.raises(ConsumerError, match=r"Expected a callable sub-object 'third' .* Received: none"):
        ReusableLayer(affine, piece="third")


def test_symbolic_outputs_have_the_traced_shapes_and_dtypes(affine: str) -> None:
    outputs = ReusableLayer(affine, trainable=True)(keras.Input((3,)))
    assert {name: (output.shape, output.dtype) for name, output in outputs.items()} == {
        "default": ((None, 2), "float32"),
        "double": ((None, 2), "float32"),
    }


def test_a_symbolic_call_leaves_autograph_out() -> None:
    """AutoGraph would rewrite the layer itself, from source files that may have changed since they were imported."""
    seen: list[str] = []

    class Asks(tf.Module):
        def __call__(self, inputs: Any) -> Any:
            seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
            return inputs

    ReusableLayer(Asks())(keras.Input((3,)))
    assert seen == ["DISABLED"]


def test_outputs_of_unknown_rank_are_refused_in_symbolic_calls_only(tmp_path: Path) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.shape = tf.Variable([-1, 3], shape=[None], trainable=False)
    root.__call__ = tf.function(lambda inputs: tf.reshape(inputs, root.shape), input_signature=[tf.TensorSpec(None)])
    tf.saved_model.save(root, str(tmp_path))
    layer = ReusableLayer(str(tmp_path))
    np.testing.assert_array_equal(layer(X), X)
    with pytest.raises(ConsumerError, match="Expected outputs of known rank"):
        layer(keras.Input((3,)))


def test_a_python_object_that_keeps_the_interface_is_a_piece_too() -> None:
    class Doubles(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable(2.0)

        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return inputs * self.factor * (10.0 if training else 1.0)

    layer = ReusableLayer(Doubles(), trainable=True)
    np.testing.assert_allclose(layer(X), 2 * X)
    np.testing.assert_allclose(layer(X, training=True), 20 * X)
    assert layer(keras.Input((3,))).shape == (None, 3) and len(layer.trainable_weights) == 1


def test_regularization_losses_that_cannot_be_called_are_refused() -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.factor = tf.Variable(2.0)
    root.__call__ = tf.function(lambda inputs: inputs * root.factor)
    root.trainable_variables, root.regularization_losses = [root.factor], [tf.constant(1.0)]
    with pytest.raises(NotReusableError, match=r"to hold functions without arguments. Received: .*Tensor"):
        ReusableLayer(type("Root", (), {"__call__": root.__call__, **vars(root)})(), trainable=True)


def test_e13_a_model_in_one_file_and_a_folder_around_are_named_by_the_layer_too(affine: str, tmp_path: Path) -> None:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    shutil.copytree(affine, tmp_path / "versions" / "0001")
    for handle, said in (
        (tmp_path / "model.keras", "a Keras model in one file; export it"),
        (tmp_path / "versions", f"which is around one; name '{tmp_path / 'versions' / '0001'}'"),
    ):
        refused = ""
        try:
            ReusableLayer(handle)
        except StoreError as error:
            refused = error.sentence
        assert said in refused


# --- lists that the interface lets a publisher leave out --------------------------------------------------------------


def test_b7_a_training_trace_is_used_whatever_lists_are_left_out(tmp_path: Path) -> None:
    """tensorflow/hub, docs/reusable_saved_models.md: an attribute that is left out counts as an empty list."""

    def piece() -> Any:
        root: Any = tf.__internal__.tracking.AutoTrackable()
        root.weight = tf.Variable(3.0)
        root.__call__ = tf.function(lambda x, training=False: x * root.weight * (10.0 if training else 1.0))
        for training in (True, False):
            root.__call__.get_concrete_function(tf.TensorSpec([None]), training=training)
        return root

    for lists in ((), ("variables",), ("trainable_variables",), ("regularization_losses",)):
        root = piece()
        for name in lists:
            setattr(root, name, [] if name == "regularization_losses" else [root.weight])
        folder = str(tmp_path / ("_".join(lists) or "none"))
        tf.saved_model.save(root, folder)
        layer = ReusableLayer(folder)
        layer.trainable = True
        hubs = hub.KerasLayer(folder, trainable=True)
        ones = np.ones(1, np.float32)
        for training, expected in ((True, 30.0), (False, 3.0)):
            assert float(layer(ones, training=training)[0]) == float(hubs(ones, training=training)[0]) == expected
        assert len(layer.trainable_weights) == len(hubs.trainable_weights) == ("trainable_variables" in lists)


def test_b7_a_preprocessor_without_variables_takes_python_values(tmp_path: Path) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(lambda texts: tf.strings.length(texts))
    root.__call__.get_concrete_function(tf.TensorSpec([None], tf.string))
    root.halve = tf.function(lambda numbers: numbers / 2, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(root, str(tmp_path))
    layer = ReusableLayer(str(tmp_path))
    try:
        lengths = layer(["the", "cats"]).numpy().tolist()
    except ValueError as error:  # of Keras, which takes tensors only
        lengths = str(error)
    assert lengths == [3, 4] and layer.dtype_policy.name == "string"
    assert ReusableLayer(str(tmp_path), piece="halve")([1, 3]).numpy().tolist() == [0.5, 1.5]
    with pytest.raises(ConsumerError, match="Expected string inputs"):
        layer([1, 2])


# --- shapes of outputs ------------------------------------------------------------------------------------------------


def _known(tell: Callable[[], Any]) -> Any:
    """What `tell` tells of shapes, or the name of the error that Keras raises where a layer does not know its own."""
    try:
        return tell()
    except NotImplementedError as error:
        return type(error).__name__


def _shape(layer: ReusableLayer, shape: Any) -> Any:
    return _known(lambda: layer.compute_output_shape(shape))


def test_c7_output_shapes_are_derived_from_the_traces(affine: str, ragged: str, text: str, tmp_path: Path) -> None:
    layer = ReusableLayer(affine, output_key="default")
    assert _shape(layer, (None, 3)) == (None, 2) and _shape(layer, [5, 3]) == (5, 2)
    assert _shape(ReusableLayer(affine), (7, 3)) == {"default": (7, 2), "double": (7, 2)}
    assert _shape(ReusableLayer(text), (4,)) == (None, 3)  # its graph does not tell more
    assert _shape(ReusableLayer(ragged), (4, None)) == (4, None, 1)
    a, b = keras.Input((3,), name="a"), keras.Input((5,), name="b")
    joined = keras.layers.Dense(8)(keras.layers.Concatenate()([a, b]))
    reusable.export(keras.Model({"a": a, "b": b}, joined), tmp_path / "dict")
    reusable.export(keras.Model([a, b], [joined, a]), tmp_path / "list")
    assert _shape(ReusableLayer(tmp_path / "dict"), {"b": (2, 5), "a": (2, 3)}) == (2, 8)
    assert _shape(ReusableLayer(tmp_path / "list"), [(2, 3), (2, 5)]) == [(2, 8), (2, 3)]
    served = ReusableLayer(tmp_path / "dict", signature="serving_default", signature_outputs_as_dict=True)
    assert list(_shape(served, {"a": (2, 3), "b": (2, 5)}).values()) == [(2, 8)]
    with pytest.raises(ConsumerError, match="Expected a dict of a, b as input shapes"):
        ReusableLayer(tmp_path / "dict").compute_output_shape((2, 3))


def test_c7_wrappers_and_deferred_models_know_the_shape(affine: str) -> None:
    layer = ReusableLayer(affine, trainable=True, output_key="default")
    steps = keras.Input((4, 3))
    model: Any = _known(lambda: keras.Model(steps, keras.layers.TimeDistributed(layer)(steps)))
    assert getattr(model, "output_shape", model) == (None, 4, 2)
    rows = np.stack([X, 2 * X, 3 * X, 4 * X], axis=1)
    np.testing.assert_allclose(model(rows), rows @ KERNEL + BIAS, rtol=1e-6)
    model.compile("sgd", "mse")
    model.fit(rows, np.ones((2, 4, 2)), verbose=0)
    assert len(model.trainable_weights) == 2
    deferred = keras.Sequential([layer, keras.layers.Dense(5)])
    deferred.build((None, 3))
    assert deferred.output_shape == (None, 5) and deferred.compute_output_shape((6, 3)) == (6, 5)


def test_what_hubs_layer_hands_to_loading_is_refused_with_the_way_to_do_it(affine: str) -> None:
    for option in ({"tags": ["train"]}, {"load_options": tf.saved_model.LoadOptions()}):
        with pytest.raises(ConsumerError, match=r"Expected a handle without .*; pass what hub.load\(handle, "):
            ReusableLayer(affine, **option)
