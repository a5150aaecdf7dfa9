"""What is recorded of a piece beside it: the manifest, golden inputs and outputs (piecehub/facts/piece_manifest.py)."""

from typing import Any

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable_call, reusable_root
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable
from piecehub.exporting.replicas import unchanged
from piecehub.exporting.reusable_root import Traced
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.tensors import specs


def golden_of(exportable: Exportable, traced: Traced, options: ExportOptions, given: Any) -> golden.Golden | None:
    """Golden inputs and outputs of a traced piece; None if the options want none, or its inference is random.

    Raises:
        NotReusableError: if the traced piece computes something else than the model did.
    """
    if exportable.random or (given is None and options.golden == "none"):
        return None
    inputs = golden.synthetic(exportable.specs) if given is None else given
    # Seeds and states move in Keras even at inference.
    with unchanged([named.variable for named in traced.variables]):
        expected = _original_outputs(exportable, inputs)
    expected = reusable_call.standard_outputs(expected)
    found = golden.compute(lambda x: reusable_root.infer(exportable, traced, x), inputs, exportable.name)
    gap = golden.difference(expected, found)
    if gap > _tolerance(exportable):
        raise NotReusableError(
            f"Expected '{exportable.name}' to compute the same once it is traced. Received: outputs that differ by "
            f"{gap:.2g}; look for Python state or randomness in its layers."
        )
    return golden.Golden(inputs, found)


def _original_outputs(exportable: Exportable, inputs: Any) -> Any:
    try:
        return golden.compute(exportable.original, inputs, exportable.name)
    except NotReusableError as error:
        if exportable.batch is None:
            raise
        raise NotReusableError(
            f"Expected '{exportable.name}' to take any number of examples, as batches have. Received: a model for "
            f"{exportable.batch} at once; build its Input without a batch size, and reshape with -1."
        ) from error


def _tolerance(exportable: Exportable) -> float:
    return golden.HALF_PRECISION_TOLERANCE if exportable.facts.half_precision else golden.TOLERANCE


def manifest_of(exportable: Exportable, traced: Traced, options: ExportOptions, given: bool) -> PieceManifest:
    """The manifest of a traced piece; `given` says that its golden inputs were not drawn."""
    layers = exportable.facts
    recorded = "none" if exportable.random else "given" if given else options.golden
    lost = [loss for loss in layers.lost if not (options.return_losses and loss["what"] == "activity_regularizer")]
    masks = [{"what": "mask", "of": name, "is": "not passed on"} for name in sorted(exportable.masked)]
    return PieceManifest(
        made_with=exportable.made_with,
        input=specs.facts(exportable.specs),
        signature_inputs=_other_names(exportable.specs),
        output=specs.facts(traced.outputs),
        variables=[named.path for named in traced.variables],
        trainable_variables=[named.path for named in traced.trainable],
        regularizers=[{"variable": loss.path, "regularizer": dict(loss.config)} for loss in traced.weight_losses],
        hyperparameters=dict(exportable.hyperparameters),
        return_losses=options.return_losses,
        sub_pieces=dict(options.sub_pieces),
        supports_jit=layers.supports_jit,
        dropout=layers.dropout,
        batch_normalization=layers.batch_normalization,
        lost=[*lost, *masks],
        preprocessor=options.preprocessor,
        parent=options.parent,
        golden={"inputs": recorded, "tolerance": _tolerance(exportable)},
    )


def _other_names(inputs: Any) -> dict[str, str]:
    """The names of inputs in the serving signature, where they are not the keys."""
    names = specs.signature_names(inputs) if isinstance(inputs, dict) else {}
    return {key: name for key, name in names.items() if key != name}
