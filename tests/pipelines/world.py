"""What end-to-end tests share: a tiny recipe in a repository of its own, and how a run of it ended."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from pipelines.outcome import PieceOutcome

# Small enough for a test: pretraining pays, but so few trials cannot prove it, so the rule asks for less than the
# recipe's, and still refuses random weights.
TINY = (
    "train.epochs=16",
    "evaluation.shots=[5]",
    "evaluation.seeds=[0, 1, 2, 3, 4]",
    "evaluation.learning_rates=[0.003]",
    "evaluation.steps=60",
    "evaluation.sensitivity_batch_sizes=[32]",
    "gate.min_gain=-0.025",
)


# What the same examples are trained on in other ways: each a file beside the recipe's model.
CORE = '''
"""Images under a name, pooled and as a map; both models are subclassed, so neither has an Input."""
import keras
from keras import layers

class Core(keras.Model):
    def __init__(self, seed):
        super().__init__(name="core")
        init = keras.initializers.HeNormal(seed=seed)
        self.convolution = layers.Conv2D(8, 3, activation="relu", kernel_initializer=init)
        self.pool = layers.GlobalAveragePooling2D()

    def call(self, inputs, training=False):
        found = self.convolution(inputs["image"] / 16)
        return {"map": found, "pooled": self.pool(found)}

class Pretrainer(keras.Model):
    def __init__(self, core, classes, seed):
        super().__init__(name="pretrainer")
        self.core = core
        self.head = layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))

    def call(self, images, training=False):
        return self.head(self.core({"image": images}, training=training)["pooled"])

def build_core(*, seed, classes, **others):
    core = Core(seed)
    return core, Pretrainer(core, classes, seed)
'''
CHILD = '''
"""A published piece, fine-tuned with a layer on top."""
import keras
from keras import layers
from piecehub import ReusableLayer

def build_child(*, seed, classes, parent, **others):
    images = keras.Input((8, 8, 1), name="image")
    x = ReusableLayer(parent, trainable=True, name="parent")(images)
    x = layers.Dense(24, activation="relu", name="on_top", kernel_initializer=keras.initializers.HeNormal(seed=seed))(x)
    return keras.Model(images, layers.Dense(classes, name="logits")(x), name="child")
'''
TWO_PIECES = (
    'piece=[{name="digits/logits", road="whole", description="All classes of the digits in views."},'
    ' {name="digits/features", layer="features", hyperparameters=["batch_norm_momentum"],'
    ' sub_pieces={first="convolution_1"}}]'
)


@dataclass(frozen=True)
class Finished:
    """A run that ended: its outcome, and the last event of each component."""

    pieces: tuple["PieceOutcome", ...]
    run: str
    states: dict[str, runs.Event]

    @property
    def handle(self) -> str:
        """What the one piece stands in the store as."""
        (piece,) = self.pieces
        return piece.handle

    @property
    def why(self) -> str:
        """Why it stands there already, or does not."""
        (piece,) = self.pieces
        return piece.why

    def ran(self) -> set[str]:
        """The components that did not come from the cache."""
        return {node for node, event in self.states.items() if event.state == "done"}


@dataclass(frozen=True)
class World:
    """A working folder with a recipe of its own, and a way to run it."""

    workdir: Workdir
    recipe: Path
    run: Callable[..., Finished]


def write_foreign_repository(root: Path) -> Path:
    """The digits recipe in a repository whose own packages have the names of ours; returns the recipe's folder."""
    from pipelines.recipe.loader import RECIPES

    for package in ("components", "pipelines", "piecehub"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    shutil.copytree(RECIPES / "digits", root / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    _lay_into(root / "recipe" / "recipe.toml", TINY)
    return root / "recipe"


def _lay_into(file: Path, settings: Iterable[str]) -> None:
    """Writes settings into a recipe, so that it is tiny by itself."""
    text = file.read_text(encoding="utf-8")
    for setting in settings:
        key, _, value = setting.partition("=")
        table, _, entry = key.partition(".")
        before, header, after = text.partition(f"[{table}]\n")
        assert header, setting
        lines = [line for line in after.split("\n") if not line.startswith(f"{entry} = ")]
        text = f"{before}{header}{entry} = {value}\n" + "\n".join(lines)
    file.write_text(text, encoding="utf-8")
