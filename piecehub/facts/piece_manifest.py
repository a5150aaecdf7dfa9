"""The manifest of a piece: what the SavedModel format cannot say, for programs, inside the SavedModel itself.

    <SavedModel>/assets.extra/piecehub.json    this manifest
    <SavedModel>/assets.extra/golden.npz       inputs and the outputs that belong to them (piecehub/exporting/golden.py)

TensorFlow carries `assets.extra/` along and never reads it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from piecehub.errors import NotReusableError

SCHEMA = 1
FILE = "assets.extra/piecehub.json"
GOLDEN_FILE = "assets.extra/golden.npz"
RANDOM = "randomness at inference"  # a `what` of `lost`


@dataclass(frozen=True)
class PieceManifest:
    """What a consumer, the validator and the documentation must know of a piece.

    Attributes:
        made_with: `keras`, `tf_keras` or `low-level`.
        input: specs of the input in its structure (one, a list or a dict): `{"shape": [null, 8], "dtype": "float32"}`,
            with `ragged_rank` or `sparse` where it is so.
        signature_inputs: key of an input -> its name in the serving signature, where the key can be no such name; the
            file has it only then.
        output: the same for the output, with `training=False`.
        variables: their paths in the model, in the order of `obj.variables`.
        trainable_variables: the paths of `obj.trainable_variables`.
        regularizers: `{"variable": path, "regularizer": as Keras serializes it}`, one for each regularization loss.
        hyperparameters: optional scalars of `obj(inputs, …)`, with their defaults.
        return_losses: whether `obj(inputs, return_losses=True)` adds the losses of activities.
        sub_pieces: attribute -> name of the layer.
        supports_jit: whether all layers say that XLA can compile them; False if unknown.
        dropout: `{"layer", "rate"}` of each dropout layer.
        batch_normalization: `{"layer", "momentum"}` of each.
        lost: what the model had and the interface cannot carry, `{"what", "of", "is"}`.
        preprocessor: handle of the SavedModel that makes the inputs; empty if there is none.
        parent: `handle@digest` of the piece that this one was fine-tuned from, or one of the two; empty if there is
            none.
        golden: `{"inputs": "synthetic" | "given" | "none", "tolerance": largest accepted difference}`.
    """

    made_with: str
    input: Any
    output: Any
    variables: Sequence[str]
    trainable_variables: Sequence[str]
    regularizers: Sequence[Mapping[str, Any]] = ()
    hyperparameters: Mapping[str, float] = field(default_factory=dict[str, float])
    return_losses: bool = False
    sub_pieces: Mapping[str, str] = field(default_factory=dict[str, str])
    supports_jit: bool = False
    dropout: Sequence[Mapping[str, Any]] = ()
    batch_normalization: Sequence[Mapping[str, Any]] = ()
    lost: Sequence[Mapping[str, str]] = ()
    preprocessor: str = ""
    parent: str = ""
    golden: Mapping[str, Any] = field(default_factory=dict[str, Any])
    signature_inputs: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def random(self) -> bool:
        """Whether inference draws random numbers."""
        return any(item.get("what") == RANDOM for item in self.lost)


def write(manifest: PieceManifest, saved_model: Path) -> None:
    """Writes the manifest into a SavedModel's folder; equal manifests give equal bytes."""
    path = saved_model / FILE
    path.parent.mkdir(exist_ok=True)
    values = {"schema": SCHEMA, **asdict(manifest)}
    if not manifest.signature_inputs:  # as it was before there were any: equal models go on to give equal bytes
        values.pop("signature_inputs")
    text = json.dumps(values, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def read(saved_model: Path) -> PieceManifest | None:
    """The manifest of a SavedModel's folder; None if it has none. Keys of later schemas are passed over.

    Raises:
        NotReusableError: if it is no manifest.
    """
    path = saved_model / FILE
    if not path.is_file():
        return None
    known = [option.name for option in fields(PieceManifest)]
    try:
        values = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
        return PieceManifest(**{key: value for key, value in values.items() if key in known})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotReusableError(f"Expected a manifest in {FILE}. Received: {error}; export the piece again.") from error
