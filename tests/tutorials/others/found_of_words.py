"""A SavedModel with a vocabulary as its asset, as TensorFlow alone writes it."""

from pathlib import Path

import tensorflow as tf

vocabulary = Path("vocabulary.txt")
vocabulary.write_text("salt\noven\nrope\ntide\n")


class Words(tf.train.Checkpoint):
    def __init__(self):
        super().__init__()
        init = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticVocabularyTable(init, 1)
        self.vectors = tf.Variable(tf.random.stateless_normal((5, 8), [0, 1]), name="vectors")
        self.variables = self.trainable_variables = [self.vectors]
        self.regularization_losses = []

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def __call__(self, lines):
        ids = self.table.lookup(tf.strings.split(lines))
        return tf.nn.safe_embedding_lookup_sparse(self.vectors, ids.to_sparse(), combiner="mean")


tf.saved_model.save(Words(), "downloaded")
vocabulary.unlink()
