"""S14: `fingerprint.pb`, and what else tells how a SavedModel was made.

What the fingerprint's first field means depends on who wrote it, which its `producer` tells
(tensorflow/cc/saved_model/fingerprinting.cc):

    producer    TensorFlow       the checksum is of
    0           2.11             the main graph, as that release serialized it: nobody else can compute it
    1           2.12 and later   the SavedModel, serialized in one order: that of the file, or of what is read from it
    ours        this release     what this release computes
    others                       nobody here knows

The hash of the checkpoint is of the bytes of `variables.index` in all of them. The other fields depend on how a release
reads the graph, so they are compared where this very release wrote them.
"""

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

from piecehub.conformance.model import Model, some
from piecehub.conformance.verdict import Verdict, held, short

FILE = "fingerprint.pb"
_CHECKSUM, _CHECKPOINT = "saved_model_checksum", "checkpoint_hash"
_OF_GRAPH = ("graph_def_program_hash", "signature_def_hash", "saved_object_graph_hash")
_OF_ONE_ORDER = 1  # the producer whose checksum is of the serialized SavedModel
_INDEX = "variables/variables.index"


def fingerprint_is_right(model: Model) -> Verdict:
    """S14: `fingerprint.pb`, if there is one, is that of these files; and nothing tells how the model was made."""
    if debug := [path for path in model.paths if path.startswith("debug/")]:
        return short("no debug information", some(debug), "remove it: it holds paths and code of who made the model")
    if not model.is_regular(FILE):
        return held("There is no fingerprint.")
    if not model.graph.saved_model.meta_graphs:
        return short("the fingerprint of these files", "one of a graph, and no graph", "fetch the model again")
    try:
        written = FingerprintDef.FromString((model.folder / FILE).read_bytes())
        computed = FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(model.folder)))
    except (DecodeError, fingerprinting.FingerprintException) as error:
        return short("a fingerprint that can be computed again", f"{type(error).__name__}", "save the model again")
    if other := _different(model, written, computed):
        return short("the fingerprint of these files", f"another {', '.join(other)}", "fetch the model again")
    if _checksums(model, written, computed) is None:
        return held(f"What is known of a fingerprint of producer {written.version.producer} is that of the files.")
    return held("The fingerprint is that of the files.")


def _different(model: Model, written: FingerprintDef, computed: FingerprintDef) -> list[str]:
    """The fields that are others than those of the files."""
    right = {field: {getattr(computed, field)} for field in (_OF_GRAPH if _is_of_this_release(model, written) else ())}
    checksums = _checksums(model, written, computed)
    right.update({_CHECKSUM: checksums} if checksums is not None else {})
    right[_CHECKPOINT] = {_hash((model.folder / _INDEX).read_bytes())} if model.is_regular(_INDEX) else {0}
    return [field for field, values in right.items() if getattr(written, field) not in values]


def _checksums(model: Model, written: FingerprintDef, computed: FingerprintDef) -> set[int] | None:
    """What the checksum may be by the meaning that its producer gave it; None if that cannot be told."""
    producer = written.version.producer
    if producer == _OF_ONE_ORDER:
        raw = (model.folder / "saved_model.pb").read_bytes()  # not the graph that was looked at: looking adds defaults
        in_order = SavedModel.FromString(raw).SerializeToString(deterministic=True)
        return {_hash(raw), _hash(in_order), computed.saved_model_checksum}
    return {computed.saved_model_checksum} if producer == computed.version.producer else None


def _is_of_this_release(model: Model, written: FingerprintDef) -> bool:
    made_by = model.graph.first.meta_info_def.tensorflow_version
    return made_by == tf.__version__ and written.version.producer > 0


def _hash(content: bytes) -> int:
    """TensorFlow's Fingerprint64."""
    (digest,) = tf.fingerprint([content]).numpy()
    return int.from_bytes(digest.tobytes(), "little")
