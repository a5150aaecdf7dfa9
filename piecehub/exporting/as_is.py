"""A SavedModel that is shared as it is: the same files, where they have a manifest; else saved again, with one."""

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from piecehub.exporting import golden, low_level, saved_model
from piecehub.exporting.export_facts import ExportFacts, facts_of
from piecehub.exporting.export_options import ExportOptions
from piecehub.facts import piece_manifest
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.tensors import specs
from piecehub.tensors.whole_folder import refuse_taken, whole_folder


def share_as_it_is(source: Path, folder: Path) -> ExportFacts:
    """Writes the SavedModel of `source` to `folder`, where nothing may lie.

    Raises:
        NotReusableError: if it has no manifest, and cannot be called.
    """
    refuse_taken(folder)
    manifest = piece_manifest.read(source)
    with whole_folder(folder) as whole:
        if manifest:
            shutil.copytree(source, whole, dirs_exist_ok=True)
        else:
            manifest = _with_manifest(tf.saved_model.load(str(source)), whole)
    return facts_of(manifest, folder)


def _with_manifest(obj: Any, folder: Path) -> PieceManifest:
    inputs = golden.synthetic(low_level.traced_specs("the loaded object", obj.__call__))
    manifest = described(obj)
    saved_model.save(obj, folder, obj.signatures)
    piece_manifest.write(manifest, folder)
    golden.write(golden.Golden(inputs, golden.compute(obj, inputs, "the loaded object")), folder)
    return manifest


def described(obj: Any) -> PieceManifest:
    """What a loaded object without a manifest tells of itself."""
    exportable = low_level.adapt(obj, None, ExportOptions())
    first = obj.__call__.concrete_functions[0]
    return PieceManifest(
        made_with="low-level",
        input=specs.facts(exportable.specs),
        output=specs.facts(specs.of_tensors(first.structured_outputs)),
        variables=[named.path for named in exportable.variables],
        trainable_variables=[named.path for named in exportable.trainable],
        regularizers=[{"variable": "", "regularizer": {}} for _ in exportable.weight_losses],
        golden={"tolerance": golden.TOLERANCE},
    )
