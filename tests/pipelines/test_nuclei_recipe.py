"""The recipe `nuclei`: its examples and model, and, as a long test, the whole run."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from piecehub.examples.features import Features
from piecehub.facts.content import list_files
from piecehub.facts.workdir import Workdir
from piecehub.training.recipe_modules import load_module
from piecehub.transfer.leakage import find_leakage
from pipelines.recipe.loader import load_recipe
from tests.in_memory import read_split

RECIPE = load_recipe("nuclei")
TASKS = {task.name: task for task in RECIPE.config.task}
# Patients of each split, and how many of them are malignant.
SIZES = {"pool": (140, 52), "test": (228, 85)}


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    return load_module(RECIPE.folder, "data.py")


@pytest.fixture(scope="module")
def model() -> ModuleType:
    return load_module(RECIPE.folder, "model.py")


@pytest.fixture(scope="module")
def data(writer: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe writes."""
    folder = tmp_path_factory.mktemp("data") / "nuclei"
    writer.write(folder, **RECIPE.config.data.arguments)
    return folder


def _read(data: Path, part: str, split: str) -> dict[str, np.ndarray]:
    schema = TASKS[part].schema if part in TASKS else RECIPE.config.data.schema
    return read_split(str(data / part), split, Features.of_schema(str(RECIPE.folder / schema)))


def _patients(split: dict[str, np.ndarray]) -> set[bytes]:
    return {row.tobytes() for row in split["measurements"]}


