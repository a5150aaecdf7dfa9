"""How to export a piece: plain JSON values, since a pipeline passes them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from piecehub.errors import NotReusableError

HYPERPARAMETERS = ("dropout_rate", "batch_norm_momentum")
GOLDEN = ("synthetic", "none")
_CHOICES = {"frozen": ("refuse", "unfreeze", "keep"), "golden": GOLDEN}


@dataclass(frozen=True)
class ExportOptions:
    """How to export a piece.

    Attributes:
        trainable: patterns (fnmatch) over the paths of variables: the subset that consumers are advised to train
            (`obj.trainable_variables` may hold fewer than were trained); none means all trainable weights.
        frozen: what to do if a layer with weights has `trainable = False`. A frozen layer would be traced in inference
            mode for ever: `refuse` it, `unfreeze` it for the export, or `keep` it so.
        hyperparameters: of `dropout_rate` and `batch_norm_momentum`: consumers may pass them as float32 scalars; the
            default is the model's own.
        return_losses: adds the Python flag `return_losses=False`; where True, the outputs are a dict with one more key
            `losses`: the scalar sum of activity regularizers and `add_loss`, which the interface cannot express.
        sub_pieces: attribute name -> name of the layer that it exports, one level deep.
        golden: `synthetic` inputs with a fixed seed, and their outputs, lie in `assets.extra/`; or `none`.
        preprocessor: handle of the companion SavedModel that makes this piece's inputs.
        parent: handle or digest of the piece that this one was fine-tuned from.

    Raises:
        NotReusableError: if a value is none of its choices.

    Example:
        >>> piecehub.ExportOptions(hyperparameters=("dropout_rate",), parent="acme/features/1").golden
        'synthetic'
    """

    trainable: tuple[str, ...] = ()
    frozen: Literal["refuse", "unfreeze", "keep"] = "refuse"
    hyperparameters: tuple[str, ...] = ()
    return_losses: bool = False
    sub_pieces: Mapping[str, str] = field(default_factory=dict)
    golden: Literal["synthetic", "none"] = "synthetic"
    preprocessor: str = ""
    parent: str = ""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise NotReusableError(
                    f"Expected '{name}' to be one of {', '.join(choices)}. Received: {getattr(self, name)!r}."
                )
        if unknown := [name for name in self.hyperparameters if name not in HYPERPARAMETERS]:
            raise NotReusableError(
                f"Expected hyperparameters out of {', '.join(HYPERPARAMETERS)}. Received: {', '.join(unknown)}; "
                "leave the others out."
            )


def read_options(values: Mapping[str, Any]) -> ExportOptions:
    """The options that a JSON object names; lists become tuples.

    Raises:
        NotReusableError: if a key is unknown, a list is none, or a value is none of its choices.
    """
    known = [option.name for option in fields(ExportOptions)]
    if unknown := sorted(set(values) - set(known)):
        raise NotReusableError(
            f"Expected export options out of {', '.join(known)}. Received: {', '.join(unknown)}; leave them out."
        )
    if words := [key for key in ("trainable", "hyperparameters") if isinstance(values.get(key), str)]:
        raise NotReusableError(f"Expected '{words[0]}' to be a list. Received: a string; put it into brackets.")
    options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return ExportOptions(**options)
