"""Weights of a Keras model as a checkpoint that any kind of model can read: a list of variables, keyed by order.

    weights.index                    which tensor lies where
    weights.data-00000-of-00001      the numbers

The list is `model.variables`: all layer state, seed generators included, without metrics and optimizer.
"""

from pathlib import Path

import keras
import tensorflow as tf

from piecehub.errors import PieceError

_PREFIX = "weights"


def tf_variables(model: keras.Model) -> list[tf.Variable]:
    """The `tf.Variable`s behind `model.variables`, in that order; of a tf_keras model too.

    tf_keras lists vocabularies among them; those are no variables, and are left out.
    """
    found = [variable.value if isinstance(variable, keras.Variable) else variable for variable in model.variables]
    return [variable for variable in found if isinstance(variable, tf.Variable)]


def save(model: keras.Model, folder: Path) -> None:
    """Writes the checkpoint into `folder`, which it makes."""
    folder.mkdir(parents=True)
    tf.train.Checkpoint(v=tf_variables(model)).write(str(folder / _PREFIX))


def load(model: keras.Model, folder: Path) -> None:
    """Gives `model` the weights that `save` wrote.

    Raises:
        PieceError: if the checkpoint is missing, or is that of a model of another form.
    """
    checkpoint = tf.train.Checkpoint(v=tf_variables(model))
    try:
        checkpoint.read(str(folder / _PREFIX)).assert_consumed()
    except (tf.errors.NotFoundError, tf.errors.DataLossError, AssertionError, ValueError) as error:
        raise PieceError(
            f"Expected weights of the model '{model.name}' in {folder}. Received: none, or those of another model; "
            "train and extract again."
        ) from error
