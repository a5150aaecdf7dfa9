"""D22: the common SavedModel API that a model page declares by its task (tensorflow/hub, docs/common_saved_model_apis).

    image-feature-vector               float32 [batch, height, width, 3] in [0, 1] → float32 [batch, num_features], as
                                       many for images of any size
    image-classification[-logits]      the same → float32 [batch, num_classes], and the page says which classes
    text-embedding                     string [batch] → float32 [batch, dim], or
                                       a dict of numbers → a dict with 'default', float32 [batch, dim]
    text-preprocessing                 string [batch] → a dict of numbers; nothing to train, and nothing that `training`
                                       changes

An encoder's page names its preprocessor; its `sequence_output` is float32 [batch, length, width], as long as its
inputs, its `pooled_output` float32 [batch, width]. A preprocessor for Transformers has `tokenize`, which gives int32
ragged [batch, …], and `bert_pack_inputs`. Other tasks have no common API.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.inputs import OPEN_SIZES, draw
from piecehub.conformance.loaded import STRANGERS, Loaded, flat
from piecehub.conformance.page import parse
from piecehub.conformance.passes import answers
from piecehub.conformance.verdict import Verdict, held, nothing, short

_ENCODER = {"default": 2, "pooled_output": 2, "sequence_output": 3}
_STEPS = ("tokenize", "bert_pack_inputs")
_CLASSES = re.compile(r"\b(class(es)?|labels?|categor(y|ies))\b", re.IGNORECASE)
_PREPROCESSOR = re.compile(r"preprocess", re.IGNORECASE)
_RANGE = re.compile(r"\[0(\.0)?, ?1(\.0)?\]")


@dataclass(frozen=True)
class Declared:
    """What a common API is about: a page, and the model that it describes.

    Attributes:
        documentation: the text of the page.
        inputs: specs of the inputs, in their structure.
        outputs: gives the outputs, as tensors or as their specs.
        trainable_variables: how many there are.
        loaded: the model itself, for what only calling it shows; None if it is not exported yet.
    """

    documentation: str
    inputs: Any
    outputs: Callable[[], Any]
    trainable_variables: int
    loaded: Loaded | None = None


def declared_apis_hold(loaded: Loaded) -> Verdict:
    """D22: inputs and outputs are those of every common API that the model page declares."""
    documentation = loaded.documentation
    if not documentation or not _tasks(documentation):
        return nothing("No common API is declared.")
    outputs = functools.partial(_outputs, loaded)
    trainable = len(loaded.trainable_variables)
    return apis_hold(Declared(documentation, loaded.traces[0].inputs, outputs, trainable, loaded))


def apis_hold(model: Declared) -> Verdict:
    """The same of a model that need not be exported yet."""
    declared = _tasks(model.documentation)
    if not declared:
        return nothing("No common API is declared.")
    for task in declared:
        if fault := _APIS[task](model):
            return fault
    return held(f"Inputs and outputs are those of {', '.join(declared)}.")


def _tasks(documentation: str) -> list[str]:
    return [task for task in parse(documentation).metadata.get("task", []) if task in _APIS]


def _outputs(loaded: Loaded) -> Any:
    return loaded.once(answers)


def _image(model: Declared) -> Verdict | None:
    spec = model.inputs
    if not _is_tensor(spec, tf.float32, 4) or spec.shape[3] != 3:
        return short("images as float32 [batch, height, width, 3]", _described(spec), "or declare another task")
    if not _RANGE.search(model.documentation):
        return short("a page that says that images are in [0, 1]", "nothing about it", "say it")
    outputs = model.outputs()
    if not _is_tensor(outputs, tf.float32, 2):
        return short("one output, float32 [batch, width]", _described(outputs), "give the feature vector alone")
    widths = _widths(model.loaded) if model.loaded else {}
    if len(set(widths.values())) > 1:
        told = " and ".join(f"{width} for {size} pixels" for size, width in widths.items())
        return short("as many features for images of any size", told, "pool over height and width")
    return None


def _widths(loaded: Loaded) -> dict[int, int]:
    """The number of features by the size of the images, for two sizes where it is open; what is refused is left out."""
    widths: dict[int, int] = {}
    for size in (loaded.open_size, *OPEN_SIZES) if None in loaded.traces[0].inputs.shape[1:3] else ():
        with contextlib.suppress(*STRANGERS):
            widths[size] = int(loaded.obj(draw(loaded.traces[0].inputs, 1, size)).shape[1])
        if len(widths) == 2:
            break
    return widths


def _classification(model: Declared) -> Verdict | None:
    if not _CLASSES.search(parse(model.documentation).text):
        return short("a page that says what the classes are", "nothing about them", "list them in the order of outputs")
    return _image(model)


def _text_embedding(model: Declared) -> Verdict | None:
    specs = model.inputs
    outputs = model.outputs()
    if isinstance(specs, Mapping):
        return _encoder(model, specs, outputs)
    if not _is_tensor(specs, tf.string, 1):
        return short("texts as string [batch], or a dict of numbers", _described(specs), "take such texts")
    if not _is_tensor(outputs, tf.float32, 2):
        return short("one output, float32 [batch, dim]", _described(outputs), "give the embedding alone")
    return None


def _encoder(model: Declared, specs: Mapping[str, Any], outputs: Any) -> Verdict | None:
    if not _PREPROCESSOR.search(model.documentation):
        return short("a page that names the encoder's preprocessor", "nothing about it", "say which one it is for")
    if strange := [name for name, spec in specs.items() if not _is_number(spec)]:
        return short("a dict of numbers as inputs", f"'{strange[0]}' that holds none", "preprocess in another model")
    if not isinstance(outputs, Mapping) or "default" not in outputs:
        return short("a dict of outputs with the key 'default'", _described(outputs), "name the embedding so")
    for key, rank in _ENCODER.items():
        if key in outputs and not _is_tensor(outputs[key], tf.float32, rank):
            return short(f"'{key}' as float32 of rank {rank}", _described(outputs[key]), "give it that form")
    return _as_long_as_its_inputs(model.loaded, outputs) if model.loaded and "sequence_output" in outputs else None


def _as_long_as_its_inputs(loaded: Loaded, outputs: Mapping[str, Any]) -> Verdict | None:
    lengths = {tensor.shape[1] for tensor in loaded.draw(loaded.examples).values() if tensor.shape.rank == 2}
    if lengths and outputs["sequence_output"].shape[1] not in lengths:
        received = _described(outputs["sequence_output"])
        return short("'sequence_output' as long as the inputs", received, "give [batch, length, width]")
    return None


def _text_preprocessing(model: Declared) -> Verdict | None:
    spec = model.inputs
    if not _is_tensor(spec, tf.string, 1):
        return short("texts as string [batch]", _described(spec), "take such texts")
    outputs = model.outputs()
    if not isinstance(outputs, Mapping) or not all(_is_number(tensor) for tensor in outputs.values()):
        return short("a dict of numbers", _described(outputs), "name each output")
    if model.trainable_variables:
        return short("a preprocessor without trainable variables", str(model.trainable_variables), "move them")
    return _untouched_by_training(model.loaded, outputs) if model.loaded else None


def _untouched_by_training(loaded: Loaded, outputs: Mapping[str, Any]) -> Verdict | None:
    inputs = loaded.draw(loaded.examples)
    at_inference, in_training = flat(loaded.obj(inputs)), flat(loaded.train(inputs))
    if not all(np.array_equal(at_inference[name], in_training[name]) for name in at_inference):
        return short("a preprocessor on which 'training' has no effect", "other outputs in training", "leave it out")
    return _for_transformers(loaded, inputs) if "input_word_ids" in outputs else None


def _for_transformers(loaded: Loaded, texts: Any) -> Verdict | None:
    """The two steps of a Transformer's preprocessor, as sub-objects."""
    remedy = "attach both steps to the root"
    if missing := [name for name in _STEPS if not callable(getattr(loaded.obj, name, None))]:
        return short(f"the sub-objects {' and '.join(_STEPS)}", f"no {' and no '.join(missing)}", remedy)
    tokens = loaded.obj.tokenize(texts)
    if not isinstance(tokens, tf.RaggedTensor) or tokens.dtype != tf.int32:
        return short("'tokenize' to give int32 ragged [batch, …]", _described(tokens), "cast, and keep the rows ragged")
    return None


def _is_number(tensor: Any) -> bool:
    return tensor.dtype.is_floating or tensor.dtype.is_integer


def _is_tensor(value: Any, dtype: tf.DType, rank: int) -> bool:
    return isinstance(value, tf.Tensor | tf.TensorSpec) and value.dtype == dtype and value.shape.rank == rank


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with {', '.join(map(str, sorted(value)))}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"{value.dtype.name} {value.shape}" if hasattr(value, "dtype") else type(value).__name__


_APIS: Mapping[str, Callable[[Declared], Verdict | None]] = {
    "image-feature-vector": _image,
    "image-classification": _classification,
    "image-classification-logits": _classification,
    "text-embedding": _text_embedding,
    "text-preprocessing": _text_preprocessing,
}
