import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.errors import PieceError, TrainingError
from piecehub.extraction import piece as pieces
from piecehub.extraction import roads
from piecehub.facts.content import list_files
from piecehub.training import full_model, weights

KWARGS = {"width": 8, "l2": 1e-3}
SEEDS = (11, 12)


def _full(made: Any, function: str = "build") -> Any:
    return full_model.build_full_model(getattr(made.module, function), KWARGS, seed=3)


def test_both_roads_lead_to_the_same_piece(made: Any) -> None:
    cut = roads.cut_piece(_full(made), "features")
    taken = roads.take_piece(_full(made, "build_first"), "piece_first")
    assert [v.shape for v in taken.variables] == [v.shape for v in cut.variables]
    for one, other in zip(taken.variables, cut.variables, strict=True):
        one.assign(other)
    np.testing.assert_array_equal(taken(made.images[:9]).numpy(), cut(made.images[:9]).numpy())


def test_a_cut_piece_gives_what_the_full_model_gives_at_that_layer(made: Any) -> None:
    full = full_model.restore(made.module.build, KWARGS, 1, made.full)
    features = roads.cut_piece(full, "features")(made.images[:9])
    np.testing.assert_allclose(full.get_layer("logits")(features).numpy(), full(made.images[:9]).numpy(), atol=1e-6)


def test_the_rebuilt_piece_is_the_trained_one(made: Any) -> None:
    trained = roads.cut_piece(full_model.restore(made.module.build, KWARGS, 1, made.full), "features")
    np.testing.assert_array_equal(made.model(made.images).numpy(), trained(made.images).numpy())


def test_a_missing_layer_is_answered_with_the_layers_there_are(made: Any) -> None:
    for road in (roads.cut_piece, roads.take_piece):
        with pytest.raises(PieceError, match=r"image, .*features, .*logits\. Received: 'feature'"):
            road(_full(made), "feature")


def test_a_plain_layer_cannot_be_taken(made: Any) -> None:
    with pytest.raises(PieceError, match="Received: a GlobalAveragePooling2D"):
        roads.take_piece(_full(made), "features")


def test_controls_have_the_pieces_form_and_other_numbers(made: Any) -> None:
    numbers = {}
    for seed in SEEDS:
        control = pieces.rebuild_piece(made.piece, made.recipe)
        weights.load(control, pieces.control_weights(made.piece, seed))
        expected = roads.cut_piece(full_model.build_full_model(made.module.build, KWARGS, seed), "features")
        for one, other in zip(control.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        numbers[seed] = control(made.images[:3]).numpy()
    assert not np.allclose(numbers[11], numbers[12])
    assert not np.allclose(numbers[11], made.model(made.images[:3]).numpy())


def test_facts_hold_what_a_consumer_must_know(made: Any) -> None:
    facts = pieces.read_facts(made.piece)
    assert facts["input"] == {"shape": [None, 8, 8, 1], "dtype": "float32"}
    assert facts["output"] == {"shape": [None, 8], "dtype": "float32"}
    assert [r["variable"] for r in facts["regularizers"]] == ["conv2d/kernel", "conv2d_1/kernel"]
    assert facts["regularizers"][0]["regularizer"]["config"]["l2"] == pytest.approx(1e-3)
    assert [layer["momentum"] for layer in facts["batch_normalization"]] == [0.9, 0.9]
    assert facts["dropout"] == []
    assert facts["parameters"] == sum(int(np.prod(v.shape)) for v in made.model.weights)
    assert facts["optimizer"] == made.train_facts.optimizer
    assert facts["control_seeds"] == list(SEEDS)


def test_dropout_inside_the_piece_is_told(made: Any) -> None:
    full = _full(made)
    cut = roads.cut_piece(full, full.layers[-2].name)
    inside = pieces.piece_facts(roads.Found(cut, {"shape": [None, 8, 8, 1], "dtype": "float32"}))
    assert [layer["rate"] for layer in inside["dropout"]] == [0.3]


def test_equal_models_give_equal_piece_folders(made: Any, tmp_path: Path) -> None:
    builder = pieces.read_builder(made.piece)
    pieces.write_piece(
        made.full / "weights", builder, made.recipe, SEEDS, made.train_facts.optimizer, tmp_path / "piece"
    )
    assert list_files(tmp_path / "piece") == list_files(made.piece)
    assert json.loads((made.piece / "builder.json").read_text())["layers"] == ["features"]


def test_a_piece_that_cannot_be_written_leaves_nothing(made: Any, tmp_path: Path) -> None:
    builder = pieces.Builder("model.py", "build", {**KWARGS, "depth": 3}, 1, "cut", ["features"], "sha256:0")
    with pytest.raises(TrainingError, match="depth"):
        pieces.write_piece(made.full / "weights", builder, made.recipe, SEEDS, {}, tmp_path / "piece")
    assert list(tmp_path.iterdir()) == []
