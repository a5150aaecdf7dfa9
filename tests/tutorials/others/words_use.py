"""A piece of somebody's server, fine-tuned to tell two topics apart from a few lines of each."""

import keras
import tensorflow as tf

import piecehub

lines = tf.constant(["soil and water", "a judge of law", "rake the hedge", "oath of the witness", "seed", "appeal"])
labels = tf.constant([0, 1] * 3)
inputs = keras.Input((), dtype="string")
features = piecehub.ReusableLayer("ADDRESS", trainable=True)(inputs)
model = keras.Model(inputs, keras.layers.Dense(2)(features))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
model.fit(lines, labels, epochs=30, batch_size=2, verbose=0)
assert model.evaluate(lines, labels, verbose=0)[1] == 1
model.save("topics.keras")
