"""What the types of a recipe's tables do not say: names, labels, pieces and tasks that fit together."""

import json
from collections.abc import Sequence

from piecehub.errors import RecipeError
from piecehub.facts.handle import Handle, check_name, check_publisher
from piecehub.facts.tables import MOST_BYTES, ModelTable, TrainTable
from pipelines.recipe.tables import Piece, Recipe
from pipelines.recipe.training_checks import check_training
from pipelines.recipe.words import camel_case


def checked(recipe: Recipe) -> Recipe:
    """The recipe, if it holds together.

    Raises:
        RecipeError: naming the first thing that does not.
    """
    check_publisher(recipe.recipe.publisher)
    check_name(recipe.recipe.name)
    if bool(recipe.data.module) == bool(recipe.data.folder):
        raise RecipeError("Expected either 'data.module' or 'data.folder' in the recipe. Received: both or none.")
    if recipe.train.seed in recipe.seeds():
        raise RecipeError(
            "Expected a 'train.seed' that is no seed of the evaluation, or a control starts from the weights that the "
            f"piece started from. Received: {recipe.train.seed}; choose another."
        )
    _check_different("tasks", [task.name for task in recipe.task])
    _check_labels(recipe)
    if not recipe.data.upstream and recipe.train.epochs:
        raise RecipeError(
            "Expected 0 'train.epochs' without upstream examples ('data.upstream'). Received: "
            f"{recipe.train.epochs}; there is nothing to train on."
        )
    check_training(recipe.train, recipe.data.label)
    _check_pieces(recipe)
    _check_tasks_of_pieces(recipe)
    for table in (recipe.data.arguments, *(piece.sub_pieces for piece in recipe.piece)):
        if len(json.dumps(table)) > MOST_BYTES:
            raise RecipeError(f"Expected arguments under {MOST_BYTES} bytes. Received: more; read them from a file.")
    ModelTable.of(recipe.model).to_json()
    TrainTable.of(recipe.train).to_json()
    if recipe.model.parent:
        Handle.parse(recipe.model.parent)
    return recipe


def _check_different(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise RecipeError(f"Expected {what} of different names in the recipe. Received: {', '.join(names)}.")


def _check_labels(recipe: Recipe) -> None:
    if bool(recipe.train.loss) != bool(recipe.train.accuracy):
        raise RecipeError("Expected both 'train.loss' and 'train.accuracy' in the recipe, or none. Received: one.")
    if not recipe.data.label and not recipe.train.loss:
        raise RecipeError(
            "Expected the entry 'data.label' in the recipe, or a 'train.loss' that needs none. Received: neither."
        )
    for task in recipe.task:
        if not task.label:
            raise RecipeError(f"Expected a label for the task '{task.name}' in the recipe. Received: none; add it.")


def _check_pieces(recipe: Recipe) -> None:
    for piece in recipe.piece:
        if not piece.name:
            raise RecipeError(
                "Expected a name for each of several pieces in the recipe. Received: one without; add it."
            )
        check_name(piece.name)
        _check_layer(piece)
    if len({camel_case(piece.name) for piece in recipe.piece}) < len(recipe.piece):
        names = ", ".join(piece.name for piece in recipe.piece)
        raise RecipeError(f"Expected pieces whose names differ in letters or digits. Received: {names}; rename one.")


def _check_layer(piece: Piece) -> None:
    wanted = {"cut": "one layer or several", "take": "one layer"}.get(piece.road, "none")
    if piece.road in ("cut", "take") and not piece.layers:
        raise RecipeError("Expected the entry 'piece.layer' in the recipe. Received: none; add it.")
    if len(piece.layers) > {"cut": len(piece.layers), "take": 1}.get(piece.road, 0):
        raise RecipeError(
            f"Expected {wanted} in 'piece.layer' for the road '{piece.road}'. Received: {', '.join(piece.layers)}."
        )


def _check_tasks_of_pieces(recipe: Recipe) -> None:
    names = [piece.name for piece in recipe.piece]
    unknown = [name for task in recipe.task for name in task.pieces if name not in names]
    if unknown:
        raise RecipeError(f"Expected pieces of the recipe ({', '.join(names)}) in a task. Received: '{unknown[0]}'.")
    for piece in recipe.piece:
        judging = [task for task in recipe.tasks_of(piece) if task.role == "gate"]
        if not judging:
            raise RecipeError(f"Expected a task that judges the piece '{piece.name}'. Received: none; add one.")
        if recipe.gate.min_tasks > len(judging):
            raise RecipeError(
                f"Expected 'gate.min_tasks' of at most {len(judging)}, as many as judge the piece '{piece.name}'. "
                f"Received: {recipe.gate.min_tasks}."
            )
