"""G10: low-level TensorFlow that implements the interface itself. G28, G31: a fine-tuned piece, saved again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from keras import layers

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable
from piecehub.exporting.reexport import reexport
from piecehub.exporting.reusable import ExportOptions
from piecehub.facts import piece_manifest
from piecehub.facts.content import list_files
from tests.exporting.model_kinds import KINDS, Affine, MyMulModel

BATCH = tf.TensorSpec([None, 6])


def test_the_guides_example_is_exported_without_a_save_counter(tmp_path: Path) -> None:
    model = MyMulModel(2.0)
    model.save_counter  # noqa: B018  (made when it is first read, as `save` does)
    reusable.export(model, tmp_path / "model")
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))]
    assert not [name for name in names if "save_counter" in name]
    loaded: Any = hub.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded([10.0, 20.0]), [20.0, 40.0])
    assert [v.numpy() for v in loaded.trainable_variables] == [2.0]
    assert [float(loss()) for loss in loaded.regularization_losses] == pytest.approx([0.004])


def test_a_module_is_traced_for_both_modes_and_keeps_its_other_members(tmp_path: Path) -> None:
    class WithTokens(Affine):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize(self, texts: Any) -> Any:
            return tf.strings.length(texts)

    reusable.export(WithTokens(), tmp_path / "model", inputs=BATCH)
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    x = np.ones((2, 6), np.float32)
    calls = next(v for v in loaded.variables if "calls" in v.name)
    np.testing.assert_array_equal(loaded(x), loaded(x, training=True))
    assert calls.numpy() == 1
    assert loaded.tokenize(tf.constant(["abc"])).numpy().tolist() == [3]
    assert "serving_default" in loaded.signatures


def _hubs_own(**attributes: Any) -> Any:
    """An object as TensorFlow Hub's own tests build it: y = 2x, with `__call__` on the object itself."""
    obj: Any = tf.train.Checkpoint()
    weight = tf.Variable(2.0, name="weight")
    obj.__call__ = tf.function(lambda x: weight * x, input_signature=[tf.TensorSpec([None], tf.float32)])
    obj.variables = obj.trainable_variables = [weight]
    obj.regularization_losses = [tf.function(lambda: 0.5 * weight, input_signature=[])]
    for name, value in attributes.items():
        setattr(obj, name, value)
    return obj


def _refusal(obj: Any, folder: Path, **arguments: Any) -> str:
    """What the exporter refuses an object with, or what TensorFlow does in its place; empty if it is taken."""
    try:
        reusable.export(obj, folder, **arguments)
    except (NotReusableError, ValueError, KeyError) as error:
        return str(error)
    return ""


def test_c6_a_call_on_the_object_itself_counts(tmp_path: Path) -> None:
    assert _refusal(_hubs_own(half=_hubs_own()), tmp_path / "model") == ""
    layer = hub.KerasLayer(str(tmp_path / "model"), trainable=True)
    np.testing.assert_array_equal(layer(np.float32([1, 2])), [2, 4])
    assert [float(loss) for loss in layer.losses] == [1.0]
    loaded: Any = hub.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.half([1.0, 2.0]), [2, 4])
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))]
    assert not [name for name in names if "save_counter" in name]


def test_c6_a_plain_function_on_the_object_itself_is_traced(tmp_path: Path) -> None:
    obj = tf.__internal__.tracking.AutoTrackable()
    weight = tf.Variable([1.0, 2.0])
    obj.variables = obj.trainable_variables = [weight]
    assert "give it a `__call__`" in _refusal(obj, tmp_path / "none")
    obj.__call__ = lambda inputs, training=False: inputs * weight * (3.0 if training else 1.0)
    assert _refusal(obj, tmp_path / "model", inputs=tf.TensorSpec([None, 2])) == ""
    loaded: Any = hub.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded([[1.0, 1.0]], training=True), [[3, 6]])


def test_c12_an_asset_a_variable_and_another_signature_are_kept(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("5\n")
    obj = _hubs_own(
        sample_input=tf.saved_model.Asset(str(words)),
        sample_output=tf.Variable([10], dtype=tf.int64),
        signatures={"plus_one": tf.function(lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([], tf.int64)])},
    )
    reusable.export(obj, tmp_path / "model")
    loaded: Any = hub.load(str(tmp_path / "model"))
    offered = {name for name in ("sample_input", "sample_output") if hasattr(loaded, name)}
    assert (offered, set(loaded.signatures)) == ({"sample_input", "sample_output"}, {"serving_default", "plus_one"})
    assert piece_manifest.read(tmp_path / "model").lost == []


