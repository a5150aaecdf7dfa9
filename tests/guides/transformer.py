"""A text encoder of BERT's interface in tf_keras, its pretrainer, and its preprocessor in plain TensorFlow.

core            dict of int32 [batch, 10] -> dict of float32: default, pooled_output [batch, 16], sequence_output
pretrainer      the same dict -> logits [batch, 10, words] of what stands at each place; shares the core's weights
preprocessor    strings [batch] -> the dict; has `tokenize` and `bert_pack_inputs` beside
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras import layers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "an", "awful", "day", "fine", "film", "what"]
LENGTH = 10
INPUTS = ("input_mask", "input_type_ids", "input_word_ids")
_RAGGED = tf.RaggedTensorSpec([None, None], tf.int32)


class _Positions(layers.Layer):
    """Adds a vector to each place."""

    def build(self, input_shape: Any) -> None:
        self.vectors = self.add_weight(name="vectors", shape=input_shape[-2:], initializer="random_normal")

    def call(self, inputs: Any) -> Any:
        return inputs + self.vectors


def core_and_pretrainer(seed: int) -> tuple[Any, Any]:
    """Two models of one set of weights, random by `seed`."""
    tf_keras.utils.set_random_seed(seed)
    inputs = {name: tf_keras.Input((LENGTH,), dtype="int32", name=name) for name in INPUTS}
    words = layers.Embedding(len(WORDS), 16, name="words")(inputs["input_word_ids"])
    types = layers.Embedding(2, 16, name="types")(inputs["input_type_ids"])
    x = layers.LayerNormalization()(_Positions(name="positions")(words + types))
    mask = tf.cast(inputs["input_mask"], tf.bool)[:, None, :]
    attended = layers.MultiHeadAttention(2, 8, name="attention")(x, x, attention_mask=mask)
    x = layers.LayerNormalization()(x + attended)
    x = layers.LayerNormalization()(x + layers.Dense(16, name="back")(layers.Dense(32, "gelu", name="wide")(x)))
    pooled = layers.Dense(16, "tanh", name="pooler")(x[:, 0])
    core = tf_keras.Model(inputs, {"default": pooled, "pooled_output": pooled, "sequence_output": x}, name="core")
    words_again = layers.Dense(len(WORDS), name="masked_words")(core(inputs)["sequence_output"])
    return core, tf_keras.Model(inputs, words_again, name="pretrainer")


class _Tokenize(tf.Module):
    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        file = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(file, WORDS.index("[UNK]"))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences: Any) -> Any:
        words = tf.strings.split(tf.strings.lower(sentences))
        return words.with_flat_values(tf.cast(self.table.lookup(words.flat_values), tf.int32))


class _Pack(tf.Module):
    @tf.function(input_signature=[[_RAGGED], tf.TensorSpec([], tf.int32)])
    def __call__(self, inputs: Any, seq_length: Any = LENGTH) -> dict[str, Any]:
        (tokens,) = inputs
        rows = tokens.nrows()
        first, last = tf.fill([rows, 1], WORDS.index("[CLS]")), tf.fill([rows, 1], WORDS.index("[SEP]"))
        packed = tf.concat([first, tokens[:, : seq_length - 2], last], axis=1)
        shape = tf.stack([-1, seq_length])
        ids = packed.to_tensor(shape=shape)
        mask = tf.ones_like(packed).to_tensor(shape=shape)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}


class Preprocessor(tf.Module):
    """The companion of the core; its vocabulary is a file with a word a line."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        self.tokenize = _Tokenize(vocabulary)
        self.bert_pack_inputs = _Pack()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences: Any) -> dict[str, Any]:
        """Whole sentences at once, padded to ten places."""
        inputs: dict[str, Any] = self.bert_pack_inputs([self.tokenize(sentences)], tf.constant(LENGTH))
        return {name: tf.ensure_shape(tensor, [None, LENGTH]) for name, tensor in inputs.items()}
