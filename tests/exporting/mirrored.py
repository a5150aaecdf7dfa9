"""A process with two devices: exports models whose variables lie on both, and tells what became of them, as JSON.

    python -m tests.exporting.mirrored FOLDER

For each kind of model: how many variables it has, how many the SavedModel and its checkpoint have, whether their values
are those that the containers give, and whether the replicas are as before.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from piecehub.errors import NotReusableError
from piecehub.exporting import reusable
from piecehub.exporting.replicas import replicas


def two_devices() -> tf.distribute.MirroredStrategy:
    """A strategy over two halves of the CPU."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def trained(framework: Any, strategy: tf.distribute.Strategy) -> Any:
    """A model whose moving mean came out otherwise on each device."""
    inputs = np.arange(32, dtype=np.float32).reshape(8, 4)
    with strategy.scope():
        norm = framework.layers.BatchNormalization(momentum=0.5)
        model = framework.Sequential([framework.layers.Input((4,)), norm, framework.layers.Dense(1)])
        model.compile("sgd", "mse")
    # In another order halves of equal mean and variance may come to be.
    model.fit(inputs, np.ones((8, 1)), shuffle=False, verbose=0)
    return model


def low_level(strategy: tf.distribute.Strategy) -> Any:
    """y = 2x + the mean of what the devices counted."""
    on_read = tf.VariableSynchronization.ON_READ
    with strategy.scope():
        weight = tf.Variable(2.0)
        mean, total = (
            tf.Variable(0.0, trainable=False, synchronization=on_read, aggregation=aggregation)
            for aggregation in (tf.VariableAggregation.MEAN, tf.VariableAggregation.SUM)
        )

    @tf.function
    def count() -> None:
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        mean.assign(tf.cast(device, tf.float32) * 4.0)
        total.assign(tf.cast(device, tf.float32) * 4.0 + 1.0)

    strategy.run(count)
    obj: Any = tf.train.Checkpoint()
    obj.__call__ = tf.function(lambda x: x * weight + mean, input_signature=[tf.TensorSpec([None])])
    obj.variables, obj.trainable_variables = [weight, mean, total], [weight]
    return obj


def told(model: Any, folder: Path) -> dict[str, Any]:
    """What became of a model (see above)."""
    own = [v.value if isinstance(v, keras.Variable) else v for v in model.variables]
    read, before = [v.numpy() for v in own], [r.numpy() for v in own for r in replicas(v)]
    try:
        reusable.export(model, folder)
    except NotReusableError as error:
        return {"variables": len(own), "exported": error.sentence}
    loaded: Any = tf.saved_model.load(str(folder))
    names = [name for name, _ in tf.train.list_variables(str(folder / "variables" / "variables"))]
    return {
        "variables": len(own),
        "exported": len(loaded.variables),
        "in the checkpoint": len([name for name in names if name.endswith("VARIABLE_VALUE")]),
        "aggregated": [np.allclose(v.numpy(), value) for v, value in zip(loaded.variables, read, strict=False)],
        "replicas differ": any(np.any(r.numpy() != v.numpy()) for v in own for r in replicas(v)),
        "as before": all(
            np.array_equal(r.numpy(), value)
            for r, value in zip([r for v in own for r in replicas(v)], before, strict=True)
        ),
    }


def main(folder: Path) -> None:
    """Prints it for each kind."""
    strategy = two_devices()
    models = {
        "keras": trained(keras, strategy),
        "tf_keras": trained(tf_keras, strategy),
        "low-level": low_level(strategy),
    }
    print(json.dumps({kind: told(model, folder / kind) for kind, model in models.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
