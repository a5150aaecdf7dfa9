"""G1-G7, G9 and G32: saving a model or a piece of it, and sharing the result."""

import tarfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError
from piecehub.exporting.reusable import export
from piecehub.extraction.roads import cut_piece
from piecehub.facts.content import list_files
from piecehub.publishing.offered import publish
from piecehub.store.catalog import Store
from tests.guides import book, models
from tests.guides.sharing import Exported, Shared


def _consumers(folder: Path) -> dict[str, Any]:
    """The same SavedModel in everything that reads it."""
    return {
        "hub.load": hub.load(str(folder)),
        "hub.KerasLayer": hub.KerasLayer(str(folder)),
        "ReusableLayer": ReusableLayer(str(folder)),
    }


def _same_everywhere(folder: Path, inputs: Any, expected: Any) -> None:
    for name, consumer in _consumers(folder).items():
        np.testing.assert_allclose(consumer(inputs), expected, atol=1e-6, err_msg=name)


def test_g01_no_code_of_its_maker_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubling(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    inputs = keras.Input((4,))
    model: Any = keras.Model(inputs, keras.layers.Dense(2)(Doubling()(inputs)))
    x = models.vectors()
    expected = model(x)
    export(model, tmp_path / "model")

    def gone(*_: Any) -> None:
        raise AssertionError("the maker's code was called")

    monkeypatch.setattr(Doubling, "call", gone)
    with pytest.raises(AssertionError, match="maker's code"):
        model(x)
    _same_everywhere(tmp_path / "model", x, expected)


@pytest.fixture
def tf1_module(tmp_path: Path) -> Path:
    """A module in the TF1 Hub format: a v1 SavedModel with the signature `default`, beside a `tfhub_module.pb`."""
    folder = tmp_path / "tf1"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2])
        weights = tf.compat.v1.get_variable("w", initializer=tf.constant([3.0, 4.0]), use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        signature = tf.compat.v1.saved_model.predict_signature_def({"default": x}, {"default": x * weights})
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], signature_def_map={"default": signature})
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef: format FORMAT_V3
    return folder


def test_g02_tf1_modules_still_load_for_inference_and_are_not_fine_tuned(tf1_module: Path) -> None:
    x = np.ones((1, 2), np.float32)
    assert hub.load(str(tf1_module)).signatures["default"](tf.constant(x))["default"].numpy().tolist() == [[3.0, 4.0]]
    for layer in (hub.KerasLayer(str(tf1_module)), ReusableLayer(str(tf1_module))):
        assert np.asarray(layer(x)).tolist() == [[3.0, 4.0]]
    with pytest.raises(ConsumerError, match="not a signature or a module in TF1 Hub format"):
        ReusableLayer(str(tf1_module), trainable=True)
    with pytest.raises(ValueError, match="unsupported when loading from the TF1 Hub format"):
        hub.KerasLayer(str(tf1_module), trainable=True)(x)


def test_g03_what_is_published_is_a_tar_gz_whose_root_is_the_model(features: Exported, tmp_path: Path) -> None:
    (page,) = book.blocks(3, "markdown")
    (tmp_path / "page.md").write_text(page)
    replace = {
        '"my_piece"': repr(str(features.folder)),
        '"page.md"': repr(str(tmp_path / "page.md")),
        'store="my_store"': f"store={str(tmp_path / 'store')!r}, trust=True",
    }
    published = book.run(3, {}, replace=replace)["published"]
    store = Store.open(tmp_path / "store")
    assert store.manifest(published.handle).facts["fine_tunable"] is False
    with tarfile.open(store.blob_path(store.manifest(published.handle).archive.digest), "r:gz") as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "unpacked", filter="data")
    names = [member.name for member in members]
    assert "saved_model.pb" in names and names.index("variables") < names.index("variables/variables.index")
    assert list_files(tmp_path / "unpacked") == list_files(features.folder)


def test_g04_keras_3_saves_no_saved_model_and_export_does(tmp_path: Path) -> None:
    model = models.classifier()
    for save in (model.save, lambda folder: keras.models.save_model(model, folder)):
        with pytest.raises(ValueError, match="Invalid filepath extension for saving"):
            save(str(tmp_path / "saved"))
    model.export(tmp_path / "keras", verbose=False)
    with pytest.raises(ValueError, match="Signature name has to be specified for non-callable saved models"):
        hub.KerasLayer(str(tmp_path / "keras"))
    book.run(4, {"model": model}, replace={'"my_piece"': repr(str(tmp_path / "ours"))})
    images, _ = models.images()
    _same_everywhere(tmp_path / "ours", images, model(images))


