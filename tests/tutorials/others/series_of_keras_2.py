"""A recurrent model of Keras 2 with a shared layer before the head."""

import tf_keras

import piecehub

inputs = tf_keras.Input((20, 3))
x = tf_keras.layers.BatchNormalization()(inputs)
x = tf_keras.layers.GRU(8, dropout=0.1)(x)
model = tf_keras.Model(inputs, tf_keras.layers.Dense(6, "gelu", kernel_regularizer="l2")(x))
model.compile("adam", "mse")
piecehub.export(model, "from_keras_2")
assert piecehub.check("from_keras_2").verdict == "reusable"
