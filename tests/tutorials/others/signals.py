"""A folder of records with a text as the label."""

from pathlib import Path

import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
Path("signals").mkdir()
for part in range(3):
    with tf.io.TFRecordWriter(f"signals/part-{part}.tfrecord") as writer:
        for number in range(300):
            kind = number % 6
            time = np.arange(40) + rng.uniform(0, 40)
            signal = np.sin(time * (0.2 + 0.15 * kind)) + rng.normal(0, 0.3, 40)
            example = tf.train.Example()
            example.features.feature["signal"].float_list.value.extend(signal)
            example.features.feature["kind"].bytes_list.value.append(f"tone {kind}".encode())
            writer.write(example.SerializeToString())
