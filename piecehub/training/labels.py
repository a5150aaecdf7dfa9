"""Labels of a classification, held against the model before it is trained: what fits not is named by its value."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError


def refuse_no_classes(split: str, labels: NDArray[Any], classes: int | None) -> None:
    """Passes if every example has one label, a whole number from 0 to below `classes`.

    TensorFlow would make whole numbers of fractions, and of a number beyond the classes NaN where there is a GPU.

    Args:
        split: the name of the split, for the sentence.
        labels: as they were read, `[examples]` or `[examples, 1]`.
        classes: how many logits the model ends in; None where that is not known.

    Raises:
        DataError: naming the first label that is none, and in how many examples there are such.
    """
    expected = f"whole numbers from 0 {f'to {classes - 1}' if classes else 'on'} as labels of the split '{split}'"
    if labels.dtype.kind not in "biuf" or labels.size != len(labels):
        raise DataError(
            f"Expected {expected}, one an example. Received: {labels.dtype} of the shape {list(labels.shape)}; mend "
            "the data, or name a 'train.loss' that takes them."
        )
    values = labels.reshape(-1)
    with np.errstate(invalid="ignore"):
        wrong = (values < 0) | (values != np.floor(values)) | (values >= classes if classes else False)
    if wrong.any():
        raise DataError(
            f"Expected {expected}{f', as the model ends in {classes} logits' if classes else ''}. Received: "
            f"{values[wrong][0]}, and {int(wrong.sum())} such in {len(values)} examples; mend the data, or give the "
            "model a logit for each class."
        )
