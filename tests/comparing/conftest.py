"""Small pieces that differ in one thing, and the evidence that tests/transfer makes of arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from piecehub.exporting import reusable
from piecehub.exporting.export_options import ExportOptions
from tests.transfer.conftest import make_evidence as make_evidence

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Exports a piece that takes images and gives an embedding; one of equal words is exported once."""
    made: dict[Any, Path] = {}

    def make(
        shape: tuple[int | None, ...] = (8, 8, 1),
        width: int = 4,
        dtype: str = "float32",
        dropout: float = 0.0,
        adjustable: bool = False,
        seed: int = 0,
    ) -> Path:
        key = shape, width, dtype, dropout, adjustable, seed
        if key not in made:
            inputs = keras.Input(shape, dtype=dtype)
            x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 16, dtype="float32")(inputs))
            if dropout:
                x = keras.layers.Dropout(dropout, name="rest")(x)
            kernel = keras.initializers.GlorotUniform(seed=seed)
            model = keras.Model(inputs, keras.layers.Dense(width, kernel_initializer=kernel)(x))
            target = tmp_path_factory.mktemp("piece") / "saved_model"
            hyperparameters = ("dropout_rate",) if adjustable else ()
            reusable.export(model, target, ExportOptions(hyperparameters=hyperparameters))
            made[key] = target
        return made[key]

    return make
