"""Labels of a classification, held against the model before it is trained: what fits not is named by its value."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.examples.features import Features
from piecehub.examples.stream import Stream

_LABELS_AT_A_TIME = 10_000


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


def refuse_labels(stream: Stream, label: str, classes: int | None) -> None:
    """The same of all examples of a stream, of which nothing but the label is read where that is not decoded."""
    if label in stream.features.specs:
        only = Features({label: stream.features.specs[label]}, stream.features.may_be_missing)
        stream = replace(stream, features=only, decode=None)
    found = np.concatenate([batch[label] for batch in stream.as_arrays(_LABELS_AT_A_TIME)])
    refuse_no_classes(stream.split, found, classes)


def may_be_fractions(stream: Stream, label: str) -> bool:
    """Whether TensorFlow would make whole numbers of these labels without a word; what is too large it names itself."""
    spec = stream.element_spec.get(label)
    return spec is not None and spec.dtype not in (tf.int64, tf.int32, tf.uint8)
