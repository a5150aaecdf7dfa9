"""Each road of TensorFlow Hub's guide leads to a piece, whatever kind of Keras model the recipe builds."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from piecehub.errors import PieceError, TrainingError
from piecehub.extraction import piece as pieces
from piecehub.extraction.roads import Road, cut_piece, find_piece
from piecehub.training.building import build_models, feature_specs, ready_to_train

TOKENS = {
    "ids": {"shape": [None, 5], "dtype": "int64"},
    "mask": {"shape": [None, 5], "dtype": "int64"},
}
BATCH = {"ids": np.arange(10).reshape(2, 5), "mask": np.ones((2, 5), np.int64)}


class Core(keras.Model):
    """Tokens and their mask, a dict -> a dict of one pooled output; subclassed, so it has no Input."""

    def __init__(self) -> None:
        super().__init__(name="core")
        self.embed, self.pool = layers.Embedding(10, 4), layers.Dense(3)

    def call(self, inputs: Any, training: bool = False) -> Any:
        mask = keras.ops.cast(inputs["mask"], "float32")[..., None]
        return {"pooled": self.pool(keras.ops.sum(self.embed(inputs["ids"]) * mask, axis=1))}


class Pretrainer(keras.Model):
    """The core with a head."""

    def __init__(self) -> None:
        super().__init__(name="pretrainer")
        self.core, self.head = Core(), layers.Dense(2)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.core(inputs, training=training)["pooled"])


def subclassed(*, seed: int) -> keras.Model:
    return Pretrainer()


def pair(*, seed: int) -> tuple[keras.Model, keras.Model]:
    inputs = {name: keras.Input((5,), dtype="int64", name=name) for name in TOKENS}
    mixed = layers.Embedding(10, 4)(inputs["ids"]) * keras.ops.cast(inputs["mask"], "float32")[..., None]
    core = keras.Model(inputs, {"pooled": layers.Dense(3)(mixed[:, 0])}, name="core")
    fresh = {name: keras.Input((5,), dtype="int64", name=name) for name in TOKENS}
    return core, keras.Model(fresh, layers.Dense(2)(core(fresh)["pooled"]), name="pretrainer")


def siamese(*, seed: int) -> keras.Model:
    """One layer for two inputs, and a model around it that was made, and called, before."""
    shared = layers.Dense(4, name="shared")
    before = keras.Input((4,))
    inner = keras.Model(before, layers.Dense(4)(shared(before)), name="inner")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    both = layers.Concatenate(name="both")([shared(left), inner(shared(right))])
    return keras.Model([left, right], layers.Dense(1)(both), name="siamese")


@pytest.mark.parametrize("build", [subclassed, pair])
@pytest.mark.parametrize(("road", "names"), [("core", ()), ("take", ("core",)), ("whole", ())])
def test_roads_lead_to_a_piece_of_dicts_with_and_without_an_input(
    build: Callable[..., Any], road: Road, names: tuple[str, ...]
) -> None:
    built = build_models(build, {}, 1, TOKENS)
    found = find_piece(built, road, names)
    assert found.inputs == TOKENS
    outputs = found.model(BATCH)
    assert isinstance(outputs, dict) is (road != "whole")
    described = pieces.piece_facts(found)["output"]
    expected = tf.nest.map_structure(lambda t: [None, *t.shape[1:]], outputs)
    assert tf.nest.map_structure(lambda s: s, described if road == "whole" else described["pooled"])["shape"] == (
        expected if road == "whole" else expected["pooled"]
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ragged": True, "dtype": "string"}, {"shape": [None, None], "dtype": "string", "ragged_rank": 1}),
        ({"sparse": True}, {"shape": [None, None], "dtype": "float32", "sparse": True}),
    ],
)
def test_a_piece_with_an_input_of_rows_or_of_few_values_says_so(given: dict[str, Any], told: dict[str, Any]) -> None:
    inner = keras.Input((None,), **given)
    piece = keras.Model(inner, layers.Lambda(lambda x: x)(inner), name="inner")
    outer = keras.Input((None,), **given)
    full = keras.Model(outer, piece(outer))
    assert pieces.spec_facts(outer) == told
    assert find_piece(build_models(lambda seed: full, {}, 1, told), "take", ("inner",)).inputs == told


def test_the_core_shares_the_weights_of_the_trained_pretrainer() -> None:
    built = build_models(subclassed, {}, 1, TOKENS)
    core = find_piece(built, "core", ()).model
    before = core(BATCH)["pooled"].numpy()
    built.full.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    built.full.fit(BATCH, np.array([0, 1]), epochs=3, verbose=0)
    assert not np.allclose(before, core(BATCH)["pooled"].numpy())


def test_a_shared_layer_is_cut_at_its_first_use_in_the_full_model() -> None:
    built = build_models(siamese, {}, 1)
    left, right = np.ones((2, 4), np.float32), 2 * np.ones((2, 4), np.float32)
    cut = cut_piece(built.full, "shared")
    shared: Any = built.full.get_layer("shared")
    np.testing.assert_array_equal(cut([left, right]).numpy(), shared(left).numpy())
    assert len(cut.trainable_variables) == 2


def test_several_layers_give_a_dict_by_their_names_nested_models_among_them() -> None:
    built = build_models(siamese, {}, 1)
    x = [np.ones((2, 4), np.float32), 2 * np.ones((2, 4), np.float32)]
    outputs = find_piece(built, "cut", ("shared", "inner", "both")).model(x)
    assert set(outputs) == {"shared", "inner", "both"}
    joined = np.concatenate([outputs["shared"], outputs["inner"]], axis=1)
    np.testing.assert_array_equal(outputs["both"].numpy(), joined)


def test_a_layer_inside_a_nested_model_is_no_layer_of_the_full_one() -> None:
    built = build_models(siamese, {}, 1)
    hidden = built.full.get_layer("inner").layers[-1].name
    with pytest.raises(PieceError, match=f"Received: '{hidden}'"):
        cut_piece(built.full, hidden)


def test_a_subclassed_model_cannot_be_cut_but_taken() -> None:
    built = build_models(subclassed, {}, 1, TOKENS)
    with pytest.raises(PieceError, match="Expected a layer whose output follows from the inputs of 'pretrainer'"):
        cut_piece(built.full, "core")
    assert find_piece(built, "take", ("core",)).model is built.core


def test_a_core_that_was_not_returned_is_one_sentence() -> None:
    with pytest.raises(PieceError, match=r"Expected the recipe's function to return \(core, pretrainer\)"):
        find_piece(build_models(siamese, {}, 1), "core", ())


def test_a_core_that_the_pretrainer_does_not_hold_is_one_sentence() -> None:
    def apart(*, seed: int) -> tuple[keras.Model, keras.Model]:
        return pair(seed=1)[0], pair(seed=2)[1]

    with pytest.raises(PieceError, match="Expected a core whose weights are all the pretrainer's too"):
        find_piece(build_models(apart, {}, 1), "core", ())


@pytest.mark.parametrize("made", [3, (1, 2), (None, siamese(seed=0))])
def test_what_is_no_model_or_pair_is_one_sentence(made: Any) -> None:
    with pytest.raises(TrainingError, match=r"a pair \(core, pretrainer\)"):
        build_models(lambda seed: made, {}, 1)


def test_a_subclassed_model_without_features_is_one_sentence() -> None:
    with pytest.raises(TrainingError, match="Received: 'pretrainer', not built; add an Input"):
        build_models(subclassed, {}, 1)


def test_a_sequential_model_without_an_input_keeps_its_batch_open() -> None:
    def build(*, seed: int) -> keras.Model:
        return keras.Sequential([layers.Dense(3), layers.Dense(2, name="end")])

    built = build_models(build, {}, 1, {"shape": [None, 4], "dtype": "float32"})
    assert built.inputs == {"shape": [None, 4], "dtype": "float32"}
    assert cut_piece(built.full, "end")(np.ones((7, 4), np.float32)).shape == (7, 2)


def test_one_feature_is_a_tensor_and_several_are_a_dict() -> None:
    image, label = tf.TensorSpec([None, 8, 8, 1], tf.float32), tf.TensorSpec([None], tf.int64)
    words: Any = tf.RaggedTensorSpec([None, None], tf.string, 1)
    spec = {"shape": [None, 8, 8, 1], "dtype": "float32"}
    assert feature_specs({"image": image, "label": label}, "label") == spec
    several = feature_specs({"image": image, "words": words, "weight": label, "label": label}, "label", "weight")
    assert several == {"image": spec, "words": {"shape": [None, None], "dtype": "string", "ragged_rank": 1}}


def test_equal_seeds_build_equal_models_with_or_without_an_input() -> None:
    for build in (subclassed, pair):
        one = ready_to_train(build, TOKENS, None)(seed=5)
        values = [v.numpy() for v in one.variables]
        other = ready_to_train(build, TOKENS, None)(seed=5)
        for value, variable in zip(values, other.variables, strict=True):
            np.testing.assert_array_equal(value, variable.numpy())
