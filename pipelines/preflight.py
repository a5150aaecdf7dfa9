"""What a recipe gets wrong, found before any training: the model builds, each piece is in it, and its page holds."""

from pathlib import Path
from typing import Any

from piecehub.conformance.common_apis import Declared, apis_hold
from piecehub.conformance.described import of_specs
from piecehub.conformance.documentation_rules import page_conforms
from piecehub.documentation.page import draft
from piecehub.errors import NotReusableError, PieceError, RecipeError, TrainingError
from piecehub.examples.features import Features
from piecehub.examples.stream import Stream
from piecehub.exporting.frozen import frozen_layers
from piecehub.extraction.piece import Builder, piece_facts
from piecehub.facts.handle import Handle
from piecehub.store.catalog import Store
from piecehub.store.source import find_saved_model
from piecehub.tensors.specs import flat_tensors, is_fact
from piecehub.training.building import feature_specs, tensor_specs
from piecehub.training.decoding import decode_of
from piecehub.training.full_model import refuse_settings
from piecehub.training.own_code import OwnCode
from piecehub.training.recipe_modules import load_module
from pipelines.recipe.page_texts import person_of
from pipelines.recipe.tables import DownstreamTask, LoadedRecipe, Piece, Recipe


def check(loaded: LoadedRecipe, store_folder: Path | str) -> None:
    """Builds the full model once for each piece, and finds the piece in it; looks whether the store can be read.

    Raises:
        RecipeError: if the module, the function or a layer is missing, the function raises, layers are frozen that the
            recipe does not provide for, or the model page would not pass the validator.
        StoreError: if the store lacks the parent, or has it in quarantine.
        EnvironmentProblem: if the store cannot be reached.
    """
    store = Store.open(store_folder)
    if not loaded.config.model.parent:
        return _check_pieces(loaded, None)
    store.usable(Handle.parse(loaded.config.model.parent))
    with find_saved_model(loaded.config.model.parent, store_folder) as parent:
        return _check_pieces(loaded, parent.folder)


def _check_pieces(loaded: LoadedRecipe, parent: Path | None) -> None:
    config = loaded.config
    if config.data.upstream:
        _check_training(loaded)
    data = config.data
    examples = _decoded(loaded, data.schema, data.decode, data.label, "upstream")
    features = feature_specs(examples, data.label, config.train.sample_weight)
    for task in config.task:
        _refuse_slices(task, _decoded(loaded, task.schema, task.decode, task.label, task.name))
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
            with frozen_layers(found.model, piece.frozen):
                facts = piece_facts(found)
            _check_features(piece, facts["output"])
        except (NotReusableError, PieceError, TrainingError) as error:
            raise RecipeError(error.sentence) from error
        _check_page(config, piece, facts)


def _check_training(loaded: LoadedRecipe) -> None:
    """The functions that `[train]` names, and what Keras takes of it."""
    config = loaded.config
    try:
        refuse_settings(config.train, OwnCode.of(load_module(loaded.folder, config.model.module), config.train))
    except TrainingError as error:
        raise RecipeError(error.sentence) from error


def _decoded(loaded: LoadedRecipe, schema: str, decode: str, label: str, part: str) -> dict[str, Any]:
    """Specs of the decoded examples of a part, among which its label must be."""
    function = decode_of(loaded.folder, loaded.config.model.read_by(decode))
    found = Stream.specs_of(Features.of_schema(str(loaded.folder / schema)), function)
    if label and label not in found:
        what = f"'{decode}' to keep the label" if decode else "a schema with the label"
        raise RecipeError(
            f"Expected {what} '{label}' of the examples of '{part}'. Received: {', '.join(sorted(found))}; add it."
        )
    return found


def _refuse_slices(task: DownstreamTask, found: dict[str, Any]) -> None:
    if missing := [name for name in task.slices if name not in found]:
        raise RecipeError(
            f"Expected the feature '{missing[0]}' of 'task.slices' in the examples of '{task.name}'. Received: "
            f"{', '.join(sorted(found))}; mend the name, or the schema."
        )


def _check_page(config: Recipe, piece: Piece, facts: dict[str, Any]) -> None:
    """What `piecehub check` would refuse of the page, it refuses now: the validator's own rules, on what is known."""
    inputs, outputs = (tensor_specs(facts[key]) for key in ("input", "output"))
    trainable, hyperparameters = len(facts["trainable_variables"]), list[str](piece.hyperparameters)
    person = person_of(config, piece)
    page = draft(config.recipe.publisher, piece.name, person, facts["input"], facts["output"], hyperparameters)
    form = page_conforms(page, of_specs(flat_tensors(inputs), hyperparameters, trainable))
    api = apis_hold(Declared(page, inputs, lambda: outputs, trainable))
    for check, passed, sentence in (("X4", form.passed, form.sentence), ("D22", api.passed, api.sentence)):
        if passed is False:
            raise RecipeError(
                f"Expected a page of '{piece.name}' that `piecehub check` takes. Received: one that falls short of "
                f"{check}, by the recipe's texts and 'documentation.hub_tasks'. {sentence}"
            )


def _check_features(piece: Piece, outputs: Any) -> None:
    """Whether downstream models know which output to read."""
    names = sorted(outputs) if isinstance(outputs, dict) and not is_fact(outputs) else []
    if piece.features not in (names or [""]):
        raise RecipeError(
            f"Expected '{piece.name}' to say in 'piece.features' which output downstream models read: "
            f"{', '.join(names) or 'nothing, as there is one'}. Received: '{piece.features}'."
        )
