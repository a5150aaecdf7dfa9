"""Where training starts: weights that somebody trained before (TensorFlow Hub, "Exporting a SavedModel": BERT's road).

A recipe's `[model] checkpoint` names one of four, by its path in the recipe's folder:

    name.weights.h5     as `keras.Model.save_weights` writes it
    name.keras          as `keras.Model.save` writes it, of which only the weights are read
    folder              the newest TensorFlow checkpoint in it
    folder/name         a TensorFlow checkpoint: name.index and name.data-*
"""

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import tensorflow as tf

from piecehub.errors import PieceError, RecipeError
from piecehub.facts.content import FileEntry, content_digest, sha256_file
from piecehub.facts.pointers import refuse_pointers
from piecehub.tensors.literal_path import checkpoint_files, literal_prefix

_KERAS = (".weights.h5", ".keras")


def restore_and_take_core(pretrainer: Any, core: Any, checkpoint: str | PathLike[str]) -> Any:
    """The core of a pretrainer, with the weights that the pretrainer's checkpoint holds for it.

    This is the road by which Model Garden exports BERT (`nlp/tools/export_tfhub_lib.py`): the checkpoint is of the
    whole pretrainer, and only its core is shared.

    Args:
        pretrainer: a Keras 3 or tf_keras model, or anything that `tf.train.Checkpoint(model=…)` restores, built.
        core: the part of it to share.
        checkpoint: see above.

    Raises:
        PieceError: if the checkpoint is missing, lacks weights of the core, or is of another model.

    Example:
        >>> core = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pretrainer = keras.Sequential([core, keras.layers.Dense(2)])
        >>> pretrainer.save_weights("trained.weights.h5")
        >>> piecehub.restore_and_take_core(pretrainer, core, "trained.weights.h5") is core
        True
    """
    restore(pretrainer, Path(checkpoint))
    return core


def restore(model: Any, checkpoint: Path) -> None:
    """Gives `model` the weights of a checkpoint; raises PieceError if one is missing or does not fit."""
    _refuse_pointers(checkpoint)
    try:
        if checkpoint.name.endswith(_KERAS):
            _load_keras_weights(model, checkpoint)
        else:
            # What else the checkpoint holds (an optimizer, a step) belongs to the training before.
            with literal_prefix(Path(_prefix(checkpoint))) as prefix:
                status = tf.train.Checkpoint(model=model).read(prefix)
                status.assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, OSError, UserWarning, ValueError) as error:
        raise PieceError(
            f"Expected weights of the model '{getattr(model, 'name', type(model).__name__)}' in {checkpoint}. "
            f"Received: {' '.join(str(error).split())[:300]}; name a checkpoint of that model."
        ) from error


def checkpoint_digest(folder: Path, checkpoint: str) -> str:
    """The content digest of the files of a recipe's checkpoint; empty if it names none.

    Raises:
        RecipeError: if the files are not there, or are pointers of Git LFS.
    """
    if not checkpoint:
        return ""
    path = folder / checkpoint
    _refuse_pointers(path)
    prefix = path if path.is_file() else Path(_prefix(path))
    files = [path] if path.is_file() else checkpoint_files(prefix)
    if not files:
        raise RecipeError(f"Expected a checkpoint in the recipe's folder. Received: '{checkpoint}', not found there.")
    return content_digest(FileEntry(f.name, f.stat().st_size, sha256_file(f)) for f in files)


def _refuse_pointers(checkpoint: Path) -> None:
    refuse_pointers([checkpoint, checkpoint / "checkpoint"], "a checkpoint")
    refuse_pointers(checkpoint_files(Path(_prefix(checkpoint))), "a checkpoint")


def _load_keras_weights(model: Any, file: Path) -> None:
    with warnings.catch_warnings():
        # Keras goes on with random weights where a part of the model has none in the file, and only warns.
        warnings.filterwarnings("error", message="Skipping", category=UserWarning)
        model.load_weights(str(file))


def _prefix(checkpoint: Path) -> str:
    # Not tf.train.latest_checkpoint, to which brackets in a path are a pattern.
    state: Any = tf.train.get_checkpoint_state(str(checkpoint)) if checkpoint.is_dir() else None
    newest = state.model_checkpoint_path if state else ""
    return newest if newest and checkpoint_files(Path(newest)) else str(checkpoint)
