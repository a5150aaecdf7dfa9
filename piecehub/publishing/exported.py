"""A saved Keras model as a Reusable SavedModel: what `piecehub export` does, in a process of its own.

There equal models give equal bytes, TensorFlow sees no GPU (on one, Keras bakes cuDNN's operations into recurrent
layers), and what the model's own code prints is nobody's result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.tensors.fresh import run_fresh
from piecehub.tensors.whole_folder import refuse_taken

if TYPE_CHECKING:
    from piecehub.exporting.export_facts import ExportFacts


def export_saved(
    model: Path,
    folder: Path,
    layers: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    *,
    inputs: Any = None,
    code: Path | None = None,
    trust: bool = False,
    as_preprocessor: bool = False,
) -> "tuple[ExportFacts, int]":
    """Exports the model that lies at `model`, whole or up to some layers.

    Args:
        model: a `.keras` or `.h5` file, or a SavedModel that Keras 2 saved.
        folder: where to; a new one, or an empty one.
        layers: the names of those whose outputs are the piece's; all of the model if empty.
        options: the fields of `ExportOptions`.
        inputs: specs of its inputs as JSON has them, where the model cannot tell them.
        code: a Python file with its own classes.
        trust: whether Python that it holds may run.
        as_preprocessor: whether it has no weights.

    Returns:
        what was exported, and the numbers in its variables.

    Raises:
        RecipeError: if there is no such model, or something lies in `folder`.
        PieceError: if it has no such layer.
        NotReusableError: if Keras cannot build it, or it cannot be exported.
    """
    from piecehub.exporting.export_facts import ExportFacts

    refuse_taken(folder)
    arguments = {
        "model": str(model),
        "folder": str(folder),
        "layers": list(layers),
        "options": dict(options or {}),
        "inputs": inputs,
        "code": str(code) if code else None,
        "trust": trust,
        "as_preprocessor": as_preprocessor,
    }
    found = run_fresh("piecehub.publishing.exported:export_here", arguments)
    return ExportFacts(**found["facts"]), found["parameters"]


def export_here(
    model: str,
    folder: str,
    layers: Sequence[str],
    options: Mapping[str, Any],
    inputs: Any,
    code: str | None,
    trust: bool,
    as_preprocessor: bool,
) -> dict[str, Any]:
    """The same in this process: what the fresh one runs."""
    from piecehub.conformance.described import interface
    from piecehub.exporting import reusable, saved_keras
    from piecehub.exporting.export_options import read_options
    from piecehub.training.building import tensor_specs

    whole = saved_keras.load_keras(Path(model), code=Path(code) if code else None, trust=trust)
    write = reusable.export_preprocessor if as_preprocessor else reusable.export
    specs = None if inputs is None else tensor_specs(inputs)
    facts = write(saved_keras.cut(whole, layers), folder, read_options(options), inputs=specs)
    found = interface(Path(folder))
    assert found is not None  # it was just exported
    return {"facts": asdict(facts), "parameters": found.parameters}
