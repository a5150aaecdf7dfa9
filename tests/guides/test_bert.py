"""G8: BERT's road with a tf_keras encoder; test_model_garden.py goes it with Model Garden's own code."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.facts import piece_manifest
from tests.guides import book, models, transformer
from tests.guides.sharing import Shared


@dataclass(frozen=True)
class Bert:
    """The exported core, the model that it was, and where its preprocessor is served."""

    folder: Path
    core: Any
    checkpointed: Any
    preprocessor: str

    def inputs(self) -> dict[str, np.ndarray]:
        """The sentences as the preprocessor gives them."""
        return {name: x.numpy() for name, x in hub.load(self.preprocessor)(tf.constant(models.SENTENCES)).items()}


@pytest.fixture(scope="module")
def bert(store: Shared, tmp_path_factory: pytest.TempPathFactory) -> Bert:
    """G8's block, run after a pretraining that left a checkpoint."""
    root = tmp_path_factory.mktemp("bert")
    (root / "vocabulary.txt").write_text("\n".join(transformer.WORDS) + "\n")
    preprocessor = transformer.Preprocessor(root / "vocabulary.txt")
    book.run(8, {"preprocessor": preprocessor}, replace={'"my_preprocessor"': repr(str(root / "preprocess"))})
    handle = store.publish(root / "preprocess", "acme", "bert-preprocess")

    trained_core, pretrainer = transformer.core_and_pretrainer(seed=1)
    inputs = hub.load(str(root / "preprocess"))(tf.constant(models.SENTENCES))
    pretrainer.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pretrainer.fit(inputs, inputs["input_word_ids"], epochs=2, verbose=0)
    tf.train.Checkpoint(model=pretrainer, optimizer=pretrainer.optimizer).write(str(root / "checkpoint"))

    build: Callable[[], Any] = lambda: transformer.core_and_pretrainer(seed=2)  # noqa: E731
    replace = {
        f"{book.STORE}/acme/bert-preprocess/1": handle,
        '"pretrainer_checkpoint"': repr(str(root / "checkpoint")),
        '"my_bert"': repr(str(root / "core")),
    }
    made = book.run(8, {"build_bert": build}, block=1, replace=replace)
    return Bert(root / "core", made["core_model"], trained_core, handle)


def test_g08_the_core_has_the_weights_of_the_pretrainers_checkpoint(bert: Bert) -> None:
    inputs = bert.inputs()
    expected = bert.checkpointed(inputs)
    assert not np.allclose(expected["default"], transformer.core_and_pretrainer(seed=2)[0](inputs)["default"])
    for consumer in (hub.load(str(bert.folder)), hub.KerasLayer(str(bert.folder)), ReusableLayer(str(bert.folder))):
        outputs = consumer(inputs)
        assert set(outputs) == {"default", "pooled_output", "sequence_output"}
        for name, tensor in outputs.items():
            np.testing.assert_allclose(tensor, expected[name], atol=1e-6)


def test_g08_nothing_of_the_pretrainers_head_is_exported(bert: Bert) -> None:
    obj = hub.load(str(bert.folder))
    assert len(obj.variables) == len(bert.core.variables)
    assert len(transformer.core_and_pretrainer(seed=2)[1].variables) == len(bert.core.variables) + 2


def test_g08_the_manifest_names_the_preprocessor(bert: Bert) -> None:
    manifest = piece_manifest.read(bert.folder)
    assert manifest is not None and manifest.preprocessor == bert.preprocessor
    preprocess = hub.load(manifest.preprocessor)
    sentences = tf.constant(["A fine film", "unseen"])
    tokens = preprocess.tokenize(sentences)
    assert tokens.to_list() == [[4, 8, 9], [1]]
    packed = preprocess.bert_pack_inputs([tokens], seq_length=tf.constant(4))
    assert packed["input_word_ids"].numpy().tolist() == [[2, 4, 8, 3], [2, 1, 3, 0]]
    assert packed["input_mask"].numpy().tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert preprocess(sentences)["input_type_ids"].shape == (2, 10)


def _losses(framework: Any, layer: Any, inputs: dict[str, np.ndarray]) -> list[float]:
    named = {name: framework.Input((transformer.LENGTH,), dtype="int32", name=name) for name in inputs}
    head = framework.layers.Dense(1, kernel_initializer="ones")
    model = framework.Model(named, head(layer(named)["default"]))
    model.compile(framework.optimizers.SGD(0.01), framework.losses.BinaryCrossentropy(from_logits=True))
    labels = models.SENTIMENT[:, None]
    return model.fit(inputs, labels, epochs=5, batch_size=6, shuffle=False, verbose=0).history["loss"]


def test_g08_both_layers_fine_tune_it_like_the_original(bert: Bert) -> None:
    inputs = bert.inputs()
    losses = {
        "original": _losses(tf_keras, bert.checkpointed, inputs),
        "hub": _losses(tf_keras, hub.KerasLayer(str(bert.folder), trainable=True), inputs),
        "ours": _losses(keras, ReusableLayer(str(bert.folder), trainable=True), inputs),
    }
    np.testing.assert_allclose(losses["hub"], losses["original"], rtol=1e-4)
    np.testing.assert_allclose(losses["ours"], losses["original"], rtol=1e-4)
    assert losses["ours"][-1] < losses["ours"][0]
