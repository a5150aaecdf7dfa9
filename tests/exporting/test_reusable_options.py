"""What `ExportOptions` asks for: each option changes what is exported, and each wrong one is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from keras import layers

from piecehub.conformance.dynamic import dynamic_findings
from piecehub.errors import NotReusableError, PiecehubError
from piecehub.exporting import golden, reusable
from piecehub.exporting.export_options import read_options
from piecehub.exporting.reusable import ExportOptions
from piecehub.facts import piece_manifest
from tests.exporting.model_kinds import KINDS

X = np.random.default_rng(0).random((8, 6), dtype=np.float32)


def _model(momentum: float = 0.9, rate: float = 0.25) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    x = layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.1), name="bottom")(inputs)
    x = layers.BatchNormalization(momentum=momentum, name="norm")(x)
    inner_inputs = keras.Input((8,))
    inner = keras.Model(inner_inputs, layers.Dense(4, name="deep")(layers.Dropout(rate)(inner_inputs)), name="inner")
    return keras.Model(inputs, layers.Dense(2, name="top")(inner(x)))


def _exported(model: Any, folder: Path, options: ExportOptions | None = None, **arguments: Any) -> Any:
    reusable.export(model, folder, options, **arguments)
    return tf.saved_model.load(str(folder))


def test_a_frozen_layer_is_refused_by_default(tmp_path: Path) -> None:
    model = _model()
    model.get_layer("norm").trainable = False
    with pytest.raises(NotReusableError, match="Received: norm; set frozen = 'unfreeze'"):
        reusable.export(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_unfreezing_traces_in_training_mode_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = _model()
    model.get_layer("bottom").trainable = model.get_layer("norm").trainable = False
    flags = [layer.trainable for layer in model._flatten_layers()]
    loaded = _exported(model, tmp_path / "model", ExportOptions(frozen="unfreeze"))
    assert [layer.trainable for layer in model._flatten_layers()] == flags
    assert len(model.trainable_variables) == 4
    assert len(loaded.trainable_variables) == 8
    assert len(loaded.regularization_losses) == 1
    (mean,) = [v for v, own in zip(loaded.variables, model.variables, strict=True) if "moving_mean" in own.path]
    loaded(X, training=True)
    assert np.abs(mean.numpy()).max() > 0


def test_keeping_frozen_layers_keeps_their_statistics(tmp_path: Path) -> None:
    model = _model()
    model.get_layer("norm").trainable = False
    loaded = _exported(model, tmp_path / "model", ExportOptions(frozen="keep"))
    (mean,) = [v for v, own in zip(loaded.variables, model.variables, strict=True) if "moving_mean" in own.path]
    loaded(X, training=True)
    assert np.abs(mean.numpy()).max() == 0
    assert len(loaded.trainable_variables) == 6


def test_a_layer_that_was_built_frozen_comes_back_trainable(tmp_path: Path) -> None:
    """TensorFlow's own flag is set for good when a variable is made; gradient tapes go by it."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2, trainable=False)(inputs))
    loaded = _exported(model, tmp_path / "model", ExportOptions(frozen="unfreeze"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded(X, training=True))
    assert [v.trainable for v in loaded.trainable_variables] == [True, True]
    assert all(g is not None for g in tape.gradient(loss, list(loaded.trainable_variables)))


def test_patterns_choose_the_weights_to_train_and_their_regularizers(tmp_path: Path) -> None:
    model = _model()
    loaded = _exported(model, tmp_path / "model", ExportOptions(trainable=("top/*", "*/gamma")))
    manifest = piece_manifest.read(tmp_path / "model")
    assert manifest is not None
    assert list(manifest.trainable_variables) == ["norm/gamma", "top/kernel", "top/bias"]
    assert [tuple(v.shape) for v in loaded.trainable_variables] == [(8,), (4, 2), (2,)]
    assert len(loaded.regularization_losses) == 0
    assert len(loaded.variables) == len(model.variables)
    with pytest.raises(NotReusableError, match="Received: botom/\\*, which names none"):
        reusable.export(model, tmp_path / "other", ExportOptions(trainable=("botom/*",)))


def test_momentum_and_rate_are_arguments_whose_default_is_the_models_own(tmp_path: Path) -> None:
    model = _model(momentum=0.9)
    options = ExportOptions(hyperparameters=("dropout_rate", "batch_norm_momentum"))
    loaded = _exported(model, tmp_path / "model", options)
    (mean,) = [v for v, own in zip(loaded.variables, model.variables, strict=True) if "moving_mean" in own.path]
    moved = {}
    for momentum in (None, 0.9, 0.5):
        mean.assign(tf.zeros_like(mean))
        loaded(X, training=True, **({} if momentum is None else {"batch_norm_momentum": momentum}))
        moved[momentum] = mean.numpy()
    np.testing.assert_allclose(moved[None], moved[0.9], rtol=1e-5)
    np.testing.assert_allclose(moved[0.5], 5 * moved[0.9], rtol=1e-4)  # (1 - 0.5) / (1 - 0.9)
    np.testing.assert_allclose(loaded(X, training=True, dropout_rate=0.0), loaded(X, training=True, dropout_rate=0.0))
    assert not np.allclose(loaded(X, training=True, dropout_rate=0.9), loaded(X, training=True, dropout_rate=0.9))
    assert dict(piece_manifest.read(tmp_path / "model").hyperparameters) == {
        "dropout_rate": 0.25,
        "batch_norm_momentum": 0.9,
    }


def test_the_unmodified_client_passes_hyperparameters(tmp_path: Path) -> None:
    model = _model(momentum=0.9)
    _exported(model, tmp_path / "model", ExportOptions(hyperparameters=("batch_norm_momentum",)))
    moved = []
    for momentum in (0.9, 0.5):
        arguments = {"batch_norm_momentum": momentum}
        layer = hub.KerasLayer(str(tmp_path / "model"), trainable=True, arguments=arguments)
        layer(X, training=True)
        (mean,) = [v for v in layer.non_trainable_weights if "moving_mean" in v.name]
        moved.append(mean.numpy())
    np.testing.assert_allclose(moved[1], 5 * moved[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hyperparameters": ["dropout_rate"]}, "Received: 0.1, 0.25; make them equal"),
        ({"hyperparameters": ["l2"]}, "Received: l2; leave the others out"),
        ({"frozen": "melt"}, "Expected 'frozen' to be one of refuse, unfreeze, keep. Received: 'melt'"),
        ({"gold": "none"}, "Received: gold; leave them out"),
        ({"trainable": "top/*"}, "Expected 'trainable' to be a list. Received: a string"),
        ({"sub_pieces": {"variables": "inner"}}, "Expected the name of a sub-piece to be a free attribute"),
        ({"sub_pieces": {"encoder": "outer"}}, "Received: 'outer', which names 0; name one"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    x = layers.Dropout(0.1)(layers.Dropout(0.25)(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="inner")(x))
    with pytest.raises(NotReusableError) as caught:
        reusable.export(model, tmp_path / "model", read_options(options))
    assert sentence in str(caught.value)


def test_a_hyperparameter_without_its_layer_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    options = ExportOptions(hyperparameters=("batch_norm_momentum",))
    with pytest.raises(NotReusableError, match="Received: no such layer"):
        reusable.export(keras.Model(inputs, layers.Dense(2)(inputs)), tmp_path / "model", options)


def test_sub_pieces_are_pieces_of_their_own_and_share_the_weights(tmp_path: Path) -> None:
    model = _model()
    options = ExportOptions(sub_pieces={"core": "inner", "first": "bottom"}, hyperparameters=("dropout_rate",))
    loaded = _exported(model, tmp_path / "model", options)
    np.testing.assert_allclose(loaded.first(X), model.get_layer("bottom")(X), atol=1e-6)
    hidden = np.ones((3, 8), np.float32)
    np.testing.assert_allclose(loaded.core(hidden, training=False), model.get_layer("inner")(hidden), atol=1e-6)
    assert not np.allclose(
        loaded.core(hidden, training=True, dropout_rate=0.5), loaded.core(hidden, training=True, dropout_rate=0.5)
    )
    assert len(loaded.first.trainable_variables) == len(loaded.core.trainable_variables) == 2
    assert len(loaded.first.regularization_losses) == 1
    shared = {id(v) for v in loaded.variables}
    assert {id(v) for v in [*loaded.first.variables, *loaded.core.variables]} < shared
    assert len(hub.KerasLayer(loaded.first, trainable=True).trainable_weights) == 2


def test_a_sub_piece_advises_to_train_no_weight_that_the_whole_leaves_out(tmp_path: Path) -> None:
    model = _model()
    options = ExportOptions(sub_pieces={"core": "inner", "first": "bottom"}, trainable=("*deep/kernel", "top/*"))
    loaded = _exported(model, tmp_path / "model", options)
    assert [tuple(v.shape) for v in loaded.core.trainable_variables] == [(8, 4)]
    assert len(loaded.core.variables) == len(model.get_layer("inner").variables)
    assert list(loaded.first.trainable_variables) == [] and len(loaded.first.variables) == 2
    # Of a weight that is left as it is, a regularizer is a constant.
    assert list(loaded.first.regularization_losses) == []


@pytest.mark.parametrize("name", ["SpatialDropout1D", "SpatialDropout2D"])
def test_spatial_dropout_drops_whole_maps_at_a_consumers_rate_too(name: str, tmp_path: Path) -> None:
    axes = tuple(range(1, int(name[-2]) + 1))
    inputs = keras.Input((*(6 for _ in axes), 5))
    dropped = getattr(layers, name)(0.25, seed=1)(inputs)
    identity = keras.initializers.Identity()
    outputs = layers.Dense(5, kernel_initializer=identity, use_bias=False)(dropped)
    options = ExportOptions(hyperparameters=("dropout_rate",))
    loaded = _exported(keras.Model(inputs, outputs), tmp_path / "model", options)
    x = np.ones((16, *inputs.shape[1:]), np.float32)
    for rate, given in ((0.25, {}), (0.5, {"dropout_rate": 0.5})):
        found = loaded(x, training=True, **given).numpy()
        maps = found.max(axis=axes)
        np.testing.assert_allclose(found.min(axis=axes), maps)  # a map is dropped as a whole, or kept
        assert set(np.unique(maps.round(4))) == {0.0, np.float32(round(1 / (1 - rate), 4))}


def test_losses_of_activities_are_returned_where_asked(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    x = layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.1))(inputs)
    model = keras.Model({"x": inputs}, {"default": layers.Dense(2)(x), "hidden": x})
    loaded = _exported(model, tmp_path / "with", ExportOptions(return_losses=True))
    model({"x": X}, training=True)
    outputs = loaded({"x": X}, training=True, return_losses=True)
    assert set(outputs) == {"default", "hidden", "losses"}
    assert float(outputs["losses"]) == pytest.approx(float(model.losses[0])) == pytest.approx(
        0.1 * float(tf.reduce_sum(outputs["hidden"] ** 2)) / len(X)
    )  # fmt: skip
    assert set(loaded({"x": X}, training=True)) == {"default", "hidden"}
    reusable.export(model, tmp_path / "without")
    lost = piece_manifest.read(tmp_path / "without").lost
    assert [loss["what"] for loss in lost] == ["activity_regularizer"]
    assert not piece_manifest.read(tmp_path / "with").lost


def test_the_manifest_tells_what_the_interface_cannot_carry(exported_kind: Callable[[str], Path]) -> None:
    lost = {name: piece_manifest.read(exported_kind(name)).lost for name in ("norms_and_constraint", "optional_input")}
    assert [loss["is"] for loss in lost["norms_and_constraint"]] == ["MaxNorm"]
    assert [loss["of"] for loss in lost["optional_input"]] == ["b"]


def test_the_manifest_tells_of_the_layers_and_of_where_the_piece_came_from(tmp_path: Path) -> None:
    reusable.export(_model(), tmp_path / "model", ExportOptions(preprocessor="a/tokens/1", parent="a/parent/2"))
    manifest = piece_manifest.read(tmp_path / "model")
    assert manifest.preprocessor == "a/tokens/1"
    assert manifest.parent == "a/parent/2"
    assert [entry["rate"] for entry in manifest.dropout] == [0.25]
    assert list(manifest.batch_normalization) == [{"layer": "norm", "momentum": 0.9}]
    assert manifest.input == {"shape": [None, 6], "dtype": "float32"}
    assert manifest.output == {"shape": [None, 2], "dtype": "float32"}
    assert manifest.regularizers[0]["variable"] == "bottom/kernel"
    assert manifest.supports_jit


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    reusable.export(_model(), tmp_path / "model")
    path = tmp_path / "model" / piece_manifest.FILE
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "of_a_later_schema": 1}))
    assert piece_manifest.read(tmp_path / "model").variables == values["variables"]
    for text in ("[]", "{", '{"input": 1}'):
        path.write_text(text)
        with pytest.raises(NotReusableError, match="Expected a manifest"):
            piece_manifest.read(tmp_path / "model")
    assert piece_manifest.read(tmp_path) is None


