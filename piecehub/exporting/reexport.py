"""A loaded and fine-tuned piece, saved again so that it can be used in place of the original.

`tf.saved_model.save(obj, folder)` alone drops the signatures, and with them serving, and `assets.extra/`. What is
hard-coded stays (TensorFlow Hub, "SavedModels from TF Hub in TensorFlow 2", fine-tuning): assets are equal byte for
byte.
"""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, low_level, saved_model
from piecehub.exporting.as_is import described
from piecehub.exporting.export_facts import ExportFacts, facts_of
from piecehub.exporting.export_options import ExportOptions
from piecehub.facts import piece_manifest
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.tensors.whole_folder import whole_folder


def reexport(
    obj: Any,
    folder: str | PathLike[str],
    options: ExportOptions | None = None,
    *,
    source: str | PathLike[str] | None = None,
) -> ExportFacts:
    """Writes a loaded Reusable SavedModel, with the values that its variables have now, to `folder`.

    Args:
        obj: what `hub.load` or `tf.saved_model.load` returned; not the layer around it.
        folder: where to; it may exist if it is empty.
        options: `golden`, `preprocessor` and `parent`; everything else was settled by the first export.
        source: the handle or folder that `obj` was loaded from: its manifest is carried over, golden outputs are
            computed again for its golden inputs, and it is the parent if the options name none.

    Raises:
        NotReusableError: if `obj` is not callable, the options ask for more, or an asset has changed since `obj` was
            loaded.

    Example:
        >>> layer = piecehub.ReusableLayer("my_piece", trainable=True)
        >>> piecehub.reexport(layer.resolved_object, "my_piece_2", source="my_piece").regularization_losses
        1
    """
    options = options or ExportOptions()
    low_level.require_plain(options)
    if not _is_loaded(obj):
        raise NotReusableError(
            f"Expected a loaded SavedModel that is callable. Received: {type(obj).__name__}; pass what hub.load "
            "returned."
        )
    origin = None if source is None else _resolve(source)
    recorded = _golden(obj, origin, options)
    manifest = _manifest(obj, origin, recorded, _with_parent(options, source, origin))
    with whole_folder(Path(folder)) as whole:
        saved_model.save(obj, whole, obj.signatures)
        if origin is not None:
            _require_equal_assets(origin, whole)
        piece_manifest.write(manifest, whole)
        if recorded is not None:
            golden.write(recorded, whole)
    return facts_of(manifest, Path(folder))


def _is_loaded(obj: Any) -> bool:
    return callable(obj) and hasattr(obj, "signatures")


def _resolve(source: str | PathLike[str]) -> Path:
    from piecehub.consume.loading import resolve  # the hub client, which an export alone does not need

    return Path(resolve(source))


def _with_parent(options: ExportOptions, source: str | PathLike[str] | None, origin: Path | None) -> ExportOptions:
    """The parent is what `obj` was loaded from: `handle@digest`, or the digest of a folder."""
    if options.parent or source is None or origin is None:
        return options
    digest = content_digest(list_files(origin))
    return replace(options, parent=digest if Path(source).is_dir() else f"{source}@{digest}")


def _golden(obj: Any, origin: Path | None, options: ExportOptions) -> golden.Golden | None:
    if options.golden == "none":
        return None
    before = piece_manifest.read(origin) if origin else None
    if before and before.random:
        return None
    recorded = golden.read(origin, before) if origin and before else None
    inputs = (
        recorded.inputs if recorded else golden.synthetic(low_level.traced_specs("the loaded object", obj.__call__))
    )
    return golden.Golden(inputs, golden.compute(obj, inputs, "the loaded object"))


def _manifest(obj: Any, origin: Path | None, recorded: golden.Golden | None, options: ExportOptions) -> PieceManifest:
    before = piece_manifest.read(origin) if origin else None
    manifest = before or described(obj)
    inputs = dict(manifest.golden).get("inputs", "synthetic") if recorded else "none"
    return replace(
        manifest,
        preprocessor=options.preprocessor or manifest.preprocessor,
        parent=options.parent or manifest.parent,
        golden={"tolerance": golden.TOLERANCE, **manifest.golden, "inputs": inputs},
    )


def _require_equal_assets(origin: Path, folder: Path) -> None:
    before, after = (
        {file.path: file.sha256 for file in list_files(where) if file.path.startswith("assets/")}
        for where in (origin, folder)
    )
    if before != after:
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        raise NotReusableError(
            f"Expected the assets of the original, byte for byte. Received: others ({', '.join(changed)}); load the "
            "original again and fine-tune that."
        )