def test_g05_a_full_model_is_exported_without_its_optimizer(tmp_path: Path) -> None:
    model = models.trained(models.classifier())
    with pytest.raises(ValueError, match="Invalid filepath extension for saving"):
        model.save(str(tmp_path / "saved"), include_optimizer=False)
    export(model, tmp_path / "model")
    images, _ = models.images()
    _same_everywhere(tmp_path / "model", images, model(images))
    stored = tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))
    shapes = [tuple(shape) for name, shape in stored if "OBJECT_GRAPH" not in name]
    assert sorted(shapes) == sorted(tuple(variable.shape) for variable in model.variables)
    assert len(model.optimizer.variables) > len(model.variables)


def test_g06_the_piece_is_built_first_and_trained_inside_the_full_model(tmp_path: Path) -> None:
    images, labels = models.images()
    folder = tmp_path / "piece"
    made = book.run(6, {"images": images, "labels": labels}, replace={'"my_piece"': repr(str(folder))})
    _same_everywhere(folder, images, made["piece_to_share"](images))
    assert hub.load(str(folder))(images).shape == (32, 16)


def test_g07_get_output_at_is_gone_and_a_piece_is_cut_out(tmp_path: Path) -> None:
    full_model = models.trained(models.classifier())
    with pytest.raises(AttributeError, match="get_output_at"):
        full_model.get_layer("features").get_output_at(0)
    book.run(7, {"full_model": full_model}, replace={'"my_piece"': repr(str(tmp_path / "piece"))})
    images, _ = models.images()
    dense = full_model.get_layer("logits")
    for name, consumer in _consumers(tmp_path / "piece").items():
        np.testing.assert_allclose(dense(consumer(images).numpy()), full_model(images), atol=1e-5, err_msg=name)


def test_g07_several_layers_and_a_shared_one_are_cut_too(tmp_path: Path) -> None:
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    shared = keras.layers.Dense(3, name="shared")
    full: Any = keras.Model([one, two], keras.layers.Add(name="sum")([shared(one), shared(two)]))
    export(cut_piece(full, "shared", "sum"), tmp_path / "piece")
    x = models.vectors()
    for name, consumer in _consumers(tmp_path / "piece").items():
        found = consumer([x, 2 * x])
        np.testing.assert_allclose(found["shared"], shared(x), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found["sum"], full([x, 2 * x]), atol=1e-6, err_msg=name)


def test_g09_one_training_gives_a_feature_vector_and_a_classification(tmp_path: Path) -> None:
    full_model = models.trained(models.classifier())
    folders = {name: tmp_path / name for name in ("feature-vector", "classification")}
    book.run(9, {"full_model": full_model}, replace={f'"{n}"': repr(str(f)) for n, f in folders.items()})
    images, _ = models.images()
    vectors, logits = (hub.load(str(folder))(images) for folder in folders.values())
    np.testing.assert_allclose(logits, full_model(images), atol=1e-6)
    np.testing.assert_allclose(full_model.get_layer("logits")(vectors.numpy()), logits, atol=1e-5)


_PAGE_OF_SOMEBODY = """# Module somebody/else/1

Two numbers of rows.
<!-- asset-path: somebody/else/1/model.tar.gz -->
<!-- fine-tunable: false -->
<!-- format: saved_model_2 -->

## Overview

Rows of four numbers in, two numbers out.
"""


def test_g32_anybody_publishes_under_a_name_of_their_own(store: Shared, tmp_path: Path) -> None:
    native: Any = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    native.save(str(tmp_path / "native"), save_format="tf", include_optimizer=False)
    (tmp_path / "page.md").write_text(_PAGE_OF_SOMEBODY)
    published = publish(
        tmp_path / "native", "somebody/else", documentation=tmp_path / "page.md", store=store.root, trust=True
    )
    url = published.handle.url(store.url)
    assert url == f"{store.url}/somebody/else/1"
    x = models.vectors()
    for layer in (hub.KerasLayer(url), ReusableLayer(url)):
        np.testing.assert_allclose(layer(x), native(x), atol=1e-6)
