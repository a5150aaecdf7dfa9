"""What a recipe's code gets wrong, found before any training: the model builds, and the piece's layer is in it."""

from piecehub.errors import PieceError, RecipeError, TrainingError
from piecehub.modeling.full_model import build_full_model
from piecehub.modeling.piece import piece_of
from piecehub.modeling.recipe_modules import get_function, load_module
from pipelines.config import LoadedRecipe


def check(loaded: LoadedRecipe) -> None:
    """Builds the full model once and finds the piece in it.

    Raises:
        RecipeError: if the module, the function or the layer is missing, or the function raises.
    """
    model, piece = loaded.config.model, loaded.config.piece
    build = get_function(load_module(loaded.folder, model.module), model.function)
    try:
        piece_of(build_full_model(build, model.arguments, loaded.config.train.seed), piece.road, piece.layer)
    except (PieceError, TrainingError) as error:
        raise RecipeError(error.sentence) from error
