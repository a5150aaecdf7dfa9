"""The recipe `cytology`: its examples and model, and, as a long test, the whole run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.content import content_digest, list_files
from piecehub.modeling.examples import feature_spec_of, read_split
from piecehub.modeling.recipe_modules import get_function, load_module
from piecehub.transfer.leakage import find_leakage
from piecehub.workdir import Workdir
from pipelines.config import load_recipe

RECIPE = load_recipe("cytology")
TASKS = {task.name: task for task in RECIPE.config.task}


def _write(folder: Path) -> Path:
    get_function(load_module(RECIPE.folder, "data.py"), "write")(folder, **RECIPE.config.data.arguments)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("data") / "cytology")


def _read(data: Path, part: str, split: str) -> dict[str, np.ndarray]:
    schema = TASKS[part].schema if part in TASKS else RECIPE.config.data.schema
    return read_split(str(data / part), split, feature_spec_of(str(RECIPE.folder / schema)))


def test_it_writes_the_same_bytes_again(data, tmp_path):
    assert content_digest(list_files(_write(tmp_path / "again"))) == content_digest(list_files(data))


def test_no_patient_is_both_upstream_and_downstream(data):
    upstream = _read(data, "upstream", "train")
    assert upstream["measurements"].shape[1] == 20 and upstream["worst"].shape[1] == 9
    for task in TASKS:
        pool, test = _read(data, task, "pool"), _read(data, task, "test")
        found = find_leakage(upstream, pool, test, {"label"})
        assert (found.exact, found.near, found.examples) == (0, 0, len(pool["label"]) + len(test["label"]))


def test_the_value_that_is_asked_for_downstream_is_not_among_those_of_upstream(data):
    pool = _read(data, "concavity", "pool")
    assert 0 < pool["label"].max() < 2 and len(np.unique(pool["label"])) > 50
    upstream = _read(data, "upstream", "train")
    worst = upstream["worst"]
    # The worst of the two properties beside it are there, in their order; the means say which is which.
    means = upstream["measurements"][:, [0, 1, 2, 3, 4, 5, 7, 8, 9]]
    assert all(np.corrcoef(means[:, i], worst[:, i])[0, 1] > 0.6 for i in range(9))


def test_the_negative_control_has_the_diagnoses_in_another_order(data):
    real, shuffled = (_read(data, task, "test") for task in ("diagnosis", "shuffled"))
    np.testing.assert_array_equal(np.sort(real["measurements"], axis=0), np.sort(shuffled["measurements"], axis=0))
    by_size = [np.corrcoef(split["measurements"][:, 0], split["label"])[0, 1] for split in (real, shuffled)]
    assert by_size[0] < -0.6 and abs(by_size[1]) < 0.2


def test_the_piece_takes_measurements_in_their_own_units(data):
    build = get_function(load_module(RECIPE.folder, "model.py"), "build_model")
    model: Any = build(seed=1, **RECIPE.config.model.arguments)
    upstream = _read(data, "upstream", "train")
    said = model([upstream["measurements"], upstream["worst"]], training=True)
    assert said.shape == (len(upstream["worst"]), 2, 9)
    # In deviations, but for those that hardly vary: those of radius, texture, perimeter and area are far above epsilon.
    deviations = np.std(said[:, 1], axis=0)
    np.testing.assert_allclose(deviations[:4], np.ones(4), atol=0.01)
    assert (deviations > 0.3).all() and (deviations < 1.01).all()
    assert model.get_layer("embedding").output.shape == (None, 32)


@pytest.mark.long
def test_the_gate_keeps_it_out_of_the_store_as_the_recipe_expects(tmp_path):
    from pipelines import local_runner

    outcome = local_runner.run(RECIPE, Workdir(tmp_path / "work"))
    (piece,) = outcome.pieces
    assert not piece.pushed and "concavity" in piece.why
    evidence = {e["task"]: e for e in (json.loads((path / "evidence.json").read_text()) for path in piece.evidence)}
    assert evidence["concavity"]["metric"] == "r2" and evidence["concavity"]["leakage"]["exact"] == 0
    gains = {
        task: next(c for c in e["contrasts"] if (c["reference"], c["shots"]) == ("from_scratch", "curve"))
        for task, e in evidence.items()
    }
    assert gains["concavity"]["low"] <= 0 < gains["concavity"]["high"]
    assert gains["shuffled"]["low"] <= 0
