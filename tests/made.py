"""One small recipe, trained, cut and exported once a session; the fixtures of tests/conftest.py hand it out."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np

from piecehub.exporting import reusable
from piecehub.extraction import piece as pieces
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model
from piecehub.training.recipe_modules import get_function, load_module
from tests.streams import make_stream

BLOCKS = """
from keras import layers, regularizers

def block(x, width, strides, l2):
    x = layers.Conv2D(width, 3, strides=strides, kernel_regularizer=regularizers.L2(l2))(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
"""
MODEL = """
import keras
from keras import layers

from .blocks import block

def build(*, seed, width, l2):
    images = keras.Input((8, 8, 1), name="image")
    x = block(block(images, width, 1, l2), width, 2, l2)
    return head(images, layers.GlobalAveragePooling2D(name="features")(x), seed)

def build_first(*, seed, width, l2):
    inputs = keras.Input((8, 8, 1))
    x = block(block(inputs, width, 1, l2), width, 2, l2)
    piece = keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="piece_first")
    images = keras.Input((8, 8, 1), name="image")
    return head(images, piece(images), seed)

def head(images, features, seed):
    x = layers.Dropout(0.3, seed=seed)(features)
    return keras.Model(images, layers.Dense(2, name="logits")(x), name="small")
"""
KWARGS = {"width": 8, "l2": 1e-3}
CONTROL_SEEDS = (11, 12)


@dataclass(frozen=True)
class Made:
    """Folders of the session's small run, and the piece as it was before export."""

    recipe: Path
    module: ModuleType
    full: Path
    logs: Path
    piece: Path
    saved_model: Path
    model: keras.Model
    train_facts: full_model.TrainFacts
    export_facts: reusable.ExportFacts
    images: np.ndarray
    labels: np.ndarray


def write_recipe(folder: Path) -> Path:
    """A recipe of two files."""
    folder.mkdir(parents=True)
    (folder / "blocks.py").write_text(BLOCKS)
    (folder / "model.py").write_text(MODEL)
    return folder


def draw_examples() -> tuple[np.ndarray, np.ndarray]:
    """Images [200, 8, 8, 1] float32 whose upper or lower half is bright, and which it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    images = rng.random((200, 8, 8, 1), dtype=np.float32)
    images[labels == 0, :4] += 0.7
    images[labels == 1, 4:] += 0.7
    return images, labels


def make(root: Path) -> None:
    """The journey from recipe to SavedModel, in a new folder: what `read` reads, in every process of the session."""
    recipe = write_recipe(root / "recipe")
    images, labels = draw_examples()
    arrays = {"image": images, "label": labels}
    train_facts = full_model.train(
        get_function(load_module(recipe, "model.py"), "build"),
        KWARGS,
        make_stream(root / "data", arrays),
        make_stream(root / "data", {name: array[:50] for name, array in arrays.items()}, "eval"),
        "label",
        TrainTable(epochs=2, batch_size=32, learning_rate=1e-2, seed=1),
        root / "logs",
        root / "full",
    )
    pieces.write_piece(
        root / "full" / "weights",
        pieces.Builder("model.py", "build", KWARGS, 1, "cut", ["features"], "sha256:0"),
        recipe,
        CONTROL_SEEDS,
        train_facts.optimizer,
        root / "piece",
    )
    export_facts = reusable.export_in_fresh_process(root / "piece", recipe, root / "saved_model")
    facts = {"train": asdict(train_facts), "export": asdict(export_facts)}
    (root / "facts.json").write_text(json.dumps(facts))


def read(root: Path) -> Made:
    """What `make` wrote, and the piece as it was before export."""
    images, labels = draw_examples()
    facts = json.loads((root / "facts.json").read_text())
    recipe = root / "recipe"
    return Made(
        recipe, load_module(recipe, "model.py"), root / "full", root / "logs", root / "piece", root / "saved_model",
        pieces.rebuild_piece(root / "piece", recipe), full_model.TrainFacts(**facts["train"]),
        reusable.ExportFacts(**facts["export"]), images, labels,
    )  # fmt: skip


def export_kind(name: str, folder: Path) -> None:
    """The SavedModel of a kind of tests/exporting/model_kinds.py."""
    from tests.exporting.model_kinds import KINDS

    reusable.export(KINDS[name].build(), folder, KINDS[name].options, inputs=KINDS[name].specs)
