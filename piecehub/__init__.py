"""Publishing reusable pieces of trained TensorFlow models: the work itself, without TFX."""

from os import PathLike
from typing import Any


def load(handle: "str | PathLike[str]") -> Any:
    """The object behind a handle (URL or path), as `tensorflow_hub.load` gives it; needs `piecehub[tf]`.

    Raises:
        piecehub.errors.StoreError: if nothing can be loaded from there.
    """
    from piecehub.modeling import loading  # TensorFlow takes ten seconds: `import piecehub` stays light

    return loading.load(handle)
