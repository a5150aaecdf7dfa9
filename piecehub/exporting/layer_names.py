"""Layers by name, in Keras 3 and tf_keras alike."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from piecehub.errors import NotReusableError
from piecehub.exporting.members import INTERFACE


def named_layers(layers: Sequence[Any], wanted: Mapping[str, str]) -> dict[str, Any]:
    """Attribute name -> layer, for attribute name -> layer's name.

    Raises:
        NotReusableError: if a name cannot be an attribute, or is not that of exactly one layer.
    """
    return {name: _layer(layers, _attribute(name), layer_name) for name, layer_name in wanted.items()}


def _attribute(name: str) -> str:
    same_in_source = unicodedata.normalize("NFKC", name) == name  # Python reads names so: `ﬁ` is `fi`
    if not name.isidentifier() or not same_in_source or name.startswith("_") or name in INTERFACE:
        raise NotReusableError(
            f"Expected the name of a sub-piece to be a free attribute. Received: '{name}'; use a word of your own."
        )
    return name


def _layer(layers: Sequence[Any], attribute: str, name: str) -> Any:
    found = {id(layer): layer for layer in layers if layer.name == name}
    if len(found) != 1:
        known = ", ".join(sorted({layer.name for layer in layers}))
        raise NotReusableError(
            f"Expected sub-piece '{attribute}' to name one layer of: {known}. Received: '{name}', which names "
            f"{len(found)}; name one."
        )
    return next(iter(found.values()))