def test_c12_what_an_object_offers_by_name_is_kept_or_told(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("5\n")
    text = [tf.TensorSpec([None], tf.string)]
    tokenizer = tf.Module()
    tokenizer.lengths = tf.function(tf.strings.length, input_signature=text)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [7]), -1)
    obj = _hubs_own(
        sample_input=tf.saved_model.Asset(str(words)),
        sample_output=tf.Variable([10], dtype=tf.int64),
        files=[tf.saved_model.Asset(str(words))],
        tokenizer=tokenizer,
        table=table,
        look_up=tf.function(table.lookup, input_signature=text),
        signatures={"plus_one": tf.function(lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([], tf.int64)])},
        optimizer=tf_keras.optimizers.SGD(),
        settings={"lower": True},
    )
    assert _refusal(obj, tmp_path / "model") == ""
    lost = [(loss["what"], loss["of"], loss["is"]) for loss in piece_manifest.read(tmp_path / "model").lost]
    assert lost == [("attribute", "optimizer", "SGD")]
    words.unlink()
    loaded: Any = hub.load(str(tmp_path / "model"))
    offered = {name for name in vars(obj) if not name.startswith("_") and hasattr(loaded, name)}
    assert {"sample_input", "sample_output", "files", "tokenizer", "look_up", "signatures"} <= offered
    assert "optimizer" not in offered
    for asset in (loaded.sample_input, *loaded.files):
        assert tf.io.read_file(asset.asset_path).numpy() == b"5\n"
    assert loaded.sample_output.numpy().tolist() == [10]
    assert loaded.look_up(tf.constant(["a", "b"])).numpy().tolist() == [7, -1]
    assert loaded.tokenizer.lengths(tf.constant(["abc"])).numpy().tolist() == [3]
    assert set(loaded.signatures) == {"serving_default", "plus_one"}
    assert loaded.signatures["plus_one"](tf.constant(1, tf.int64))["y"].numpy() == 2


def test_c12_signatures_that_were_never_traced_are_refused(tmp_path: Path) -> None:
    obj = _hubs_own(signatures={"plus_one": tf.function(lambda x: x + 1)})
    assert "Received: plus_one; give each tf.function an input_signature" in _refusal(obj, tmp_path / "model")


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_c12_an_asset_that_somebody_put_onto_a_keras_model_is_kept(framework: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("5\n")
    model = framework.Sequential([framework.layers.Input((2,)), framework.layers.Dense(1)])
    model.words, model.scale = tf.saved_model.Asset(str(words)), tf.Variable([3])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    reusable.export(model, tmp_path / "model")
    loaded: Any = hub.load(str(tmp_path / "model"))
    assert {name for name in ("words", "scale", "train_function") if hasattr(loaded, name)} == {"words", "scale"}
    assert tf.io.read_file(loaded.words.asset_path).numpy() == b"5\n"
    assert loaded.scale.numpy().tolist() == [3]


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_c12_what_somebody_put_onto_a_keras_model_is_kept_or_told(framework: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("5\n")
    text = [tf.TensorSpec([None], tf.string)]
    model = framework.Sequential([framework.layers.Input((2,)), framework.layers.Dense(1)])
    model.tokenizer = tf.Module()
    model.tokenizer.lengths = tf.function(tf.strings.length, input_signature=text)
    model.files = [tf.saved_model.Asset(str(words))]
    model.by_name = {"scale": tf.Variable([3])}
    model.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [7]), -1)
    model.look_up = tf.function(model.table.lookup, input_signature=text)
    model.state = tf.Module()
    model.parts = [model.layers[0]]
    assert _refusal(model, tmp_path / "model") == ""
    lost = [(loss["what"], loss["of"], loss["is"]) for loss in piece_manifest.read(tmp_path / "model").lost]
    assert lost == [("attribute", "state", "Module")]
    loaded: Any = hub.load(str(tmp_path / "model"))
    offered = {name for name in vars(model) if not name.startswith("_") and hasattr(loaded, name)}
    assert offered >= {"tokenizer", "files", "by_name", "look_up"} and "parts" not in offered
    assert loaded.tokenizer.lengths(tf.constant(["abc"])).numpy().tolist() == [3]
    assert tf.io.read_file(loaded.files[0].asset_path).numpy() == b"5\n"
    assert loaded.by_name["scale"].numpy().tolist() == [3]
    assert loaded.look_up(tf.constant(["a", "b"])).numpy().tolist() == [7, -1]


