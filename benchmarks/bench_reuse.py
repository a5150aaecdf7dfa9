"""What it costs to share a model and to use it again: EfficientNetV2B0 at 96 px, batches of 16.

reuse.export      our export against Keras' `model.export()`
reuse.load        our Keras 3 layer against `hub.KerasLayer` and against loading the model's `.keras` file
reuse.step        a training step on the re-imported piece, against the original model and `hub.KerasLayer`
reuse.inference   the same for inference
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from benchmarks.record import Contender, measure, write
from piecehub.consume.layer import ReusableLayer
from piecehub.exporting import reusable

_SIDE, _BATCH, _CLASSES, _STEPS = 96, 16, 10, 8
_ROUNDS = 5
_EXPORT_ROUNDS = 3


@dataclass(frozen=True)
class _Data:
    """One batch, used for every step: images `[16, 96, 96, 3] float32` of 0 to 255, labels `[16] int32`."""

    images: tf.Tensor
    labels: tf.Tensor


def _data() -> _Data:
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (_BATCH, _SIDE, _SIDE, 3)).astype(np.float32)
    return _Data(tf.constant(images), tf.constant(random.integers(0, _CLASSES, _BATCH), tf.int32))


def _backbone() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.applications.EfficientNetV2B0(
        include_top=False,
        weights=None,  # pyright: ignore[reportArgumentType]
        input_shape=(_SIDE, _SIDE, 3),
        pooling="avg",
    )


def _classifier(library: Any, piece: Any) -> Any:
    """The piece with a head, compiled, in `keras` or `tf_keras`: the same optimizer, no XLA."""
    model = library.Sequential([library.Input((_SIDE, _SIDE, 3)), piece, library.layers.Dense(_CLASSES)])
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(library.optimizers.SGD(1e-3), loss, jit_compile=False)
    return model


def _steps(model: Any, data: _Data) -> Callable[[], object]:
    """Runs 8 training steps by `fit`, as a user would."""
    batches = tf.data.Dataset.from_tensors((data.images, data.labels)).cache().repeat(_STEPS)
    return lambda: model.fit(batches, epochs=1, verbose=0)


def _predictions(model: Any, data: _Data) -> Callable[[], object]:
    batches = tf.data.Dataset.from_tensors(data.images).cache().repeat(_STEPS)
    return lambda: model.predict(batches, verbose=0)


def _size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def _measure_export(model: keras.Model, folder: Path) -> None:
    ours, peer = folder / "ours", folder / "keras"

    def export() -> None:
        shutil.rmtree(ours, ignore_errors=True)
        reusable.export(model, ours)

    def keras_export() -> None:
        shutil.rmtree(peer, ignore_errors=True)
        model.export(str(peer), verbose=False)

    contenders = (Contender("piecehub", export), Contender("model.export()", keras_export))
    for contender in contenders:
        contender.run()
    sizes = {"size of ours, MB": _size_mb(ours), "size of model.export()'s, MB": _size_mb(peer)}
    question = "exporting EfficientNetV2B0 (ours can be fine-tuned, the peer's cannot)"
    write(measure("reuse.export", question, contenders[0], contenders[1:], _EXPORT_ROUNDS, sizes))


def _measure_load(model: keras.Model, folder: Path) -> None:
    path, archive = str(folder / "ours"), folder / "model.keras"
    model.save(archive)
    contenders = [
        Contender("piecehub's layer", lambda: ReusableLayer(path, trainable=True)),
        Contender("hub.KerasLayer", lambda: hub.KerasLayer(path, trainable=True)),
        Contender("keras.models.load_model of .keras", lambda: keras.models.load_model(archive)),
    ]
    write(measure("reuse.load", "loading it again", contenders[0], contenders[1:], _EXPORT_ROUNDS, {}))


def _measure_use(model: keras.Model, folder: Path) -> None:
    path, data = str(folder / "ours"), _data()
    models = {
        "piecehub's layer": _classifier(keras, ReusableLayer(path, trainable=True)),
        "original Keras model": _classifier(keras, model),
        "hub.KerasLayer": _classifier(tf_keras, hub.KerasLayer(path, trainable=True)),
    }
    for name, question, use in (
        ("reuse.step", f"{_STEPS} training steps of batches of {_BATCH}", _steps),
        ("reuse.inference", f"inference over {_STEPS} batches of {_BATCH}", _predictions),
    ):
        ours, *peers = (Contender(who, use(classifier, data)) for who, classifier in models.items())
        write(measure(name, question, ours, peers, _ROUNDS, {}))


def _main() -> None:
    model = _backbone()
    with tempfile.TemporaryDirectory() as scratch:
        _measure_export(model, Path(scratch))
        _measure_load(model, Path(scratch))
        _measure_use(model, Path(scratch))


if __name__ == "__main__":
    _main()
