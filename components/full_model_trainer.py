"""Examples -> FullModel."""

import json
from pathlib import Path

from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ModelRun, Schema

from components.artifacts import FullModel, ParentPiece
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Train, component
from components.parent_resolver import parent_folder
from piecehub.extraction.piece import parent_keyword
from piecehub.training import full_model as training
from piecehub.training.anomalies import refuse_anomalies
from piecehub.training.building import feature_specs, ready_to_train
from piecehub.training.examples import feature_spec_of, read_split
from piecehub.training.recipe_modules import get_function, load_module


@component(Train)
def FullModelTrainer(
    examples: InputArtifact[Examples],
    schema: InputArtifact[Schema],
    anomalies: InputArtifact[ExampleAnomalies],
    full_model: OutputArtifact[FullModel],
    training_logs: OutputArtifact[ModelRun],
    recipe_folder: Parameter[str],
    model_file: Parameter[str],
    model_function: Parameter[str],
    model_arguments: Parameter[str],
    label: Parameter[str],
    loss: Parameter[str],
    accuracy: Parameter[str],
    epochs: Parameter[int],
    batch_size: Parameter[int],
    learning_rate: Parameter[float],
    optimizer: Parameter[str],
    checkpoint: Parameter[str],
    checkpoint_digest: Parameter[str],
    seed: Parameter[int],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
    parent: OptionalInput[ParentPiece] = None,
) -> None:
    """Trains the full model that the recipe builds; refuses examples with anomalies."""
    refuse_anomalies(Path(anomalies.uri))
    spec = feature_spec_of(f"{schema.uri}/schema.pbtxt")
    module = load_module(Path(recipe_folder), model_file)
    build = get_function(module, model_function)
    start = Path(recipe_folder) / checkpoint if checkpoint else None
    facts = training.train(
        ready_to_train(build, feature_specs(spec, label), start),
        {**json.loads(model_arguments), **parent_keyword(parent_folder(parent))},
        read_split(examples.uri, "train", spec),
        read_split(examples.uri, "eval", spec),
        label,
        training.TrainSettings(epochs, batch_size, learning_rate, seed, optimizer),
        Path(training_logs.uri),
        Path(full_model.uri),
        training.Objective(get_function(module, loss), get_function(module, accuracy)) if loss else None,
    )
    full_model.set_float_custom_property("eval_accuracy", facts.evaluation["accuracy"])
    full_model.set_int_custom_property("parameters", facts.parameters)
