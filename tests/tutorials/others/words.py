"""A small network of lines about five topics, whose piece is exported as `words`."""

import keras
import numpy as np
import tensorflow as tf

import piecehub

topics = {
    "kitchen": "boil bake salt oven spoon butter onion stir plate taste",
    "harbour": "sail rope tide anchor deck wind crew mast pier storm",
    "garden": "seed soil prune rake bloom weed hedge water spade bulb",
    "court": "judge law plea witness oath verdict appeal clerk jury case",
    "stage": "actor scene curtain role script light cue audience play act",
}
rng = np.random.default_rng(0)
labels = np.arange(500) % 5
lines = np.array([" ".join(rng.choice(list(topics.values())[label].split(), 6)) for label in labels])
vocabulary = sorted(" ".join(topics.values()).split())
inputs = keras.Input((), dtype="string", name="line")
x = keras.layers.TextVectorization(vocabulary=vocabulary, output_sequence_length=6)(inputs)
x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(len(vocabulary) + 2, 16)(x))
x = keras.layers.Dense(12, "tanh", name="features")(x)
model = keras.Model(inputs, keras.layers.Dense(5)(x))
model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(tf.constant(lines), tf.constant(labels), epochs=5, verbose=0)
piecehub.export(piecehub.cut_piece(model, "features"), "words")
