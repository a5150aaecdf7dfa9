"""S16: what tells a server or a process how to run. A model computes; it sets nothing for whoever runs it.

assets.extra/saved_model_config.pb          TensorFlow Serving lays it over its own session's options
assets.extra/tf_serving_warmup_requests     TensorFlow Serving runs these requests before it serves: at most 1000
config_proto, executor_type of a call       options for the process that runs the function: other machines, plug-ins
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError, Message
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.config_pb2 import ConfigProto

from piecehub.conformance.model import Model, some
from piecehub.conformance.verdict import Verdict, advise, held, short

_SERVER_OPTIONS = "assets.extra/saved_model_config.pb"
_WARMUP = "assets.extra/tf_serving_warmup_requests"
_MOST_REQUESTS = 1000  # TensorFlow Serving loads no model with more (servables/tensorflow/saved_model_warmup_util.h)


def sets_nothing(model: Model) -> Verdict:
    """S16: no options for the process that runs the model; the requests that a server replays can be read."""
    found = {_SERVER_OPTIONS} if model.is_regular(_SERVER_OPTIONS) else set[str]()
    found |= {f"{what} in {where or 'the main graph'}" for where, node in model.nodes for what in _options(node)}
    if found:
        return short("no options for the process that runs the model", some(found), "take them out")
    if not model.is_regular(_WARMUP):
        return held("It sets nothing for the process that runs it.")
    requests = _requests(model.folder / _WARMUP)
    if requests is None or requests > _MOST_REQUESTS:
        received = "some that cannot be read" if requests is None else f"more than {_MOST_REQUESTS}"
        return advise("warm-up requests that TensorFlow Serving takes", received, f"write '{_WARMUP}' again")
    return held(f"It sets nothing for the process that runs it; TensorFlow Serving runs {requests} requests first.")


def _options(node: NodeDef) -> Iterator[str]:
    """The options of a call that no ordinary export has."""
    if node.attr["executor_type"].s if "executor_type" in node.attr else b"":
        yield "the executor of a call"
    if "config_proto" not in node.attr:
        return
    try:
        config = ConfigProto.FromString(node.attr["config_proto"].s)
    except DecodeError:
        yield "options of a call that cannot be read"
        return
    rewriting = config.graph_options.rewrite_options
    if config.cluster_def.job or config.experimental.coordination_config.ListFields():
        yield "other machines for a call"
    if rewriting.custom_optimizers or rewriting.optimizers or _says(config, "session_inter_op_thread_pool"):
        yield "plug-ins for a call"


def _says(message: Message, field: str) -> bool:
    return any(descriptor.name == field for descriptor, _ in message.ListFields())


def _requests(path: Path) -> int | None:
    """How many records a file holds, counted up to one too many; None if one cannot be read.

    A file that ends within the head of its first record is an empty one to TensorFlow.
    """
    try:
        count = sum(1 for _ in tf.data.TFRecordDataset(str(path)).take(_MOST_REQUESTS + 1))
    except tf.errors.OpError:
        return None
    return count if count or not path.stat().st_size else None
