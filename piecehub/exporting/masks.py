"""Masks that Keras hands from layer to layer beside the tensors: the interface has no place for one.

A consumer's layers therefore compute on padding too, unless the piece gives the mask as an output of its own
(docs/guides.md, G13).
"""

from typing import Any

from piecehub.exporting.reusable_call import named_outputs


def masked_outputs(outputs: Any) -> list[str]:
    """The names of a Keras 3 or tf_keras model's outputs that came with a mask."""
    named = named_outputs(outputs)
    return [str(name) for name, output in named.items() if getattr(output, "_keras_mask", None) is not None]
