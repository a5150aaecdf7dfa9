"""A tiny piece written without Keras, a task that it fits, and evidence made of arrays."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from piecehub.transfer import predictions
from piecehub.transfer.devices import Kind
from piecehub.transfer.evaluation import Means, Subject, evaluate
from piecehub.transfer.evidence import FACTS, PREDICTIONS, Cell, Evidence
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task

WIDTH = 8


@pytest.fixture(scope="session")
def task() -> Task:
    """Three overlapping clouds of points in 8 dimensions: 60 in the pool, 90 to test on."""
    generator = np.random.default_rng(0)
    y = np.tile(["ash", "elm", "oak"], 50)
    centres = {name: generator.normal(size=WIDTH) for name in ("ash", "elm", "oak")}
    x = np.stack([centres[name] + 0.9 * generator.normal(size=WIDTH) for name in y]).astype(np.float32)
    return Task.from_arrays("trees", x[:60], y[:60], x[60:], y[60:])


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    grid = {"learning_rates": (0.01, 0.03), "inverse_regularization": (0.1, 1.0), "sensitivity_batch_sizes": (4, 8)}
    return Protocol((2, 5), (0, 1, 2), steps=20, batch_size=8, **grid)


@pytest.fixture(scope="session")
def build_piece() -> Callable[..., SimpleNamespace]:
    """Makes a trackable piece: dense layer, BatchNorm, ReLU, with the Reusable SavedModel interface."""
    import tensorflow as tf

    def build(seed: int = 0, momentum: float = 0.9, penalty: float = 1e-3, dropout: float = 0.0) -> SimpleNamespace:
        root = tf.__internal__.tracking.AutoTrackable()
        kernel = np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)).astype(np.float32)
        kernel = tf.Variable(tf.constant(kernel))
        gamma, beta = tf.Variable(tf.ones(WIDTH)), tf.Variable(tf.zeros(WIDTH))
        mean = tf.Variable(tf.zeros(WIDTH), trainable=False)
        variance = tf.Variable(tf.ones(WIDTH), trainable=False)
        calls = tf.Variable(tf.constant(0.0), trainable=False)
        state = tf.Variable(tf.constant(seed, tf.int64), trainable=False)

        def normalize(x, training):
            if not training:
                return (x - mean) / tf.sqrt(variance + 1e-3)
            if dropout:
                keep = tf.random.stateless_uniform(tf.shape(x), tf.stack([state, 0])) >= dropout
                x = tf.where(keep, x / (1 - dropout), 0.0)
                state.assign_add(1)
            batch_mean, batch_variance = tf.nn.moments(x, [0])
            mean.assign(momentum * mean + (1 - momentum) * batch_mean)
            variance.assign(momentum * variance + (1 - momentum) * batch_variance)
            calls.assign_add(1.0)
            return (x - batch_mean) / tf.sqrt(batch_variance + 1e-3)

        def forward(inputs, training=False):
            return tf.nn.relu(gamma * normalize(inputs @ kernel, training) + beta)

        call: Any = tf.function(forward)

        @tf.function(input_signature=[])
        def penalize():
            return penalty * tf.reduce_sum(kernel**2)

        for training in (True, False):
            call.get_concrete_function(tf.TensorSpec([None, WIDTH], tf.float32), training=training)
        root.variables = [kernel, gamma, beta, mean, variance, calls, state]
        root.trainable_variables = [kernel, gamma, beta]
        root.regularization_losses = [penalize]
        root.__call__ = call
        return root

    return build


@pytest.fixture(scope="session")
def write_control() -> Callable[..., Path]:
    """Writes a piece's variables as a control's checkpoint."""
    import tensorflow as tf

    def write(piece, folder: Path, name: str = "variables") -> Path:
        folder.mkdir(parents=True)
        tf.train.Checkpoint(v=list(piece.variables)).write(str(folder / name))
        return folder

    return write


@pytest.fixture(scope="session")
def exported(once, build_piece, write_control) -> SimpleNamespace:
    """An exported piece `saved_model` with `controls`; that of seed 2 has the very weights of the piece."""

    def make(root: Path) -> None:
        import tensorflow as tf

        tf.saved_model.save(build_piece(), str(root / "saved_model"))
        for seed in (0, 1):
            write_control(build_piece(seed=100 + seed), root / "controls" / f"seed-{seed}")
        write_control(build_piece(), root / "controls" / "seed-2")

    root = once("transfer-exported", make)
    return SimpleNamespace(saved_model=root / "saved_model", controls=root / "controls")


@pytest.fixture(scope="session")
def subject(exported) -> Subject:
    """The exported piece as it is evaluated."""
    return Subject(exported.saved_model, exported.controls)


@pytest.fixture(scope="session")
def measured(subject, task, protocol, once) -> SimpleNamespace:
    """What two workers measured: `evidence`, and the folder of its `trials`."""

    def make(root: Path) -> None:
        evaluate(subject, task, protocol, Means(root / "trials", workers=2), root / "evidence")

    root = once("transfer-measured", make)
    return SimpleNamespace(evidence=Evidence.read(root / "evidence"), trials=root / "trials", folder=root / "evidence")


@pytest.fixture(scope="session")
def measured_by_one(subject, task, protocol, once) -> SimpleNamespace:
    """The folder of the same `trials`, from one worker, and how many were `seen` to be done at each."""

    def make(root: Path) -> None:
        seen: list[int] = []
        means = Means(root / "trials", workers=1, on_progress=lambda done, total, trial: seen.append(done))
        evaluate(subject, task, protocol, means, root / "evidence")
        (root / "seen.json").write_text(json.dumps(seen))

    root = once("transfer-measured-by-one", make)
    seen = json.loads((root / "seen.json").read_text())
    return SimpleNamespace(trials=root / "trials", folder=root / "evidence", seen=seen)


@pytest.fixture
def make_evidence(tmp_path) -> Callable[..., Evidence]:
    """Makes evidence whose modes are right with the probabilities given, on 300 test examples and 2 shot counts."""

    def make(
        seeds: int = 5,
        piece: str = "sha256:candidate",
        folder: str = "evidence",
        diverged: int = 0,
        task: str = "trees",
        without: str = "",
        device: Kind = "cpu",
        **accuracies: float,
    ) -> Evidence:
        rates = {
            "fine_tuning": 0.9,
            "feature_extraction": 0.8,
            "from_scratch": 0.8,
            "random_features": 0.7,
        } | accuracies
        rates = {mode: rate for mode, rate in rates.items() if mode != without}
        y = np.arange(300) % 3
        x = np.zeros((300, 1), np.float32)
        made = Task.from_arrays(task, x, y, x, y)
        protocol = Protocol((5, 10), tuple(range(seeds)), (0.01,), 10, 8, (1.0,))
        tables = {}
        for number, (mode, rate) in enumerate(rates.items()):
            for shots in protocol.shots:
                right = np.random.default_rng([number, shots]).random((seeds, 300)) < rate
                tables[mode, shots] = list(np.eye(3, dtype=np.float32)[np.where(right, y, (y + 1) % 3)])
        path = tmp_path / folder
        path.mkdir(parents=True)
        predictions.write(path / PREDICTIONS, made, protocol, tables)
        cells = tuple(
            Cell(mode, k, {}, 0.5, 0.4, 0.6, (0.5,) * seeds, diverged if mode == "fine_tuning" else 0)
            for mode, k in tables
        )
        evidence = Evidence(
            task=task,
            kind=made.kind,
            metric=made.metric,
            task_digest=made.digest,
            piece_digest=piece,
            classes=made.classes,
            protocol=protocol,
            cells=cells,
            contrasts=(),
            sensitivity=(),
            learning=(),
            trials=len(tables),
            packages={},
            folder=path,
            leakage=Leakage(examples=200, exact=0, near=0, upstream_examples=9, rule="equal", samples=()),
            device=device,
        )
        (path / FACTS).write_text(evidence.to_json(), encoding="utf-8")
        return Evidence.read(path)

    return make
