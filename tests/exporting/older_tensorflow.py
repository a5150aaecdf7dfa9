"""Loads a piece in the environment that runs this, whose TensorFlow is an older one: nothing of ours is imported.

python older_tensorflow.py SAVED_MODEL GOLDEN.npz       prints {"tensorflow", "call", "signature", "trains", "layer"}
"""

import json
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub


def main(folder: str, golden: str) -> None:
    """What works of the piece."""
    with np.load(golden) as recorded:
        inputs, outputs = tf.constant(recorded["inputs"]), recorded["outputs"]
    piece = tf.saved_model.load(folder)
    served = next(iter(piece.signatures["serving_default"](inputs).values()))
    print(
        json.dumps(
            {
                "tensorflow": tf.__version__,
                "call": bool(np.allclose(piece(inputs), outputs, atol=1e-5)),
                "signature": bool(np.allclose(served, outputs, atol=1e-5)),
                "trains": _trains(piece, inputs),
                "layer": _layer_trains(folder, inputs),
            }
        )
    )


def _trains(piece, inputs) -> bool:
    """Whether steps down the gradient of a loss with the regularization in it bring the outputs to 1."""
    losses = []
    for _ in range(50):
        with tf.GradientTape() as tape:
            outputs = piece(inputs, training=True)
            loss = tf.reduce_mean((outputs - 1) ** 2) + sum(one() for one in piece.regularization_losses)
        gradients = tape.gradient(loss, piece.trainable_variables)
        for variable, gradient in zip(piece.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.05 * tf.convert_to_tensor(gradient))
        losses.append(float(loss))
    return losses[-1] < 0.5 * losses[0]


def _layer_trains(folder: str, inputs) -> bool:
    if tf.__version__ >= "2.16":  # whose own Keras is Keras 3
        import tf_keras as keras
    else:
        keras = tf.keras
    model = keras.Sequential([hub.KerasLayer(folder, trainable=True), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    losses = model.fit(inputs, np.ones((len(inputs), 3)), epochs=3, verbose=0).history["loss"]
    return losses[-1] < losses[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