def _broken(**changes: Any) -> Any:
    model = MyMulModel()
    for name, value in changes.items():
        setattr(model, name, value)
    return model


class TwoArguments(tf.Module):
    def __call__(self, one: Any, other: Any) -> Any:
        return one + other


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: _broken(variables=[], trainable_variables=[]), "has none"),
        (lambda: _broken(variables=[]), "that also stand in"),
        (lambda: _broken(trainable_variables=[tf.Variable(1.0)]), "that also stand in"),
        (lambda: _broken(regularization_losses=[0.1]), "functions without arguments"),
        (lambda: _broken(regularization_losses=[lambda: tf.ones([2])]), "to return one scalar"),
        (TwoArguments, "to require one positional argument"),
        (Affine, "was never traced"),
    ],
)
def test_objects_that_break_the_interface_are_refused(make: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(NotReusableError) as caught:
        reusable.export(make(), tmp_path / "model")
    assert sentence in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_variable_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    class Hides(MyMulModel):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = tf.Variable(1.0, name="hidden")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, inputs: Any) -> Any:
            return inputs * self.v * self.hidden

    with pytest.raises(NotReusableError, match="Received: no hidden"):
        reusable.export(Hides(), tmp_path / "model")


def test_options_of_keras_layers_are_refused_for_objects(tmp_path: Path) -> None:
    with pytest.raises(NotReusableError, match="for a low-level object"):
        reusable.export(MyMulModel(), tmp_path / "model", ExportOptions(return_losses=True))


def test_a_preprocessor_needs_no_weights(tmp_path: Path) -> None:
    text = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    model = keras.Sequential([keras.Input((), dtype="string"), text])
    with pytest.raises(NotReusableError, match="has none"):
        reusable.export(model, tmp_path / "model")
    reusable.export_preprocessor(model, tmp_path / "model")
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    assert loaded(tf.constant(["b a"])).numpy().tolist() == [[3, 2, 0]]
    with pytest.raises(NotReusableError, match="export it as a piece"):
        reusable.export_preprocessor(KINDS["sequential"].build(), tmp_path / "other")


def test_a_fine_tuned_piece_is_saved_again_with_all_that_it_had(
    exported_kind: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = exported_kind("string_lookup_file")
    loaded: Any = hub.load(str(folder))
    words = KINDS["string_lookup_file"].inputs()
    model = tf_keras.Sequential([hub.KerasLayer(loaded, trainable=True), tf_keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    before = loaded(words).numpy()
    model.fit(words, np.ones((3, 2)), epochs=2, verbose=0)
    tuned = loaded(words).numpy()
    assert not np.allclose(before, tuned)

    facts = reexport(loaded, tmp_path / "again", source=folder)
    again: Any = hub.load(str(tmp_path / "again"))
    np.testing.assert_array_equal(again(words), tuned)
    np.testing.assert_array_equal(again.signatures["serving_default"](inputs=words)["outputs"], tuned)
    assert _assets(tmp_path / "again") == _assets(folder) != {}
    manifest = piece_manifest.read(tmp_path / "again")
    assert manifest.parent.startswith("sha256:")
    assert manifest.variables == piece_manifest.read(folder).variables
    assert facts.trainable_variables == list(manifest.trainable_variables)
    recorded = golden.read(tmp_path / "again", manifest)
    assert golden.difference(recorded.outputs, again(recorded.inputs)) == 0
    assert golden.difference(recorded.outputs, golden.read(folder, piece_manifest.read(folder)).outputs) > 0


def _assets(folder: Path) -> dict[str, str]:
    return {file.path: file.sha256 for file in list_files(folder) if file.path.startswith("assets/")}


def test_losses_are_kept_when_a_loaded_piece_is_saved_again(
    exported_kind: Callable[[str], Path], tmp_path: Path
) -> None:
    loaded: Any = tf.saved_model.load(str(exported_kind("nested")))
    loaded.trainable_variables[0].assign(2 * loaded.trainable_variables[0])
    reexport(loaded, tmp_path / "again", ExportOptions(parent="a/b/1"))
    again: Any = tf.saved_model.load(str(tmp_path / "again"))
    assert [float(f()) for f in again.regularization_losses] == [float(f()) for f in loaded.regularization_losses]
    assert len(again.trainable_variables) == len(loaded.trainable_variables)
    assert piece_manifest.read(tmp_path / "again").parent == "a/b/1"
    assert "serving_default" in again.signatures
    with pytest.raises(NotReusableError, match=r"pass what hub\.load returned"):
        reexport(MyMulModel, tmp_path / "other")
