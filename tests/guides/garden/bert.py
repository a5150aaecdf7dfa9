"""Road G8 with TensorFlow Model Garden's own code; it runs in the environment of `garden.lock`, see the test beside.

    python bert.py WORK_FOLDER      prints one JSON object: what was found

BertPretrainerV2 is trained a little on masked words and its checkpoint is written. A second pretrainer, made with the
`core_model` by Garden's `export_tfhub_lib`, restores it, and only the core is exported: once by piecehub, once by
Garden's own exporter, which still works with tf_keras and is what ours is compared with.
"""

# Model Garden is installed in that environment only.
# pyright: reportMissingImports=false

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling.models import BertPretrainerV2
from official.nlp.tools import export_tfhub_lib

from piecehub.consume.layer import ReusableLayer
from piecehub.exporting.reusable import ExportOptions, export
from piecehub.facts import piece_manifest

WORDS = ["the", "cat", "dog", "sat", "ran", "on", "mat", "road", "good", "bad", "##s"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
SENTENCES = [
    "the good cat sat",
    "the bad dog ran",
    "cats sat on the mat",
    "dogs ran",
    "good dogs",
    "bad cats",
]
LABELS = np.array([1, 0, 1, 0, 1, 0])
LENGTH = 10
PREPROCESSOR = "https://example.org/acme/bert-preprocess/1"


def encoder_config() -> encoders.EncoderConfig:
    """A BERT of two layers, 16 wide; without dropout, so that losses of several consumers can be compared."""
    bert = encoders.BertEncoderConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, dropout_rate=0.0, attention_dropout_rate=0.0,
    )  # fmt: skip
    return encoders.EncoderConfig(type="bert", bert=bert)


def pretrain(inputs: dict[str, tf.Tensor], folder: Path) -> str:
    """Trains a pretrainer on masked words and writes its checkpoint; returns the path."""
    config = encoder_config()
    activation = tf_utils.get_activation(config.get().hidden_activation)
    pretrainer = BertPretrainerV2(encoder_network=encoders.build_encoder(config), mlm_activation=activation)
    positions = tf.fill([len(SENTENCES), 1], 2)
    words = tf.gather(inputs["input_word_ids"], positions, batch_dims=1)
    masked = tf.tensor_scatter_nd_update(
        inputs["input_word_ids"], [[row, 2] for row in range(len(SENTENCES))], [4] * len(SENTENCES)
    )
    optimizer = tf_keras.optimizers.Adam(1e-2)
    for _ in range(10):
        with tf.GradientTape() as tape:
            outputs = pretrainer({**inputs, "input_word_ids": masked, "masked_lm_positions": positions}, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(words, outputs["mlm_logits"]))
        # The pooler is not part of this loss.
        variables = [v for v in pretrainer.trainable_variables if "pooler" not in v.name]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return tf.train.Checkpoint(**pretrainer.checkpoint_items).save(str(folder / "pretrainer"))


def restored_core(checkpoint: str) -> tuple[Any, Any]:
    """Garden's `core_model` and `pretrainer`, with the weights of the checkpoint."""
    core, pretrainer = export_tfhub_lib._create_model(encoder_config=encoder_config(), with_mlm=True)
    before = pretrainer.get_weights()
    tf.train.Checkpoint(**pretrainer.checkpoint_items).restore(checkpoint).assert_existing_objects_matched()
    assert any((a != b).any() for a, b in zip(before, pretrainer.get_weights(), strict=True))
    return core, pretrainer


def fine_tune(keras: Any, layer: Any, inputs: dict[str, np.ndarray]) -> list[float]:
    """Losses of five epochs of plain gradient descent on "is it good?", with `layer` inside a model of `keras`."""
    named = {name: keras.Input((LENGTH,), dtype="int32", name=name) for name in sorted(inputs)}
    head = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Model(named, head(layer(named)["default"]))
    model.compile(keras.optimizers.SGD(0.02), keras.losses.BinaryCrossentropy(from_logits=True))
    return model.fit(inputs, LABELS[:, None], epochs=5, batch_size=6, shuffle=False, verbose=0).history["loss"]


def main(work: Path) -> dict[str, Any]:
    """What the test judges."""
    import keras

    vocabulary = work / "vocab.txt"
    vocabulary.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    settings = {"do_lower_case": True, "tokenize_with_offsets": False, "default_seq_length": LENGTH}
    export_tfhub_lib.export_preprocessing(str(work / "preprocess"), vocab_file=str(vocabulary), **settings)
    preprocess = hub.load(str(work / "preprocess"))
    inputs = preprocess(tf.constant(SENTENCES))
    packed = preprocess.bert_pack_inputs([preprocess.tokenize(tf.constant(SENTENCES))], seq_length=tf.constant(LENGTH))

    checkpoint = pretrain(inputs, work)
    core, pretrainer = restored_core(checkpoint)
    # Garden's core also returns a list of every layer's output: two levels, where the interface allows one.
    keep = ("default", "pooled_output", "sequence_output")
    core = tf_keras.Model(core.input, {name: core.output[name] for name in keep})
    export(core, work / "ours", ExportOptions(preprocessor=PREPROCESSOR))
    export_tfhub_lib.export_model(
        str(work / "garden"), encoder_config=encoder_config(), model_checkpoint_path=checkpoint, with_mlm=False,
        vocab_file=str(vocabulary), do_lower_case=True,
    )  # fmt: skip

    original = core(inputs, training=False)
    ours, gardens = hub.load(str(work / "ours")), hub.load(str(work / "garden"))
    difference = {
        name: max(
            float(tf.reduce_max(tf.abs(other(inputs, training=False)[name] - original[name])))
            for other in (ours, gardens)
        )
        for name in keep
    }
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    manifest = piece_manifest.read(work / "ours")
    assert manifest is not None
    return {
        "inputs": {name: [tensor.dtype.name, tensor.shape.as_list()] for name, tensor in inputs.items()},
        "outputs": {name: [tensor.dtype.name, tensor.shape.as_list()] for name, tensor in ours(inputs).items()},
        "sub_objects_agree": all(bool(tf.reduce_all(packed[name] == inputs[name])) for name in inputs),
        "difference": difference,
        "trainable": {"core": len(core.trainable_variables), "pretrainer": len(pretrainer.trainable_variables),
                      "exported": len(ours.trainable_variables)},
        "preprocessor": manifest.preprocessor,
        "losses": {
            "hub": fine_tune(tf_keras, hub.KerasLayer(str(work / "ours"), trainable=True), arrays),
            "garden": fine_tune(tf_keras, hub.KerasLayer(str(work / "garden"), trainable=True), arrays),
            "keras": fine_tune(keras, ReusableLayer(str(work / "ours"), trainable=True), arrays),
        },
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
