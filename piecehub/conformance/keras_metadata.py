"""S15: what tf_keras' own loader builds from a model's description, beside the graph that all other loaders run.

`tf_keras.models.load_model` reads `keras_metadata.pb` and calls the constructors that it names. So a description can
hold Python as byte code (a `Lambda` layer), a function of any Python module, or one of TensorFlow's functions by
name; and the path of a file, which is then read. Where there is no such file, the same is read from the object graph,
as models before TensorFlow 2.5 have it (tf_keras, saving/legacy/saved_model/load.py). `hub.load` and
`tf.saved_model.load` read none of it.

    SavedMetadata   1 nodes: SavedObject*
    SavedObject     5 metadata: JSON; and more
"""

import builtins
import json
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from piecehub.conformance.model import Model, some
from piecehub.conformance.verdict import Verdict, advise, held, short
from piecehub.facts.keras_metadata import FILE

_NODES, _METADATA = 1, 5
_OF_KERAS = "_tf_keras_"
# The places of Keras whose names are layers and the like; `keras.utils` and others hold functions that fetch and write.
_MODULES = re.compile(
    r"(tf_)?keras\.(src\.)?(activations|constraints|engine|initializers|layers|losses|metrics|mixed_precision|models"
    r"|optimizers|regularizers)(\.\w+)*"
)
# TensorFlow's functions, by their public names, that compute from tensors only.
_PURE = re.compile(
    r"(compat\.v[12]\.)?((__operators__|bitwise|dtypes|image|linalg|math|nn|quantization|ragged|random|sets|signal|sparse"
    r"|strings|keras\.(activations|backend|losses|metrics))\.\w+(\.\w+)?"
    r"|(?!load_|py_func|numpy_function|print$|Print$|read_file|write_file|matching_files|function$)\w+)"
)
# A marshalled code object in base64.
_BYTE_CODE = re.compile(r"(4[w-z]|Y[w-z])AAA[A-Za-z0-9+/\n]{16,}=*\s*")
_FILES = frozenset({"filepath", "vocabulary"})
_ELSEWHERE = re.compile(r"/|[A-Za-z]:\\|[a-z][a-z0-9+.-]+://|(.*/)?\.\./")


def builds_only_layers(model: Model) -> Verdict:
    """S15: what a description of the model makes tf_keras build is Keras' and TensorFlow's own."""
    try:
        described = list(_descriptions(model))
    except (DecodeError, ValueError) as error:
        return short(f"a '{FILE}' that can be read", type(error).__name__, "save the model again, or remove the file")
    found = {(where, what) for where, description in described for what in _foreign(description)}
    if not found and (files := {file for _, description in described for file in _files(description)}):
        return advise(
            "descriptions of layers that name no file elsewhere", some(files), "save the vocabulary as an asset"
        )
    if not found:
        return held(f"{len(described)} descriptions of layers, all of Keras' own." if described else "There is none.")
    in_file = any(where == FILE for where, _ in found)
    remedy = (
        f"remove '{FILE}', which only tf_keras' own loader reads (`piecehub publish --without-keras-metadata` does)"
        if in_file
        else "save the model again with tf.saved_model.save"
    )
    received = f"{some({what for _, what in found})} in {'the file' if in_file else 'the object graph'}"
    return short("nothing that tf_keras.models.load_model would run beside the graph", received, remedy)


def _descriptions(model: Model) -> Iterator[tuple[str, Any]]:
    """The descriptions of layers, each with where it stands."""
    if model.is_regular(FILE):
        for node in _messages((model.folder / FILE).read_bytes(), _NODES):
            for text in _messages(node, _METADATA):
                yield FILE, json.loads(text)
    for graph in model.graph.each:
        for node in graph.first.object_graph_def.nodes:
            if node.user_object.identifier.startswith(_OF_KERAS) and node.user_object.metadata:
                yield "", json.loads(node.user_object.metadata)


def _messages(message: bytes, number: int) -> Iterator[bytes]:
    """The bytes of a message's fields of one number; needs no definition of the message."""
    for field in UnknownFieldSet(Empty.FromString(message)):
        if field.field_number == number and isinstance(field.data, bytes):
            yield field.data


def _foreign(description: Any) -> Iterator[str]:
    """What in a description is neither Keras' own nor a plain value."""
    for key, value in _values(description, ""):
        if isinstance(value, dict):
            yield from _of_object(value)
        elif _BYTE_CODE.fullmatch(str(value)) or (key.endswith("_type") and value == "lambda"):
            yield "Python byte code"


def _files(description: Any) -> Iterator[str]:
    """The files elsewhere that a description names."""
    return (str(text) for key, text in _values(description, "") if key in _FILES and _ELSEWHERE.match(str(text)))


def _values(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """A value of a description and all inside it, each with its key."""
    yield key, value
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _values(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each, key)


def _of_object(value: dict[str, Any]) -> Iterator[str]:
    """What a dict that describes an object names."""
    kind, config, module = value.get("class_name"), value.get("config"), value.get("module")
    if kind == "__lambda__":
        yield "Python byte code"
    name = config if kind == "function" else kind
    own = module == "builtins" and not hasattr(builtins, str(name))  # which is how Keras writes 'relu'
    if kind is not None and isinstance(module, str) and not own and not _MODULES.fullmatch(module):
        yield f"{module}.{name}"
    config = config if isinstance(config, dict) else {}
    symbol = config.get("function") if kind == "TFOpLambda" else config.get("cls_symbol")
    if isinstance(symbol, str) and not _PURE.fullmatch(symbol):
        yield f"tf.{symbol}"
    if str(config.get("attr_name", "")).startswith("_"):
        yield f"the attribute {config['attr_name']}"