def test_golden_inputs_may_be_given_or_left_out(tmp_path: Path) -> None:
    reusable.export(_model(), tmp_path / "given", golden_inputs=tf.constant(X))
    recorded = golden.read(tmp_path / "given", piece_manifest.read(tmp_path / "given"))
    np.testing.assert_array_equal(recorded.inputs, X)
    reusable.export(_model(), tmp_path / "none", ExportOptions(golden="none"))
    assert not (tmp_path / "none" / piece_manifest.GOLDEN_FILE).exists()


def test_other_outputs_than_golden_ones_are_seen() -> None:
    one = {"a": tf.constant([1.0, 2.0]), "b": tf.constant([b"x"])}
    assert golden.difference(one, one) == 0
    assert golden.difference(one, {**one, "a": tf.constant([1.0, 2.5])}) == pytest.approx(0.25)
    assert golden.difference(one, {**one, "b": tf.constant([b"y"])}) == float("inf")
    assert golden.difference(one, {"a": one["a"]}) == float("inf")
    assert golden.difference(tf.constant([1.0]), tf.constant([float("nan")])) == float("inf")


def test_a_model_that_does_not_take_synthetic_inputs_says_so(tmp_path: Path) -> None:
    text = layers.StringLookup(vocabulary=["a"], num_oov_indices=0)
    model = keras.Sequential([keras.Input((3,), dtype="string"), text, layers.Embedding(2, 3)])
    with pytest.raises(NotReusableError, match=r"set golden = 'none'"):
        reusable.export(model, tmp_path / "model")
    loaded = _exported(model, tmp_path / "model", golden_inputs=tf.constant([["a", "a", "a"]]))
    assert loaded(tf.constant([["a", "a", "a"]])).shape == (1, 3, 3)


