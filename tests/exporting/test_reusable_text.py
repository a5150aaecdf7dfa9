"""Vocabularies travel as assets: whole, and without a trace of where they lay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from piecehub.errors import NotReusableError
from piecehub.exporting import reusable, vocabulary
from piecehub.facts.content import list_files
from piecehub.tensors.fresh import run_fresh

WORDS = ["sun", "moon", "star"]


def _write(path: Path, words: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(words) + "\n")
    return path


def _lookup(path: Path | str) -> keras.Model:
    keras.utils.set_random_seed(1)
    words = keras.Input((None,), dtype="string", name="words")
    ids = layers.StringLookup(vocabulary=str(path), name="ids")(words)
    return keras.Model(words, {"ids": ids, "default": layers.GlobalMaxPooling1D()(layers.Embedding(4, 2)(ids))})


def export_lookup(path: str, destination: str) -> None:
    """What the fresh processes run."""
    keras.backend.clear_session()
    reusable.export(_lookup(path), Path(destination))


def test_words_are_an_asset_and_no_path_is_left(tmp_path: Path) -> None:
    path = _write(tmp_path / "secret-folder" / "words.txt", WORDS)
    reusable.export(_lookup(path), tmp_path / "model")
    (asset,) = (tmp_path / "model" / "assets").iterdir()
    assert asset.read_text().split() == WORDS
    path.unlink()
    for file in (tmp_path / "model").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert b"secret-folder" not in data
            assert b"/tmp" not in data
            assert b"piecehub-vocabularies" not in data
    (tmp_path / "model").rename(tmp_path / "moved")
    loaded: Any = tf.saved_model.load(str(tmp_path / "moved"))
    assert loaded(tf.constant([["moon", "mars"]]))["ids"].numpy().tolist() == [[2, 0]]


def test_equal_words_in_two_places_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        path = _write(tmp_path / name / f"{name}.txt", WORDS)
        arguments = {"path": str(path), "destination": str(tmp_path / f"model-{name}")}
        run_fresh("tests.exporting.test_reusable_text:export_lookup", arguments)
    assert list_files(tmp_path / "model-one") == list_files(tmp_path / "model-other")


def test_a_file_that_changed_between_two_exports_changes_the_second(tmp_path: Path) -> None:
    path = _write(tmp_path / "words.txt", WORDS)
    first = _lookup(vocabulary.stage(path, tmp_path / "staged"))
    reusable.export(first, tmp_path / "first")
    _write(path, WORDS[::-1])
    second = _lookup(vocabulary.stage(path, tmp_path / "staged"))
    reusable.export(second, tmp_path / "second")
    loaded: list[Any] = [tf.saved_model.load(str(tmp_path / name)) for name in ("first", "second")]
    words = tf.constant([WORDS])
    assert [model(words)["ids"].numpy().tolist() for model in loaded] == [[[1, 2, 3]], [[3, 2, 1]]]
    assert first(words)["ids"].numpy().tolist() == [[1, 2, 3]]


def test_a_table_shared_with_an_older_layer_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "words.txt", WORDS)
    first = _lookup(path)
    _write(path, WORDS[::-1])
    second = _lookup(path)
    words = tf.constant([WORDS])
    assert second(words)["ids"].numpy().tolist() == first(words)["ids"].numpy().tolist()  # TensorFlow shares it
    with pytest.raises(NotReusableError, match="shares the table of an earlier layer"):
        reusable.export(second, tmp_path / "model")
    with pytest.raises(NotReusableError, match="Expected a vocabulary file"):
        vocabulary.stage(tmp_path / "none.txt", tmp_path)


def test_an_adapted_vocabulary_is_an_asset_too(tmp_path: Path) -> None:
    text = layers.TextVectorization(output_mode="tf_idf")
    text.adapt(["sun and moon", "sun and star", "sun"])
    model = keras.Sequential([keras.Input((), dtype="string"), text, layers.Dense(2)])
    before = model(tf.constant(["sun", "star and mars"]))
    reusable.export(model, tmp_path / "model")
    (asset,) = (tmp_path / "model" / "assets").iterdir()
    assert set(asset.read_text().split()) == {"sun", "and", "moon", "star"}
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded(tf.constant(["sun", "star and mars"])), before, atol=1e-6)


def test_the_model_keeps_its_own_tables(exported_kind: Callable[[str], Path], tmp_path: Path) -> None:
    path = _write(tmp_path / "words.txt", WORDS)
    model = _lookup(path)
    table = model.get_layer("ids").lookup_table
    reusable.export(model, tmp_path / "model")
    assert model.get_layer("ids").lookup_table is table
    assert model(tf.constant([["star"]]))["ids"].numpy().tolist() == [[3]]


def test_tables_of_the_users_own_travel_without_their_path(tmp_path: Path) -> None:
    path = _write(tmp_path / "hidden" / "words.txt", WORDS)

    class Table(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
            initializer = tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, number)
            self.table = tf.lookup.StaticHashTable(initializer, 3)
            self.embedding = layers.Embedding(4, 2)

        def call(self, inputs: Any) -> Any:
            return self.embedding(self.table.lookup(inputs))

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape, 2)

    model = keras.Sequential([keras.Input((3,), dtype="string"), Table()])
    before = model(tf.constant([WORDS]))
    reusable.export(model, tmp_path / "model")
    assert b"hidden" not in (tmp_path / "model" / "saved_model.pb").read_bytes()
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded(tf.constant([WORDS])), before)
