"""Runs this recipe on little, to its verdict: `pytest test_recipe.py`. It takes a minute or two."""

from pathlib import Path

import piecehub

LITTLE = {
    "train.epochs": 1,
    "evaluation.steps": 5,
    "evaluation.learning_rates": [0.001],
    "evaluation.inverse_regularization": [1.0],
}


def test_the_recipe_runs_to_its_verdict(tmp_path: Path) -> None:
    """Whatever the verdict is: on so little it says nothing of the piece."""
    outcome = piecehub.run(Path(__file__).parent, settings=LITTLE, workdir=tmp_path)
    (piece,) = outcome.pieces
    assert piece.pushed or piece.why