class DecodeJpegs(layers.Layer):
    """JPEGs `[batch] string` -> `[batch, 4, 4, 3] float32`."""

    def call(self, inputs: Any) -> Any:
        def decoded(text: Any) -> Any:
            return tf.image.resize(tf.io.decode_jpeg(text, channels=3), [4, 4]) / 255

        return tf.map_fn(decoded, inputs, fn_output_signature=tf.TensorSpec([4, 4, 3], tf.float32))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, 4, 4, 3))


def _decoding(layer: Any) -> keras.Model:
    jpegs = keras.Input((), dtype="string")
    return keras.Model(jpegs, layers.Dense(2)(layers.Flatten()(layer(jpegs))))


@pytest.mark.parametrize("as_lambda", [False, True])
def test_a_model_that_decodes_jpegs_is_told_to_decode_before_it(tmp_path: Path, as_lambda: bool) -> None:
    layer = layers.Lambda(lambda x: DecodeJpegs().call(x), output_shape=(4, 4, 3)) if as_lambda else DecodeJpegs()
    with pytest.raises(NotReusableError) as caught:
        reusable.export(_decoding(layer), tmp_path / "model")
    assert "Received: a model that decodes files, such as JPEGs, by itself; decode examples" in caught.value.sentence
    assert "`[data] decode`" in caught.value.sentence and "golden" not in caught.value.sentence
    reusable.export(_decoding(layer), tmp_path / "none", ExportOptions(golden="none"))
    d1 = next(found for found in dynamic_findings(tmp_path / "none") if found.check == "D1")
    assert d1.passed is False and "`[data] decode`" in d1.sentence and "decodes files" in d1.sentence


