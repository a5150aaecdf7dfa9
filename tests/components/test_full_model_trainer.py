"""The trainer as a component: what it is told by the recipe and by the runner, from its parameters to its facts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.containers import code
from piecehub.errors import RecipeError, TrainingError
from piecehub.examples.ingest import ingest
from piecehub.examples.records import write_records
from piecehub.facts.content import sha256_file
from piecehub.facts.tables import ModelTable, TrainTable

tfx = pytest.importorskip("tfx")

MODEL = '''
import keras
import tensorflow as tf

def build_model(*, seed, width):
    inputs = keras.Input((2,), name="pair")
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(width, "tanh")(inputs)))

def decode(features):
    """The numbers
    in a text.

    More is for who reads the code."""
    pair = tf.strings.to_number(tf.strings.split(features["text"], sep=" "))
    return {"pair": tf.ensure_shape(pair, [2]), "label": features["label"], "importance": features["importance"]}

def augment(features, seed):
    return {**features, "pair": features["pair"] + 0.01 * tf.random.stateless_normal([2], seed)}

def my_fit(training):
    """As a train.py has it, with a checkpoint of its own."""
    model, settings = training.model, training.settings
    kept = training.resume_folder / "kept.weights.h5"
    done = training.resume_folder / "done"
    first = int(done.read_text()) if done.exists() else 0
    if first:
        model.load_weights(kept)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for epoch in range(first, settings.epochs):
        found = model.fit(training.train.batches(settings.batch_size, epoch), verbose=0)
        training.report(epoch=epoch, loss=found.history["loss"][0], went_on=float(first))
        model.save_weights(kept)
        done.write_text(str(epoch + 1))
        if (training.log_folder.parent / "stop").exists():
            raise SystemExit("killed")
'''
SCHEMA = """
feature { name: "text" type: BYTES shape {} }
feature { name: "importance" type: FLOAT shape {} }
feature { name: "label" type: INT shape {} }
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its schema, and examples as the ingester leaves them."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("recipe", "schema", "anomalies"):
        (folder / name).mkdir()
    (folder / "recipe" / "model.py").write_text(MODEL)
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    rng = np.random.default_rng(0)
    for split in ("train", "eval"):
        pairs = rng.normal(size=(40, 2))
        rows: Any = [{"text": f"{a} {b}", "label": int(a + b > 0), "importance": 1.0} for a, b in pairs.tolist()]
        write_records(folder / "source" / split, rows, shards=1)
    ingest(str(folder / "source"), ["train", "eval"], folder / "examples")
    return folder


def _train(place: Path, out: Path, told: TrainTable, **parameters: str) -> dict[str, Any]:
    """Calls the component's function as TFX does; returns the facts."""
    from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ModelRun, Schema

    from components.artifacts import FullModel
    from components.full_model_trainer import FullModelTrainer

    def at(kind: Any, folder: Path) -> Any:
        artifact = kind()
        artifact.uri = str(folder)
        return artifact

    component: Any = FullModelTrainer
    component.EXECUTOR_SPEC.executor_class._FUNCTION(
        **{
            "examples": at(Examples, place / "examples"),
            "schema": at(Schema, place / "schema"),
            "anomalies": at(ExampleAnomalies, place / "anomalies"),
            "full_model": at(FullModel, out / "full"),
            "training_logs": at(ModelRun, out / "logs"),
            "recipe_folder": str(place / "recipe"),
            "resume_folder": "",
            "model": ModelTable("model.py", "build_model", {"width": 4}, "decode").to_json(),
            "train": told.to_json(),
            "label": "label",
            "checkpoint": "",
            "checkpoint_digest": "",
            "devices": "",
            "code_digest": code.code_digest("components.full_model_trainer", str(place / "recipe"), "model.py"),
            "lock_digest": "",
            "parent": None,
            **parameters,
        }
    )
    return json.loads((out / "full" / "facts.json").read_text())


def test_a_recipe_with_entries_of_its_own_trains_by_them(place: Path, tmp_path: Path) -> None:
    told = TrainTable(
        epochs=2, batch_size=8, learning_rate=0.05, augment="augment", sample_weight="importance",
        schedule={"class_name": "CosineDecay"}, early_stopping={"patience": 5},
    )  # fmt: skip
    facts = _train(place, tmp_path, told)
    assert len(facts["history"]["val_loss"]) == 2
    assert facts["settings"] == told.entries()
    assert facts["optimizer"]["config"]["learning_rate"]["class_name"] == "CosineDecay"
    assert facts["devices"] == {"kind": "cpu", "replicas": 1}
    digest = f"sha256:{sha256_file(place / 'recipe' / 'model.py')}"
    does = "The numbers in a text."
    assert facts["decode"] == {"function": "decode", "module": "model.py", "digest": digest, "does": does}
    assert (tmp_path / "full" / "provenance.json").is_file()


def test_a_recipe_with_its_own_fit_runs_and_goes_on_where_it_was_killed(place: Path, tmp_path: Path) -> None:
    told = TrainTable(epochs=4, batch_size=8, fit="my_fit")
    (tmp_path / "stop").touch()
    with pytest.raises(TrainingError, match=r"Expected 'my_fit' to train the model.*killed"):
        _train(place, tmp_path, told, resume_folder=str(tmp_path / "training"))
    (tmp_path / "stop").unlink()
    facts = _train(place, tmp_path, told, resume_folder=str(tmp_path / "training"))
    assert facts["history"]["went_on"] == [1.0, 1.0, 1.0]
    assert facts["evaluation"]["accuracy"] > 0.8
    assert list((tmp_path / "training").iterdir()) == []
    provenance = (tmp_path / "full" / "provenance.json").read_text()
    assert "training" not in provenance.replace("training_logs", "") and "my_fit" in provenance


def test_a_function_that_the_module_lacks_is_named(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="function 'gone'"):
        _train(place, tmp_path, TrainTable(epochs=1, batch_size=8, fit="gone"))
    with pytest.raises(TrainingError, match="Expected devices such as 'gpu:2'"):
        _train(place, tmp_path, TrainTable(epochs=1, batch_size=8, fit="my_fit"), devices="tpu")
