"""The same piece by TensorFlow Hub's own client."""

import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

model = tf_keras.Sequential([hub.KerasLayer("ADDRESS", input_shape=(), dtype=tf.string, trainable=True)])
assert model(tf.constant(["soil and water", "a judge of law"])).shape == (2, 12)