def test_golden_inputs_come_from_a_function_of_the_recipe(made: Any, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    shutil.copytree(made.recipe, recipe)
    module = recipe / "model.py"
    bright = "import numpy as np\n\ndef bright():\n    return np.full((3, 8, 8, 1), 2.5, np.float32)\n"
    module.write_text(module.read_text() + bright)
    arguments = (str(made.piece), str(recipe), str(tmp_path / "model"), {"golden": "bright"}, None)
    reusable.export_piece(*arguments)
    manifest = piece_manifest.read(tmp_path / "model")
    recorded = golden.read(tmp_path / "model", manifest)
    assert manifest.golden["inputs"] == "given"
    np.testing.assert_array_equal(recorded.inputs, np.full((3, 8, 8, 1), 2.5))
    with pytest.raises(PiecehubError, match="'dark'"):
        reusable.export_piece(*arguments[:2], str(tmp_path / "other"), {"golden": "dark"}, None)


def test_a_model_that_computes_something_else_once_traced_is_refused(tmp_path: Path) -> None:
    class Counting(layers.Layer):
        calls = 0

        def call(self, inputs: Any) -> Any:
            self.calls += 1
            return inputs * self.calls

    inputs = keras.Input((6,))
    with pytest.raises(NotReusableError, match="look for Python state"):
        reusable.export(keras.Model(inputs, layers.Dense(2)(Counting()(inputs))), tmp_path / "model")


def test_models_that_cannot_tell_their_inputs_or_nest_them_are_refused(tmp_path: Path) -> None:
    deep = keras.Input((6,))
    nested = keras.Model({"a": {"b": deep}}, layers.Dense(2)(deep))
    with pytest.raises(NotReusableError, match="a deeper structure; flatten it"):
        reusable.export(nested, tmp_path / "nested")
    with pytest.raises(NotReusableError, match="which is not; call it on data once"):
        reusable.export(keras.Sequential([layers.Dense(2)]), tmp_path / "unbuilt")
    with pytest.raises(NotReusableError, match="give it a `__call__`"):
        reusable.export(3, tmp_path / "number")


def test_a_frozen_tf_keras_model_with_a_vocabulary_is_unfrozen_for_the_export(tmp_path: Path) -> None:
    model = KINDS["tf_keras_text"].build()
    model.trainable = False
    with pytest.raises(NotReusableError, match="set frozen = 'unfreeze'"):
        reusable.export(model, tmp_path / "model")
    loaded = _exported(model, tmp_path / "model", ExportOptions(frozen="unfreeze"))
    assert len(loaded.trainable_variables) == 1
    assert not model.trainable_variables
