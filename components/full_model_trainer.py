"""Examples -> FullModel."""

from pathlib import Path

from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ModelRun, Schema

from components.artifacts import FullModel, ParentPiece, parent_folder
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Train, component
from piecehub.examples.anomalies import refuse_anomalies
from piecehub.examples.features import Features
from piecehub.examples.ingest import read_facts
from piecehub.examples.stream import Stream
from piecehub.extraction.piece import parent_keyword
from piecehub.facts.content import sha256_file
from piecehub.facts.provenance import artifact_digest
from piecehub.facts.tables import ModelTable, TrainTable
from piecehub.training import full_model as training
from piecehub.training.decoding import decode_of
from piecehub.training.devices import find_devices
from piecehub.training.own_code import OwnCode
from piecehub.training.recipe_modules import get_function, load_module
from piecehub.training.resume import Checkpoints, place_of


@component(Train)
def FullModelTrainer(
    schema: InputArtifact[Schema],
    full_model: OutputArtifact[FullModel],
    training_logs: OutputArtifact[ModelRun],
    recipe_folder: Parameter[str],
    resume_folder: Parameter[str],
    model: Parameter[str],
    train: Parameter[str],
    label: Parameter[str],
    checkpoint: Parameter[str],
    checkpoint_digest: Parameter[str],
    devices: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
    examples: OptionalInput[Examples] = None,
    anomalies: OptionalInput[ExampleAnomalies] = None,
    parent: OptionalInput[ParentPiece] = None,
) -> None:
    """Trains the full model that the recipe builds; refuses examples with anomalies.

    Without examples it keeps the weights that the model comes with. `model` and `train` are tables of the recipe as
    JSON (piecehub/facts/tables.py). A training that was killed goes on by its checkpoint in `resume_folder`; if that is
    empty, it begins anew. `devices` are told by the runner (piecehub/training/devices.py).
    """
    found = find_devices(devices)
    built, told = ModelTable.from_json(model), TrainTable.from_json(train)
    module = load_module(Path(recipe_folder), built.module)
    features = Features.of_schema(f"{schema.uri}/schema.pbtxt")
    decode = decode_of(Path(recipe_folder), built)
    parent_piece = parent_folder(parent)
    build, arguments = get_function(module, built.function), {**built.arguments, **parent_keyword(parent_piece)}
    start = Path(recipe_folder) / checkpoint if checkpoint else None
    if examples is None or anomalies is None:
        specs = Stream.specs_of(features, decode)
        facts = training.keep(build, arguments, specs, label, told, Path(full_model.uri), start)
        Path(training_logs.uri).mkdir(parents=True, exist_ok=True)
        full_model.set_int_custom_property("parameters", facts.parameters)
        return
    refuse_anomalies(Path(anomalies.uri))
    train_stream, eval_stream = (Stream.open(examples.uri, split, features, decode) for split in ("train", "eval"))
    depends_on = {
        "model": model,
        "train": train,
        "label": label,
        "checkpoint": checkpoint_digest,
        "devices": found.facts(),
        "code": code_digest,
        "lock": lock_digest,
        "schema": sha256_file(Path(schema.uri) / "schema.pbtxt"),
        "splits": {split: facts.digest for split, facts in read_facts(examples.uri).items()},
        "parent": artifact_digest(parent_piece) if parent_piece else "",
    }
    facts = training.train(
        build,
        arguments,
        train_stream,
        eval_stream,
        label,
        told,
        Path(training_logs.uri),
        Path(full_model.uri),
        OwnCode.of(module, told),
        Checkpoints(place_of(resume_folder, depends_on)) if resume_folder else None,
        found,
        start,
    )
    full_model.set_float_custom_property("eval_accuracy", facts.evaluation["accuracy"])
    full_model.set_int_custom_property("parameters", facts.parameters)
