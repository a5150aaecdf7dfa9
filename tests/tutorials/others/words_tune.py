"""A piece of somebody's server, fine-tuned on two topics, and saved for others."""

import keras
import tensorflow as tf

import piecehub

lines = tf.constant(["soil and water", "a judge of law", "rake the hedge", "oath of the witness", "seed", "appeal"])
labels = tf.constant([0, 1] * 3)
layer = piecehub.ReusableLayer("ADDRESS", trainable=True)
model = keras.Sequential([keras.Input((), dtype="string"), layer, keras.layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(lines, labels, epochs=5, batch_size=2, verbose=0)
piecehub.reexport(layer.resolved_object, "tuned", source="ADDRESS")
