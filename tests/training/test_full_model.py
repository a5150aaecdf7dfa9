import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import PieceError, PiecehubError, TrainingError
from piecehub.facts.content import list_files
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model
from piecehub.training.own_code import OwnCode
from tests.streams import make_stream

KWARGS = {"width": 8, "l2": 1e-3}
SETTINGS = TrainTable(epochs=1, batch_size=32, learning_rate=1e-2, seed=1)


def _train(made: Any, folder: Path, **changes: Any) -> full_model.TrainFacts:
    settings = {"epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "seed": 1, **changes}
    arrays = {"image": made.images, "label": made.labels}
    held_out = {name: array[:50] for name, array in arrays.items()}
    streams = make_stream(folder / "data", arrays), make_stream(folder / "data", held_out, "eval")
    return full_model.train(
        made.module.build, KWARGS, *streams, "label", TrainTable(**settings), folder / "logs", folder / "full"
    )


def test_training_lowers_the_loss_and_says_so(made: Any) -> None:
    facts = full_model.read_facts(made.full)
    assert facts["history"]["loss"][1] < facts["history"]["loss"][0]
    assert facts["evaluation"] == made.train_facts.evaluation
    assert (facts["train_examples"], facts["eval_examples"]) == (200, 50)
    assert facts["optimizer"]["class_name"] == "Adam"
    assert facts["optimizer"]["config"]["learning_rate"] == pytest.approx(1e-2)


def test_equal_arguments_give_equal_bytes_and_another_seed_others(made: Any, tmp_path: Path) -> None:
    _train(made, tmp_path / "again")
    _train(made, tmp_path / "other", seed=2)
    assert list_files(tmp_path / "again" / "full") == list_files(made.full)
    assert list_files(tmp_path / "other" / "full") != list_files(made.full)


def test_the_restored_model_scores_as_the_trained_one(made: Any) -> None:
    model: Any = full_model.restore(made.module.build, KWARGS, 1, made.full)
    logits = model.predict(made.images[:50], verbose=0)
    assert np.mean(logits.argmax(1) == made.labels[:50]) == pytest.approx(made.train_facts.evaluation["accuracy"])


def test_no_epochs_keep_the_random_weights(made: Any, tmp_path: Path) -> None:
    facts = _train(made, tmp_path, epochs=0)
    assert facts.history == {}
    assert set(facts.evaluation) == {"loss", "accuracy"}
    fresh = full_model.build_full_model(made.module.build, KWARGS, 1)
    kept = full_model.restore(made.module.build, KWARGS, 1, tmp_path / "full")
    for one, other in zip(fresh.variables, kept.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert (tmp_path / "full" / "learning_curves.svg").is_file()


def test_curves_are_written_for_people_and_for_the_pages(made: Any) -> None:
    preview = json.loads((made.full / "preview.json").read_text())
    assert preview["schema"] == 1
    assert preview["kind"] == "curves"
    assert preview["data"]["series"] == made.train_facts.history
    svg = (made.full / "learning_curves.svg").read_text()
    assert "<svg" in svg
    assert "<dc:date>" not in svg


def test_tensorboard_finds_every_epoch(made: Any) -> None:
    [path] = (made.logs / "validation").glob("events.out.tfevents.*")
    records = [tf.compat.v1.Event.FromString(r) for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    values = [value for event in records for value in event.summary.value]
    losses = [float(tf.make_ndarray(value.tensor)) for value in values if value.tag == "epoch_loss"]
    assert losses == pytest.approx(made.train_facts.history["val_loss"])
    assert {value.metadata.plugin_data.plugin_name for value in values if value.HasField("metadata")} == {"scalars"}


def _raises(seed: int) -> keras.Model:
    raise ValueError("no such width")


def _returns_text(seed: int) -> Any:
    return "model"


def _unbuilt(seed: int) -> keras.Model:
    return keras.Sequential([keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("build", "kwargs", "words"),
    [
        (_raises, {}, r"ValueError: no such width \(.*test_full_model\.py:\d+\)"),
        (_raises, {"width": 3}, "TypeError: .*unexpected keyword argument 'width'"),
        (_returns_text, {}, "to return a keras.Model, .* Received: str"),
        (_unbuilt, {}, "add an Input"),
    ],
)
def test_a_build_function_that_fails_gives_one_sentence(build: Any, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        full_model.build_full_model(build, kwargs, seed=0)


def test_a_training_that_fails_leaves_no_folder(made: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Expected the full model to train"):
        _train(made, tmp_path, batch_size=-1)
    assert not (tmp_path / "full").exists()


@pytest.mark.parametrize(
    ("label", "received"),
    [(2, "2, and 1 such in 200"), (-1, "-1, and 1 such"), (0.5, "0.5, and 1 such"), ("a", "object of the shape [200]")],
)
def test_e14_a_label_that_is_no_class_of_the_model_is_named(
    made: Any, tmp_path: Path, label: Any, received: str
) -> None:
    good = make_stream(tmp_path / "data", {"image": made.images, "label": made.labels})
    bad = {"image": made.images, "label": np.array([label, *made.labels[1:]])}
    streams = good, make_stream(tmp_path / "data", bad, "eval")
    with pytest.raises(PiecehubError) as raised:
        full_model.train(
            made.module.build, KWARGS, *streams, "label", SETTINGS, tmp_path / "logs", tmp_path / "full"
        )  # fmt: skip
    assert "Expected whole numbers from 0 to 1 as labels of the split 'eval'" in raised.value.sentence
    assert f"Received: {received}" in raised.value.sentence


def test_e14_a_model_without_an_input_tells_its_classes_too(tmp_path: Path) -> None:
    class Logits(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    arrays = {"x": np.ones((8, 4), np.float32), "label": np.array([0, 1, 2, 3] * 2)}
    streams = make_stream(tmp_path / "data", arrays), make_stream(tmp_path / "data", arrays, "eval")
    with pytest.raises(PiecehubError, match="Received: 3, and 2 such in 8 examples"):
        full_model.train(
            lambda *, seed: Logits(), {}, *streams, "label", SETTINGS, tmp_path / "logs", tmp_path / "full"
        )  # fmt: skip


def test_a_training_that_diverges_is_refused(made: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        _train(made, tmp_path, optimizer="sgd", learning_rate=1e30)
    assert not (tmp_path / "full").exists()


def _one_weight(seed: int) -> keras.Model:
    inputs = keras.Input((1,), name="x")
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))


def _infinite_at_first(y_true: Any, y_pred: Any) -> Any:
    """A loss that is infinite below 0.5, with finite gradients all the same: what is learned leads out of it."""
    near = y_pred[:, 0] - y_true
    return tf.square(near) + tf.where(y_pred[:, 0] < 0.5, np.float32(np.inf), 0.0)


def test_b8_a_training_with_an_epoch_of_infinite_loss_has_diverged(tmp_path: Path) -> None:
    arrays = {"x": np.ones((8, 1), np.float32), "y": np.ones(8, np.float32)}
    stream = make_stream(tmp_path / "data", arrays)
    settings = TrainTable(epochs=8, batch_size=8, learning_rate=0.3, seed=1, optimizer="sgd")
    objective = OwnCode(_infinite_at_first, _is_close)
    refused, facts = "", None
    try:
        facts = full_model.train(
            _one_weight, {}, stream, stream, "y", settings, tmp_path / "logs", tmp_path / "full", objective
        )
    except TrainingError as error:
        refused = error.sentence
    assert "Received: one that diverged" in refused, f"taken, with losses of {facts and facts.history['loss']}"
    assert not (tmp_path / "full").exists()


def test_weights_of_another_model_are_refused(made: Any) -> None:
    with pytest.raises(PieceError, match="or those of another model"):
        full_model.restore(made.module.build, {**KWARGS, "width": 4}, 1, made.full)


def test_layers_without_a_name_get_the_same_one_in_every_build(made: Any) -> None:
    builds = [full_model.build_full_model(made.module.build, KWARGS, seed=1) for _ in range(2)]
    assert [layer.name for layer in builds[0].layers] == [layer.name for layer in builds[1].layers]


def test_features_are_found_by_the_names_of_the_inputs(made: Any, tmp_path: Path) -> None:
    arrays = {"id": np.arange(200), "image": made.images, "label": made.labels[:, None]}
    stream = make_stream(tmp_path / "one", arrays)
    settings = TrainTable(epochs=0, batch_size=32, learning_rate=1e-2, seed=1)
    places = (tmp_path / "logs", tmp_path / "full")
    facts = full_model.train(made.module.build, KWARGS, stream, stream, "label", settings, *places)
    assert facts.train_examples == 200
    with pytest.raises(TrainingError, match="no 'image' among id, label, picture"):
        renamed = {"picture" if name == "image" else name: array for name, array in arrays.items()}
        other = make_stream(tmp_path / "other", renamed)
        full_model.train(made.module.build, KWARGS, other, other, "label", settings, *places)
    with pytest.raises(TrainingError, match="no 'class'"):
        full_model.train(made.module.build, KWARGS, stream, stream, "class", settings, *places)


class _Length(keras.layers.Layer):
    """The number of bytes of each text, `[batch] string` -> `[batch, 1] float32`."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(tf.strings.length(inputs), tf.float32)[:, None]

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((inputs.shape[0], 1), "float32")


def _text_pairs(seed: int) -> keras.Model:
    first, second = (keras.Input((), dtype="string", name=name) for name in ("first", "second"))
    dense = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))
    return keras.Model([first, second], dense(_Length()(first)) - _Length()(second))


def _off_by(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.square(y_pred[:, 0]) + y_true


def _is_close(y_true: Any, y_pred: Any) -> Any:
    return tf.cast(tf.abs(y_pred[:, 0]) < 0.5, tf.float32)


def test_texts_without_a_label_are_learned_by_a_loss_of_the_recipe(tmp_path: Path) -> None:
    texts = np.array([b"x" * n for n in range(1, 41)], object)
    arrays = {"second": np.array([text * 2 for text in texts], object), "first": texts}
    stream = make_stream(tmp_path / "data", arrays)
    objective = OwnCode(_off_by, _is_close)
    settings = TrainTable(epochs=30, batch_size=8, learning_rate=0.05, seed=1)
    facts = [
        full_model.train(
            _text_pairs, {}, stream, stream, "", settings, tmp_path / name / "logs", tmp_path / name / "full", objective
        )
        for name in ("one", "other")
    ]
    model: Any = full_model.restore(_text_pairs, {}, 1, tmp_path / "one" / "full")
    left = model.predict([tf.constant(arrays[name]) for name in ("first", "second")], verbose=0)[:, 0]
    assert facts[0].evaluation["loss"] == pytest.approx(np.mean(left**2), rel=1e-4, abs=1e-6)
    assert facts[0].evaluation["accuracy"] == pytest.approx(np.mean(np.abs(left) < 0.5)) == 1.0
    assert facts[0].history["accuracy"][0] < 1.0
    assert list_files(tmp_path / "one" / "full") == list_files(tmp_path / "other" / "full")
    with pytest.raises(TrainingError, match="no 'first' among"):
        other = make_stream(tmp_path / "other", {"start": texts, "second": texts})
        full_model.train(_text_pairs, {}, other, other, "", settings, tmp_path / "logs", tmp_path / "full", objective)
