"""A model through the Reusable SavedModel interface (tensorflow/hub, docs/reusable_saved_models.md).

Keras 3 has no exporter for it: what `model.export()` writes is not callable and has no `regularization_losses`, and
`hub.KerasLayer` rejects it. Here the root of the SavedModel is an object of our own:

    __call__(inputs, training=False)    traced for both values; the batch is undefined
    variables                           all state, in the order of `model.variables`: re-initialised controls are
                                        checkpoints in that order, and are assigned by position
    trainable_variables                 what a consumer may train
    regularization_losses               one function without arguments for each regularized trainable weight
    <sub-piece>                         callable, with the same attributes
    signatures: serving_default         the same numbers as obj(inputs, training=False)
    assets.extra/                       manifest, golden inputs and outputs (piecehub/facts/piece_manifest.py)

Keras 3 models and layers, tf_keras models, and low-level objects that implement the interface themselves are exported
alike (keras_models.py, tf_keras_models.py, low_level.py).
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, keras_models, low_level, randomness, reusable_root, saved_model, tf_keras_models
from piecehub.exporting.as_is import share_as_it_is
from piecehub.exporting.export_facts import ExportFacts, facts_of
from piecehub.exporting.export_options import GOLDEN, ExportOptions, read_options
from piecehub.exporting.export_record import golden_of, manifest_of
from piecehub.exporting.exportable import Exportable, require_trainable
from piecehub.exporting.frozen import frozen_layers
from piecehub.exporting.members import call_of
from piecehub.exporting.replicas import aggregated
from piecehub.exporting.vocabulary import neutral_names, staged_vocabularies
from piecehub.extraction import piece as pieces
from piecehub.extraction.roads import saved_model_in
from piecehub.facts import piece_manifest
from piecehub.tensors.fresh import run_fresh
from piecehub.tensors.whole_folder import refuse_taken, whole_folder
from piecehub.training import recipe_modules

__all__ = [
    "ExportFacts",
    "ExportOptions",
    "export",
    "export_in_fresh_process",
    "export_piece",
    "export_preprocessor",
]


def export(
    model: Any,
    folder: str | PathLike[str],
    options: ExportOptions | None = None,
    *,
    inputs: Any = None,
    golden_inputs: Any = None,
) -> ExportFacts:
    """Writes `model` to `folder` as a Reusable SavedModel; equal models give equal bytes in fresh processes.

    The model is as before afterwards, and the folder is there whole or not at all.

    Args:
        model: a Keras 3 model or built layer, a tf_keras model or built layer, or an object that implements the
            interface.
        folder: where to; it may exist if it is empty.
        options: of the export; the defaults if None.
        inputs: specs of its inputs (one, a list or a dict of `tf.TensorSpec` and the like), where it cannot tell them:
            subclassed models of anything but one float tensor, layers, objects that were never traced.
        golden_inputs: inputs to record with their outputs instead of synthetic ones; they are published.

    Raises:
        RecipeError: if something lies in `folder`.
        NotReusableError: if the model has no trainable weight, has frozen layers that the options do not provide for,
            is nested too deep, or computes something else once it is traced.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer="l2")])
        >>> facts = piecehub.export(model, "features")
        >>> facts.output, len(facts.trainable_variables), facts.regularization_losses
        ({'shape': [None, 3], 'dtype': 'float32'}, 2, 1)
    """
    return _export(model, Path(folder), options or ExportOptions(), inputs, golden_inputs, require_trainable)


def export_preprocessor(
    model: Any,
    folder: str | PathLike[str],
    options: ExportOptions | None = None,
    *,
    inputs: Any = None,
    golden_inputs: Any = None,
) -> ExportFacts:
    """Writes a model without weights, such as a tokenizer, whose outputs are a piece's inputs (see `export`).

    Raises:
        NotReusableError: as `export`, or if the model does have trainable weights.

    Example:
        >>> scale = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(1 / 255)])
        >>> piecehub.export_preprocessor(scale, "scale").trainable_variables
        []
    """
    return _export(model, Path(folder), options or ExportOptions(), inputs, golden_inputs, _require_weightless)


def export_in_fresh_process(
    piece_folder: Path,
    recipe_folder: Path,
    destination: Path,
    options: Mapping[str, Any] | ExportOptions | None = None,
    parent: Path | None = None,
) -> ExportFacts:
    """Exports the piece that lies in `piece_folder` (see `export`), in a process of its own, so bytes are equal.

    Args:
        piece_folder: as `piece.write_piece` wrote it.
        recipe_folder: the recipe that builds it.
        destination: where to.
        options: of the export, also as the JSON object that a pipeline passes on, whose `golden` may name a function of
            the recipe's module that gives golden inputs.
        parent: the SavedModel that the recipe starts from, if it starts from one.
    """
    places = {"piece_folder": piece_folder, "recipe_folder": recipe_folder, "destination": destination}
    arguments = {
        **{key: str(path.resolve()) for key, path in places.items()},
        "options": asdict(options) if isinstance(options, ExportOptions) else dict(options or {}),
        "parent": None if parent is None else str(parent.resolve()),
    }
    return ExportFacts(**run_fresh("piecehub.exporting.reusable:export_piece", arguments))


def export_piece(
    piece_folder: str, recipe_folder: str, destination: str, options: Mapping[str, Any], parent: str | None
) -> dict[str, Any]:
    """Rebuilds a piece and exports it: what the fresh process runs."""
    folder = Path(piece_folder)
    model = pieces.rebuild_piece(folder, Path(recipe_folder), Path(parent) if parent else None)
    if pieces.read_builder(folder).road == "as_is":
        return asdict(share_as_it_is(saved_model_in(model), Path(destination)))
    inputs = pieces.export_specs(model, folder)
    options, given = _golden_of_recipe(options, folder, Path(recipe_folder))
    return asdict(export(model, Path(destination), read_options(options), inputs=inputs, golden_inputs=given))


def _golden_of_recipe(options: Mapping[str, Any], folder: Path, recipe_folder: Path) -> tuple[Mapping[str, Any], Any]:
    """The options, and the golden inputs that a function of the recipe gives, if `golden` names one."""
    named = options.get("golden", "synthetic")
    if named in GOLDEN:
        return options, None
    module = recipe_modules.load_module(recipe_folder, pieces.read_builder(folder).file)
    return {**options, "golden": "synthetic"}, golden.as_given(recipe_modules.get_function(module, named)())


def _export(
    model: Any, folder: Path, options: ExportOptions, inputs: Any, golden_inputs: Any, require: Any
) -> ExportFacts:
    refuse_taken(folder)
    with _exportable(model, inputs, options) as exportable, aggregated([v.variable for v in exportable.variables]):
        exportable, traced = randomness.trace(require(exportable), options, golden_inputs)
        signature = reusable_root.serving(exportable, traced)
        recorded = golden_of(exportable, traced, options, golden_inputs)
        manifest = manifest_of(exportable, traced, options, golden_inputs is not None)
        with whole_folder(folder) as whole:
            with neutral_names(traced.root.resources):
                served = {"serving_default": signature} if signature else {}
                saved_model.save(traced.root, whole, {**served, **exportable.signatures})
            piece_manifest.write(manifest, whole)
            if recorded:
                golden.write(recorded, whole)
    return facts_of(manifest, folder)


@contextmanager
def _exportable(model: Any, inputs: Any, options: ExportOptions) -> Iterator[Exportable]:
    """What the exporter must know of a model, while its layers are prepared for being traced."""
    adapt = _keras_adapter(model)
    if adapt is not None:
        with frozen_layers(model, options.frozen), staged_vocabularies(list(model._flatten_layers())) as tables:
            yield adapt(model, inputs, options, tables)
    elif call_of(model) is not None:
        yield low_level.adapt(model, inputs, options)
    else:
        raise NotReusableError(
            "Expected a Keras model or layer, or a callable object with `variables`. Received: "
            f"{type(model).__name__}; give it a `__call__`."
        )


def _keras_adapter(model: Any) -> Any:
    """How to adapt a model of Keras 3 or tf_keras; None for any other object."""
    if isinstance(model, keras.layers.Layer):
        return keras_models.adapt
    tf_keras: Any = sys.modules.get("tf_keras")  # whose models exist only where it was imported
    return tf_keras_models.adapt if tf_keras and isinstance(model, tf_keras.layers.Layer) else None


def _require_weightless(exportable: Exportable) -> Exportable:
    if exportable.trainable:
        raise NotReusableError(
            f"Expected a preprocessor without trainable weights. Received: '{exportable.name}', which has "
            f"{len(exportable.trainable)}; export it as a piece."
        )
    return exportable