def test_it_writes_the_same_bytes_again_and_others_for_another_seed(
    writer: ModuleType, data: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        writer.write(tmp_path / str(seed), **RECIPE.config.data.arguments | {"seed": seed})
    assert list_files(tmp_path / "0") == list_files(data)
    assert list_files(tmp_path / "1") != list_files(data)


def test_every_patient_is_in_one_split_only(data: Path) -> None:
    upstream = [_patients(_read(data, "upstream", split)) for split in ("train", "eval")]
    for task in TASKS:
        splits = [*upstream, *(_patients(_read(data, task, split)) for split in ("pool", "test"))]
        assert len(set().union(*splits)) == sum(map(len, splits)) == len(load_breast_cancer(return_X_y=True)[1])


def test_no_upstream_patient_is_like_a_downstream_one(data: Path) -> None:
    upstream = _read(data, "upstream", "train")
    pool, test = (_read(data, "diagnosis", split) for split in ("pool", "test"))
    assert find_leakage([upstream], pool, test, {"label"}).rate == 0
    # With a hundred patients of the pool among those of upstream, they are found.
    joined = {"measurements": np.concatenate([upstream["measurements"], pool["measurements"][:100]])}
    assert find_leakage([joined], pool, test, {"label"}).exact == 100


@pytest.mark.parametrize("split", SIZES)
def test_the_diagnoses_are_as_often_malignant_in_each_split(data: Path, split: str) -> None:
    patients, malignant = SIZES[split]
    for task in ("diagnosis", "shuffled"):
        assert np.bincount(_read(data, task, split)["label"]).tolist() == [malignant, patients - malignant]
    assert 0.36 < malignant / patients < 0.38


def test_the_negative_control_has_the_diagnoses_of_other_patients(data: Path) -> None:
    real, shuffled = (_read(data, task, "test") for task in ("diagnosis", "shuffled"))
    assert _patients(real) == _patients(shuffled)
    by_worst_texture = [np.corrcoef(split["measurements"][:, 8], split["label"])[0, 1] for split in (real, shuffled)]
    assert by_worst_texture[0] < -0.3
    assert abs(by_worst_texture[1]) < 0.15


def test_upstream_is_told_neither_diagnoses_nor_concave_points(writer: ModuleType, data: Path) -> None:
    cells: Any = load_breast_cancer()
    told = [str(cells.feature_names[column]) for column in (*writer.MEASUREMENTS, *writer.OTHERS)]
    assert len(set(told)) == 27
    assert not [name for name in told if "concave points" in name]
    assert str(cells.feature_names[writer.CONCAVE_POINTS]) == "worst concave points"
    assert set(_read(data, "upstream", "train")) == {"measurements", "others"}
    labels = {float(v) for split in ("pool", "test") for v in _read(data, "concave-points", split)["label"]}
    assert labels <= set(cells.data[:, writer.CONCAVE_POINTS].astype(np.float32).tolist())


def test_what_upstream_says_is_in_deviations_of_those_that_it_trains_on(data: Path) -> None:
    train, held_out = (_read(data, "upstream", split)["others"] for split in ("train", "eval"))
    np.testing.assert_allclose(train.mean(axis=0), np.zeros(15), atol=1e-4)
    np.testing.assert_allclose(train.std(axis=0), np.ones(15), atol=1e-4)
    assert np.abs(held_out.mean(axis=0)).max() > 0.01


def test_the_scaling_is_that_of_the_patients_that_upstream_trains_on(model: ModuleType, data: Path) -> None:
    train, test = _read(data, "upstream", "train")["measurements"], _read(data, "diagnosis", "test")["measurements"]
    assert pytest.approx(train.mean(axis=0), rel=0.05) == model.MEANS
    assert pytest.approx(train.std(axis=0), rel=0.05) == model.DEVIATIONS
    # Not those of the test part, which differ by more than that.
    assert pytest.approx(test.std(axis=0), rel=0.05) != model.DEVIATIONS


def test_the_piece_takes_measurements_in_their_own_units(model: ModuleType, data: Path) -> None:
    full = model.build_model(seed=1, **RECIPE.config.model.arguments)
    upstream = _read(data, "upstream", "train")
    pairs = full([upstream["measurements"], upstream["others"]]).numpy()
    assert pairs.shape == (170, 2, 15)
    np.testing.assert_array_equal(pairs[:, 1], upstream["others"])
    embedding = full.get_layer("embedding")
    assert (embedding.input.shape, embedding.output.shape) == ((None, 12), (None, 32))
    scaled = embedding.get_layer("units")(upstream["measurements"]).numpy()
    expected = (upstream["measurements"] - np.array(model.MEANS)) / np.array(model.DEVIATIONS)
    np.testing.assert_allclose(scaled, expected, atol=1e-3)


def test_piece_and_control_differ_in_what_is_trained_only(model: ModuleType) -> None:
    one, other, same = (model.build_embedding(seed, [8, 4]) for seed in (1, 2, 1))
    rows = np.array([model.MEANS, np.add(model.MEANS, model.DEVIATIONS)], np.float32)
    assert len(one.variables) == len(one.trainable_variables) == 4
    np.testing.assert_array_equal(one(rows), same(rows))
    assert not np.allclose(one(rows), other(rows))
    np.testing.assert_array_equal(one.get_layer("units")(rows), other.get_layer("units")(rows))


def test_the_loss_is_the_squared_error_and_the_accuracy_what_is_nearly_right(model: ModuleType) -> None:
    pairs = np.zeros((2, 2, 4), np.float32)
    pairs[:, 0] = [[0, 0.4, -0.4, 0.6], [2, -2, 1, 0]]
    assert np.asarray(model.squared_error(None, pairs)) == pytest.approx([(0.16 + 0.16 + 0.36) / 4, 9 / 4])
    assert np.asarray(model.said_rightly(None, pairs)).tolist() == [0.75, 0.25]


@pytest.mark.long
def test_it_publishes_what_the_recipe_expects(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from pipelines import local_runner

    (piece,) = local_runner.run(RECIPE, Workdir(tmp_path / "work")).pieces
    assert piece.pushed, piece.why
    assert str(piece.handle) == "piecehub/nuclei/1"
    evidence = {e["task"]: e for e in (json.loads((path / "evidence.json").read_text()) for path in piece.evidence)}
    assert {e["leakage"]["exact"] + e["leakage"]["near"] for e in evidence.values()} == {0}
    gains = {
        task: next(c for c in e["contrasts"] if (c["reference"], c["shots"]) == ("from_scratch", "curve"))
        for task, e in evidence.items()
    }
    for task, low, high in (("diagnosis", 0.02, 0.07), ("concave-points", 0.05, 0.25)):
        assert gains[task]["low"] > 0
        assert low <= gains[task]["estimate"] <= high
        assert gains[task]["seeds"] == 10
    assert gains["shuffled"]["low"] <= 0 <= gains["shuffled"]["high"]
