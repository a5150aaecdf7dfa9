"""Training starts from weights that somebody trained before, or says in one sentence why not."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers

from piecehub.errors import PieceError, RecipeError
from piecehub.training.building import ready_to_train
from piecehub.training.checkpoint import checkpoint_digest, restore, restore_and_take_core


def build(*, seed: int, width: int = 3) -> tuple[keras.Model, keras.Model]:
    inputs = keras.Input((4,))
    core = keras.Model(inputs, layers.Dense(width, name="hidden")(inputs), name="core")
    fresh = keras.Input((4,))
    return core, keras.Model(fresh, layers.Dense(2, name="head")(core(fresh)), name="pretrainer")


def tf_keras_pair() -> tuple[Any, Any]:
    core = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
    return core, tf_keras.Sequential([core, tf_keras.layers.Dense(2)])


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """Four checkpoints of one pretrainer, as people keep them, and the weights of its core."""
    keras.utils.set_random_seed(1)
    core, pretrainer = build(seed=1)
    tf.train.Checkpoint(model=pretrainer, step=tf.Variable(3)).save(str(tmp_path / "kept" / "checkpoint"))
    pretrainer.save_weights(tmp_path / "pretrainer.weights.h5")
    pretrainer.save(tmp_path / "pretrainer.keras")
    return tmp_path, [v.numpy() for v in core.variables]


@pytest.mark.parametrize("name", ["kept", "kept/checkpoint-1", "pretrainer.weights.h5", "pretrainer.keras"])
def test_the_core_of_a_restored_pretrainer_has_its_weights(written: tuple[Path, list[np.ndarray]], name: str) -> None:
    folder, expected = written
    keras.utils.set_random_seed(2)
    core, pretrainer = build(seed=2)
    assert not np.array_equal(core.variables[0].numpy(), expected[0])
    taken = restore_and_take_core(pretrainer, core, folder / name)
    for value, variable in zip(expected, taken.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_the_core_of_a_restored_tf_keras_pretrainer_has_its_weights(tmp_path: Path) -> None:
    core, pretrainer = tf_keras_pair()
    tf.train.Checkpoint(model=pretrainer).write(str(tmp_path / "garden"))
    other, another = tf_keras_pair()
    taken = restore_and_take_core(another, other, tmp_path / "garden")
    np.testing.assert_array_equal(taken(np.ones((1, 4))).numpy(), core(np.ones((1, 4))).numpy())


def test_training_starts_from_the_checkpoint_and_controls_do_not(written: tuple[Path, list[np.ndarray]]) -> None:
    folder, expected = written
    started = ready_to_train(build, None, folder / "pretrainer.weights.h5")(seed=7)
    np.testing.assert_array_equal(started.get_layer("core").variables[0].numpy(), expected[0])
    control = ready_to_train(build, None, None)(seed=7)
    assert not np.array_equal(control.get_layer("core").variables[0].numpy(), expected[0])


@pytest.mark.parametrize(
    "name", ["none", "none.weights.h5", "none.keras", "kept/checkpoint-1", "pretrainer.weights.h5", "pretrainer.keras"]
)
def test_a_checkpoint_that_is_missing_or_of_another_model_is_one_sentence(
    written: tuple[Path, list[np.ndarray]], name: str
) -> None:
    with pytest.raises(PieceError, match=r"Expected weights of the model 'pretrainer'.*name a checkpoint") as caught:
        restore(build(seed=1, width=5)[1], written[0] / name)
    assert len(caught.value.sentence) < 1000


def test_a_checkpoint_is_known_by_its_content(written: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    folder, _ = written
    digests = [checkpoint_digest(folder, name) for name in ("kept", "kept/checkpoint-1", "pretrainer.weights.h5")]
    assert digests[0] == digests[1] != digests[2]
    build(seed=3)[1].save_weights(folder / "pretrainer.weights.h5")
    assert checkpoint_digest(folder, "pretrainer.weights.h5") != digests[2]
    assert checkpoint_digest(folder, "") == ""
    with pytest.raises(RecipeError, match="Received: 'nothing', not found there"):
        checkpoint_digest(folder, "nothing")


@pytest.mark.parametrize("name", ["kept", "kept/checkpoint-1", "pretrainer.weights.h5"])
@pytest.mark.parametrize("sibling", [False, True])
def test_b4_a_checkpoint_in_a_folder_with_brackets_is_itself_and_not_its_sibling(
    written: tuple[Path, list[np.ndarray]], name: str, sibling: bool
) -> None:
    folder, weights = written
    shutil.copytree(folder, folder / "re[c]ipe*")
    keras.utils.set_random_seed(2)
    _, other = build(seed=2)
    if sibling:
        tf.train.Checkpoint(model=other, step=tf.Variable(3)).save(str(folder / "recipe*" / "kept" / "checkpoint"))
    core, pretrainer = build(seed=3)
    said = ""
    try:
        restore(pretrainer, folder / "re[c]ipe*" / name)
    except PieceError as error:
        said = error.sentence
    assert said == ""
    assert all(np.array_equal(v.numpy(), w) for v, w in zip(core.variables, weights, strict=True))
    assert checkpoint_digest(folder / "re[c]ipe*", name) == checkpoint_digest(folder, name)


@pytest.mark.parametrize("name", ["pretrainer.weights.h5", "kept", "kept/checkpoint-1"])
def test_e14_a_pointer_in_the_place_of_a_checkpoint_is_named(written: Any, name: str) -> None:
    folder, _ = written
    for file in filter(Path.is_file, folder.rglob("*")):
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    _, pretrainer = build(seed=2)
    for read in (lambda: restore(pretrainer, folder / name), lambda: checkpoint_digest(folder, name)):
        with pytest.raises(RecipeError, match="a pointer of Git LFS in the place of a file"):
            read()
