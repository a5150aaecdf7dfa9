"""G12-G17 and G27: what a creator should think of, and what consumers are told."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow_hub as hub
import tf_keras

from piecehub.conformance import advice, behaviour
from piecehub.conformance.loaded import load
from piecehub.consume.layer import ReusableLayer
from piecehub.documentation import page as documentation
from piecehub.exporting.reusable import ExportOptions, export
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import report
from tests.guides import book, models
from tests.guides.sharing import Exported

MakePage = Callable[..., str]


@pytest.fixture
def page(features: Exported, tmp_path: Path) -> MakePage:
    """Writes the documentation of a piece; arguments say how it was trained and judged."""

    def write(optimizer: Any, *, blessed: bool) -> str:
        config: Any = keras.optimizers.serialize(optimizer)
        facts = {
            "full/facts.json": {
                "optimizer": config,
                "train_examples": 32, "eval_examples": 8, "evaluation": {"accuracy": 0.9},
            },
            "piece/facts.json": {
                "parameters": features.model.count_params(),
                "trainable_variables": [variable.path for variable in features.model.trainable_variables],
                "input": {"shape": [None, 8, 8, 1], "dtype": "float32"},
                "output": {"shape": [None, 8], "dtype": "float32"},
            },
            "blessing/verdict.json": {
                "reasons": ["The gain over from scratch is below the margin."],
                "rule": {"tasks": {}},
                "warnings": [],
            },
            "incumbent/incumbent.json": {"version": 0, "digest": ""},
        }  # fmt: skip
        for path, value in facts.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(json.dumps(value))
        if blessed:
            (tmp_path / "blessing" / "BLESSED").touch()
        report("sha256:0", []).write(tmp_path / "piece")
        (tmp_path / "reusable").mkdir(exist_ok=True)
        (tmp_path / "reusable" / "saved_model").symlink_to(features.folder)
        sources = documentation.Sources(
            tmp_path / "full", tmp_path / "piece", tmp_path / "reusable", tmp_path / "piece", [],
            tmp_path / "blessing", tmp_path / "incumbent",
        )  # fmt: skip
        tasks = json.dumps(["image-feature-vector"])
        person = documentation.Person("A piece.", "Tests.", "Few.", "Made up.", "apache-2.0", tasks)
        return documentation.page("acme", "features", person, sources)

    return write


def test_g12_the_documentation_tells_how_to_fine_tune(page: MakePage, features: Exported) -> None:
    text = page(keras.optimizers.Adam(), blessed=True)
    section = text[text.index("## Fine-tuning") :]
    assert "Fine-tuning is recommended" in section
    assert re.search(rf"trains\D* {len(features.model.trainable_variables)}\b", section)
    assert re.search(r"regularizers\D* 1\b", section)


@pytest.mark.parametrize("blessed", [True, False])
def test_g27_fine_tuning_is_recommended_only_where_the_evidence_says_so(page: MakePage, blessed: bool) -> None:
    text = page(keras.optimizers.Adam(), blessed=blessed)
    assert f"<!-- fine-tunable: {'true' if blessed else 'false'} -->" in text.splitlines()
    assert ("not recommended: The gain over from scratch is below the margin." in text) is not blessed


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (keras.optimizers.AdamW(weight_decay=0.02), "weight_decay = 0.02"),
        (keras.optimizers.Ftrl(l1_regularization_strength=0.03), "l1_regularization_strength = 0.03"),
        (keras.optimizers.SGD(use_ema=True), "use_ema = True"),
        (keras.optimizers.Adam(), None),
    ],
)
def test_g17_regularization_inside_the_optimizer_is_told(page: MakePage, optimizer: Any, told: str | None) -> None:
    text = page(optimizer, blessed=True)
    assert ("regularized inside its optimizer" in text) is (told is not None)
    assert told is None or told in text


def test_g17_regularization_inside_the_optimizer_is_lost_and_that_of_layers_is_not(tmp_path: Path) -> None:
    model = models.classifier()
    model.compile(keras.optimizers.AdamW(weight_decay=0.02), keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(*models.images(), verbose=0)
    export(model, tmp_path / "model")
    obj = hub.load(str(tmp_path / "model"))
    losses = [float(loss()) for loss in obj.regularization_losses]
    kernel = np.asarray(model.get_layer("convolution").kernel)
    assert losses == [pytest.approx(models.L2 * np.sum(kernel**2), rel=1e-5)]


def test_g13_the_mechanics_of_fine_tuning_are_saved(features: Exported) -> None:
    images, _ = models.images()
    obj = hub.load(str(features.folder))
    assert len(obj.regularization_losses) == 1
    assert len(obj.trainable_variables) == len(features.model.trainable_variables)
    assert len(obj.variables) == len(features.model.variables) > len(obj.trainable_variables)
    np.testing.assert_allclose(obj(images, training=False), features.model(images, training=False), atol=1e-6)
    own = keras.models.clone_model(features.model)  # training=True moves its averages
    own.set_weights(features.model.get_weights())
    np.testing.assert_allclose(obj(images, training=True), own(images, training=True), atol=1e-5)


def test_g13_a_mask_is_given_as_an_output(tmp_path: Path) -> None:
    made = book.run(13, {}, replace={'"my_embedding"': repr(str(tmp_path / "piece"))})
    assert made["states"].shape == (None, 4)


def test_g14_probabilities_are_found_and_logits_are_fine(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(3)(inputs)
    export(keras.Model(inputs, logits), tmp_path / "logits")
    export(keras.Model(inputs, keras.layers.Softmax()(logits)), tmp_path / "softmax")
    assert behaviour.no_probabilities(load(tmp_path / "logits")).passed
    found = behaviour.no_probabilities(load(tmp_path / "softmax"))
    assert not found.passed and "Softmax" in found.sentence


def test_g15_a_momentum_that_lags_is_found_and_any_batch_size_serves(features: Exported, tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    lagging = keras.layers.BatchNormalization(momentum=0.9999)(keras.layers.Dense(3)(inputs))
    export(keras.Model(inputs, lagging), tmp_path / "lagging")
    assert advice.momentum_fits(load(features.folder)).passed
    found = advice.momentum_fits(load(tmp_path / "lagging"))
    assert not found.passed and "0.9999" in found.sentence
    assert behaviour.examples_independent(load(features.folder)).passed
    manifest = piece_manifest.read(features.folder)
    assert manifest is not None
    assert [entry["momentum"] for entry in manifest.batch_normalization] == [0.9]


def test_g16_consumers_adjust_dropout_and_momentum(tmp_path: Path) -> None:
    model, x = models.with_dropout(), models.vectors()
    made = book.run(16, {"model": model, "inputs": x}, replace={'"my_piece"': repr(str(tmp_path / "piece"))})
    obj = hub.load(str(tmp_path / "piece"))
    mean = next(v for v in obj.variables if "moving_mean" in v.name)
    for momentum in (0.5, 0.997):
        before = mean.numpy()
        obj(x, training=True, batch_norm_momentum=momentum)
        np.testing.assert_allclose(mean, momentum * before + (1 - momentum) * x.mean(0), rtol=1e-4, atol=1e-6)
    fixed = obj(x, training=True, dropout_rate=0.0)
    np.testing.assert_allclose(obj(x, training=True, dropout_rate=0.0), fixed, atol=1e-6)
    assert not np.allclose(obj(x, training=True), fixed, atol=1e-3)
    assert not np.allclose(made["outputs"], fixed, atol=1e-3)
    for kind in (hub.KerasLayer, ReusableLayer):
        layer = kind(obj, trainable=True, arguments={"dropout_rate": 0.0})
        np.testing.assert_allclose(layer(x, training=True), fixed, atol=1e-6)
    for layer, framework in ((made["in_tf_keras"], tf_keras), (made["in_keras"], keras)):
        assert framework.Sequential([framework.Input((4,)), layer]).output_shape == (None, 6)


def test_g16_the_default_is_the_models_own(tmp_path: Path) -> None:
    export(models.with_dropout(), tmp_path / "piece", ExportOptions(hyperparameters=("dropout_rate",)))
    manifest = piece_manifest.read(tmp_path / "piece")
    assert manifest is not None and manifest.hyperparameters == {"dropout_rate": 0.5}
