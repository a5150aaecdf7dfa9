"""What a recipe's code gets wrong, found before any training: the model builds, and every piece is in it."""

from pathlib import Path
from typing import Any

from piecehub.errors import PieceError, RecipeError, TrainingError
from piecehub.extraction.piece import Builder, piece_facts
from piecehub.facts.handle import Handle
from piecehub.store.catalog import Store
from piecehub.store.source import find_saved_model
from piecehub.tensors.specs import is_fact
from piecehub.training.building import feature_specs
from piecehub.training.examples import feature_spec_of
from piecehub.training.recipe_modules import get_function, load_module
from pipelines.recipe.tables import LoadedRecipe, Piece


def check(loaded: LoadedRecipe, store_folder: Path) -> None:
    """Builds the full model once for each piece, and finds the piece in it.

    Raises:
        RecipeError: if the module, the function or a layer is missing, or the function raises.
        StoreError: if the store lacks the parent, or has it in quarantine.
    """
    if not loaded.config.model.parent:
        return _check_pieces(loaded, None)
    Store.open(store_folder).usable(Handle.parse(loaded.config.model.parent))
    with find_saved_model(loaded.config.model.parent, store_folder) as parent:
        return _check_pieces(loaded, parent.folder)


def _check_pieces(loaded: LoadedRecipe, parent: Path | None) -> None:
    config = loaded.config
    for name in filter(None, (config.train.loss, config.train.accuracy)):
        get_function(load_module(loaded.folder, config.model.module), name)
    features = feature_specs(feature_spec_of(str(loaded.folder / config.data.schema)), config.data.label)
    for piece in config.piece:
        builder = Builder(
            file=config.model.module,
            function=config.model.function,
            kwargs=config.model.arguments,
            seed=config.train.seed,
            road=piece.road,
            layers=piece.layers,
            code_digest="",
            features=features,
        )
        try:
            found = builder.find(builder.build(loaded.folder, config.train.seed, parent))
            _check_features(piece, piece_facts(found)["output"])
        except (PieceError, TrainingError) as error:
            raise RecipeError(error.sentence) from error


def _check_features(piece: Piece, outputs: Any) -> None:
    """Whether downstream models know which output to read."""
    names = sorted(outputs) if isinstance(outputs, dict) and not is_fact(outputs) else []
    if piece.features not in (names or [""]):
        raise RecipeError(
            f"Expected '{piece.name}' to say in 'piece.features' which output downstream models read: "
            f"{', '.join(names) or 'nothing, as there is one'}. Received: '{piece.features}'."
        )
