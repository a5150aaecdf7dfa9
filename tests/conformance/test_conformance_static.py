"""Each static check has hostile or broken models that fall short at it and at no other; good models pass them all."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting
from tf_keras.protobuf import saved_metadata_pb2

from piecehub.conformance import check, inside, ops, sandbox
from piecehub.conformance.check import check_saved_model
from piecehub.conformance.graph import read_graph
from piecehub.conformance.static import hinders_loading, is_for_serving_only, static_findings
from piecehub.errors import NotReusableError, PiecehubError
from piecehub.facts.conformance_report import ConformanceReport, Finding
from piecehub.facts.content import content_digest, list_files
from piecehub.tensors.fresh import Ended

ALL = [f"S{number}" for number in range(1, 17)]
ROWS = tf.TensorSpec([None, 4], tf.float32, name="inputs")
Proto = saved_model_pb2.SavedModel
Maker = Callable[[Path], Path]
_variable: Any = tf.Variable


def _root(forward: Callable[..., Any], **options: Any) -> Any:
    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function(**options)
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return forward(inputs @ self.w)

    root: Any = Root()
    root.w = _variable([[0.5, -1.0, 2.0]] * 4, name="w")
    root.variables, root.trainable_variables = [root.w], [root.w]
    for training in (False, True):
        root.__call__.get_concrete_function(ROWS, training=training)
    return root


def _save(root: Any, folder: Path) -> Path:
    serve = tf.function(lambda inputs: root(inputs), autograph=False).get_concrete_function(ROWS)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    return folder


def _of(forward: Callable[..., Any]) -> Maker:
    return lambda folder: _save(_root(forward), folder)


def _good(folder: Path) -> Path:
    return _save(_root(tf.identity), folder)


def _after(*operations: Callable[[], Any]) -> Maker:
    """A model whose forward pass runs the operations as well."""

    def forward(x: Any) -> Any:
        with tf.control_dependencies([operation() for operation in operations]):
            return tf.identity(x)

    return _of(forward)


# Edits of a good model, with the fingerprint of the edited one.


def _edited(*edits: Callable[[Proto], object], make: Maker = _good) -> Maker:
    def edited(folder: Path) -> Path:
        path = make(folder) / "saved_model.pb"
        proto = Proto.FromString(path.read_bytes())
        for edit in edits:
            edit(proto)
        path.write_bytes(proto.SerializeToString())
        (folder / "fingerprint.pb").write_bytes(fingerprinting.CreateFingerprintDef(str(folder)))
        return folder

    return edited


def _functions(proto: Proto, name: str) -> list[FunctionDef]:
    library = proto.meta_graphs[0].graph_def.library.function
    return [function for function in library if name in function.signature.name]


def _in_call(op: str, **strings: bytes) -> Callable[[Proto], object]:
    """Adds an operation to the body of `__call__`."""

    def edit(proto: Proto) -> None:
        node = _functions(proto, "__call__")[0].node_def.add(name="evil", op=op)
        for name, text in strings.items():
            node.attr[name].s = text

    return edit


def _in_nobodys_function(op: str) -> Callable[[Proto], object]:
    """Adds a function that nothing calls: tf.raw_ops or a later edit could."""

    def edit(proto: Proto) -> None:
        function = proto.meta_graphs[0].graph_def.library.function.add()
        function.signature.name = "nobody"
        function.node_def.add(name="evil", op=op)

    return edit


def _as_init_op(proto: Proto) -> None:
    """What loaders run before anything else."""
    graph = proto.meta_graphs[0]
    graph.graph_def.node.add(name="evil", op="WriteFile")
    graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "evil"


def _hidden_behind_saver(proto: Proto) -> None:
    """Writes a file in `__call__`, and says that the saver calls it."""
    graph = proto.meta_graphs[0]
    function = _functions(proto, "__call__")[0]
    function.node_def.add(name="evil", op="SaveV2")
    node = graph.graph_def.node.add(name="evil_saver", op="StatefulPartitionedCall")
    node.attr["f"].func.name = function.signature.name
    graph.saver_def.save_tensor_name = "evil_saver:0"


def _in_saver(proto: Proto) -> None:
    """The saver may save; it may not run Python."""
    _functions(proto, "traced_save")[0].node_def.add(name="evil", op="PyFunc")


def _saves_when_called(proto: Proto) -> None:
    """Names the saver's function in an attribute of an attribute of a node of `__call__`."""
    saver = _functions(proto, "traced_save")[0].signature.name
    node = _functions(proto, "__call__")[0].node_def.add(name="evil", op="MapDefun")
    node.attr["f"].func.name = "harmless"
    node.attr["f"].func.attr["inner"].list.func.add(name=saver)


def _as_gradient(proto: Proto) -> None:
    """A function that only differentiation calls."""
    library = proto.meta_graphs[0].graph_def.library
    saver = _functions(proto, "traced_save")[0].signature.name
    library.gradient.add(function_name=_functions(proto, "__call__")[0].signature.name, gradient_func=saver)


def _join(nodes: Any, *texts: str, name: str = "joined", suffix: str = ":output:0") -> str:
    """Adds constants and the node that joins them; the reference to its output, in a function's body."""
    inputs: list[str] = []
    for index, text in enumerate(texts):
        node = nodes.add(name=f"{name}_{index}", op="Const")
        node.attr["dtype"].type = node.attr["value"].tensor.dtype = tf.string.as_datatype_enum
        node.attr["value"].tensor.string_val.append(text.encode())
        inputs.append(node.name + suffix)
    nodes.add(name=name, op="StringJoin", input=inputs).attr["N"].i = len(inputs)
    return name + suffix


def _packed(content: bytes) -> Callable[[Proto], object]:
    """A constant of `__call__` whose texts stand behind their lengths."""

    def edit(proto: Proto) -> None:
        tensor = _functions(proto, "__call__")[0].node_def.add(name="own", op="Const").attr["value"].tensor
        tensor.dtype, tensor.tensor_content = tf.string.as_datatype_enum, content

    return edit


def _while_restoring(op: str, *texts: str) -> Callable[[Proto], object]:
    """The saver's restoring function also touches a file whose name it puts together."""

    def edit(proto: Proto) -> None:
        nodes = _functions(proto, "traced_restore")[0].node_def
        place = _join(nodes, *texts)
        if op == "InitializeTableFromTextFileV2":
            nodes.add(name="evil", op=op, input=["table", place])
        else:
            nodes.add(name="evil", op=op, input=[place, *(["file_prefix"] if op.startswith("Merge") else [])])
        nodes[0].input.append("^evil")

    return edit


def _saves_beside(*texts: str) -> Callable[[Proto], object]:
    """The saver's saving function writes where the texts lead, from the place that it is given."""

    def edit(proto: Proto) -> None:
        nodes = _functions(proto, "traced_save")[0].node_def
        _join(nodes, *texts)
        joined = next(node for node in nodes if node.name == "joined")
        joined.input.insert(0, "file_prefix")
        joined.attr["N"].i += 1
        next(node for node in nodes if node.op == "SaveV2").input[0] = "joined:output:0"

    return edit


def _restores_another(proto: Proto) -> None:
    """What restores gets its place from a text, not from the loader."""
    graph = proto.meta_graphs[0]
    place = _join(graph.graph_def.node, "/va", "r/x", suffix=":0")
    restore = next(n for n in graph.graph_def.node if n.name == graph.saver_def.restore_op_name)
    restore.input[0] = place


def _saves_when_restored(proto: Proto) -> None:
    """Loading runs what saves."""
    saver = proto.meta_graphs[0].saver_def
    saver.restore_op_name = saver.save_tensor_name.partition(":")[0]


def _in_tensorflow_1(*texts: str) -> Callable[[Proto], object]:
    """What TensorFlow 1 wrote: its restoring operation waits for one that saves."""

    def edit(proto: Proto) -> None:
        graph = proto.meta_graphs[0]
        nodes = graph.graph_def.node
        place = _join(nodes, *texts, suffix=":0")
        nodes.add(name="evil", op="SaveV2", input=[place])
        next(node for node in nodes if node.name == graph.saver_def.restore_op_name).input.append("^evil")

    return edit


def _saves_when_set_up(proto: Proto) -> None:
    """What loaders run first is what saves."""
    graph = proto.meta_graphs[0]
    saver = graph.saver_def.save_tensor_name
    graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = saver.partition(":")[0]


def _in_another_meta_graph(edit: Callable[[Proto], object]) -> Callable[[Proto], object]:
    """The first MetaGraph is as it was; the second is edited."""

    def edited(proto: Proto) -> None:
        other = Proto()
        other.CopyFrom(proto)
        edit(other)
        other.meta_graphs[0].meta_info_def.tags.append("other")
        proto.meta_graphs.append(other.meta_graphs[0])

    return edited


def _behind_its_name(proto: Proto) -> None:
    """Two functions of one name: whichever a loader takes, both are looked at."""
    library = proto.meta_graphs[0].graph_def.library.function
    twin = library.add()
    twin.CopyFrom(_functions(proto, "__call__")[0])
    first = _functions(proto, "__call__")[0]
    first.node_def.add(name="evil", op="WriteFile")


def _calls_itself(proto: Proto) -> None:
    """Functions in a circle, an input that is nowhere: to be read without an end and without a crash."""
    functions = _functions(proto, "__call__")
    for function, other in zip(functions, [*functions[1:], functions[0]], strict=True):
        node = function.node_def.add(name="again", op="StatefulPartitionedCall", input=["nowhere:output:x"])
        node.attr["f"].func.name = other.signature.name


def _shared_name(text: bytes) -> Callable[[Proto], object]:
    def edit(proto: Proto) -> None:
        handle = next(node for node in proto.meta_graphs[0].graph_def.node if node.op == "VarHandleOp")
        handle.attr["shared_name"].s = text

    return edit


def _asset_called(name: str) -> Callable[[Proto], object]:
    return lambda proto: setattr(proto.meta_graphs[0].asset_file_def[0], "filename", name)


def _bound_to_variable(proto: Proto) -> None:
    """The table's file is no longer bound to the asset."""
    functions = proto.meta_graphs[0].object_graph_def.concrete_functions
    bound = next(function for name, function in functions.items() if "initializer" in name)
    bound.bound_inputs[0] = 1


def _constant_file(proto: Proto) -> None:
    """The table's initializer takes a file of its own choice."""
    function = _functions(proto, "initializer")[0]
    function.node_def.add(name="own", op="Const").attr["value"].tensor.string_val.append(b"words.txt")
    initializer = next(node for node in function.node_def if node.op == "InitializeTableFromTextFileV2")
    initializer.input[1] = "own:output:0"


# Files.


def _with_file(name: str) -> Maker:
    def make(folder: Path) -> Path:
        path = _good(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        return folder

    return make


def _with_requests(count: int) -> Maker:
    def make(folder: Path) -> Path:
        path = _good(folder) / "assets.extra" / "tf_serving_warmup_requests"
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(count):
                writer.write(b"")
        return folder

    return make


def _with_option(**options: bytes) -> Callable[[Proto], object]:
    """Options of the call in the main graph that serves."""

    def edit(proto: Proto) -> None:
        call = next(n for n in proto.meta_graphs[0].graph_def.node if n.op == "StatefulPartitionedCall")
        for name, value in options.items():
            call.attr[name].s = value

    return edit


def _with_link(name: str, target: str) -> Maker:
    def make(folder: Path) -> Path:
        (_good(folder) / name).symlink_to(target)
        return folder

    return make


def _with_pipe(folder: Path) -> Path:
    os.mkfifo(_good(folder) / "assets" / "pipe")
    return folder


def _linked_asset(folder: Path) -> Path:
    words = _table(folder) / "assets" / "words.txt"
    words.unlink()
    words.symlink_to("/etc/hostname")
    return folder


def _without_asset(folder: Path) -> Path:
    (_table(folder) / "assets" / "words.txt").unlink()
    return folder


def _other_bytes(folder: Path) -> Path:
    path = _good(folder) / "saved_model.pb"
    proto = Proto.FromString(path.read_bytes())
    proto.meta_graphs[0].meta_info_def.tensorflow_version = "9.9"
    path.write_bytes(proto.SerializeToString())
    return folder


def _broken_checkpoint(folder: Path) -> Path:
    path = _good(folder) / "variables" / "variables.index"
    path.write_bytes(path.read_bytes()[:-20])
    (folder / "fingerprint.pb").unlink()
    return folder


def _cut_weights(folder: Path) -> Path:
    (path,) = (_good(folder) / "variables").glob("variables.data-*")
    path.write_bytes(path.read_bytes()[:-8])
    return folder


def _turned_weights(folder: Path) -> Path:
    (path,) = (_good(folder) / "variables").glob("variables.data-*")
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(bytes(data))
    return folder


# Models of other makers.


def _table(folder: Path) -> Path:
    words = folder.parent / "words.txt"
    words.write_text("a\nb\nc\n")

    class Words(tf.train.Checkpoint):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def __call__(self, inputs: Any) -> Any:
            return tf.gather(self.w, self.table.lookup(inputs))

    root: Any = Words()
    root.w = _variable(np.eye(5, dtype=np.float32))
    root.asset = tf.saved_model.Asset(str(words))
    root.table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(root.asset, tf.string, 0, tf.int64, -1), 2
    )
    tf.saved_model.save(root, str(folder), signatures={"serving_default": root.__call__})
    return folder


def _reads_own_file(folder: Path) -> Path:
    """A table that `__call__` fills from a file wherever the process happens to be."""
    return _save(_root(_fill), folder)


def _restored(prefix: str) -> Any:
    return tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def _fill(x: Any) -> Any:
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words")
    filled = tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename="words.txt", key_index=-2, value_index=-1
    )
    with tf.control_dependencies([filled]):
        return tf.identity(x)


def _signature_only(folder: Path) -> Path:
    root = tf.__internal__.tracking.AutoTrackable()
    root.w = _variable([[1.0, 2.0, 3.0]] * 4)
    serve = tf.function(lambda inputs: {"outputs": inputs @ root.w}).get_concrete_function(ROWS)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    return folder


def _keras_export(folder: Path) -> Path:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    model.export(str(folder), verbose=False)
    return folder


def _tensorflow_1(folder: Path) -> Path:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 2])
        outputs = inputs @ v1.get_variable("v", [2, 2], initializer=v1.ones_initializer())
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"inputs": inputs}, {"outputs": outputs})
    return folder


def _hub_module(folder: Path) -> Path:
    """TF1 Hub format, as tensorflow_hub tells it: a SavedModel of TensorFlow 1 with `tfhub_module.pb`."""
    (_tensorflow_1(folder) / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


def _tf_keras(*layers: Any, compiled: bool = False) -> Any:
    model = tf_keras.Sequential([tf_keras.layers.Input((5, 4)), *layers])
    if compiled:
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(np.zeros((8, 5, 4)), np.zeros((8, 5, 2)), verbose=0)
    return model


def _tf_keras_with_optimizer(folder: Path) -> Path:
    _tf_keras(tf_keras.layers.Dense(2), compiled=True).save(str(folder), include_optimizer=True)
    return folder


def _tf_keras_without_optimizer(folder: Path) -> Path:
    layers = [tf_keras.layers.BatchNormalization(), tf_keras.layers.Dropout(0.1), tf_keras.layers.Dense(2)]
    _tf_keras(*layers, compiled=True).save(str(folder), include_optimizer=False)
    return folder


def _tf_keras_recurrent(folder: Path) -> Path:
    _tf_keras(tf_keras.layers.LSTM(2)).save(str(folder), include_optimizer=False)
    assert any("Cudnn" in node.op for _, node in read_graph(folder).nodes())  # a body that only a GPU would take
    return folder


def _tf_keras_text(folder: Path) -> Path:
    """Its vocabulary is an asset, named by a path that tells nothing about who made it."""
    layers = tf_keras.layers
    (folder.parent / "words.txt").write_text("a\nb\nc\n")
    before = Path.cwd()
    os.chdir(folder.parent)
    try:
        lookup = layers.StringLookup(vocabulary="words.txt")
        model = tf_keras.Sequential([layers.Input((3,), dtype="string"), lookup, layers.Embedding(5, 2)])
        model.save(str(folder), include_optimizer=False)
    finally:
        os.chdir(before)
    return folder


def _tf_keras_standardized_text(folder: Path) -> Path:
    layers = tf_keras.layers
    texts = layers.TextVectorization(max_tokens=10, output_sequence_length=4)
    texts.adapt(["a b c", "see http://example.org/x"])
    inputs = layers.Input((), dtype="string")
    stripped = tf.strings.regex_replace(inputs, r"http://\S+", "")
    model = tf_keras.Model(inputs, layers.Embedding(10, 2)(texts(stripped)))
    model.save(str(folder), include_optimizer=False)
    return folder


def _tf_keras_lambda(folder: Path) -> Path:
    _tf_keras(tf_keras.layers.Lambda(lambda x: 2.0 * x), tf_keras.layers.Dense(2)).save(
        str(folder), include_optimizer=False
    )
    return folder


def _described(layer: dict[str, Any], *, in_file: bool = True) -> Maker:
    """A model of tf_keras whose description, or its object graph as before TensorFlow 2.5, holds `layer` as well."""

    def make(folder: Path) -> Path:
        _tf_keras(tf_keras.layers.Dense(2)).save(str(folder), include_optimizer=False)
        path = folder / "keras_metadata.pb"
        metadata = saved_metadata_pb2.SavedMetadata.FromString(path.read_bytes())
        root = json.loads(metadata.nodes[0].metadata)
        root["config"]["layers"].append(layer)
        metadata.nodes[0].metadata = json.dumps(root)
        path.write_bytes(metadata.SerializeToString())
        if in_file:
            return folder
        path.unlink()
        return _edited(_moved(metadata.nodes[0].metadata), make=lambda folder: folder)(folder)

    return make


def _moved(text: str) -> Callable[[Proto], object]:
    return lambda proto: setattr(proto.meta_graphs[0].object_graph_def.nodes[0].user_object, "metadata", text)


def _my_mul_model(folder: Path) -> Path:
    """The guide's own example of the interface on low-level TensorFlow (G10)."""

    class MyMulModel(tf.train.Checkpoint):
        @tf.function(input_signature=[tf.TensorSpec(shape=[None], dtype=tf.float32)])
        def __call__(self, inputs: Any) -> Any:
            return inputs * self.v

    model: Any = MyMulModel()
    model.v = _variable(2.0)
    model.variables, model.trainable_variables = [model.v], [model.v]
    model.regularization_losses = [tf.function(lambda: 0.001 * model.v**2, input_signature=[])]
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.__call__})
    return folder


def _random_and_state(folder: Path) -> Path:
    def forward(x: Any) -> Any:
        noise = tf.random.normal(tf.shape(x), seed=1) + tf.random.stateless_uniform(tf.shape(x), [1, 2])
        rows = tf.map_fn(lambda row: tf.cond(tf.reduce_sum(row) > 0, lambda: row, lambda: -row), x)
        tf.debugging.assert_all_finite(rows, "finite")
        return rows + 0.0 * noise

    return _save(_root(forward), folder)


BAD: dict[str, tuple[Maker, str, str]] = {
    "dotfile": (_with_file(".hidden"), "S1", r"'\.hidden'"),
    "readme": (_with_file("README.md"), "S1", r"'README\.md'"),
    "strange file among variables": (_with_file("variables/notes.txt"), "S1", "notes"),
    "graph that another loader reads instead": (_with_file("saved_model.cpb"), "S1", "cpb"),
    "link out of the folder": (_with_link("assets/words", "/etc/passwd"), "S1", "regular files.*'assets/words'"),
    "link to nothing": (_with_link("assets.extra", "nowhere"), "S1", r"'assets\.extra'"),
    "pipe": (_with_pipe, "S1", "'assets/pipe'"),
    "two MetaGraphs": (_edited(lambda p: p.meta_graphs.add().CopyFrom(p.meta_graphs[0])), "S2", "serve"),
    "other tags": (_edited(lambda p: p.meta_graphs[0].meta_info_def.tags.append("gpu")), "S2", "gpu"),
    "signatures only": (_signature_only, "S3", "signatures only"),
    "keras export": (_keras_export, "S3", "signatures only"),
    "TensorFlow 1": (_tensorflow_1, "S3", "TensorFlow 1, which cannot be fine-tuned"),
    "TF1 Hub format": (_hub_module, "S3", "TF1 Hub format, which cannot be fine-tuned"),
    "Python": (_of(lambda x: tf.ensure_shape(tf.numpy_function(abs, [x], tf.float32), [None, 3])), "S4", "PyFunc"),
    "stateless Python": (_edited(_in_call("PyFuncStateless")), "S4", "PyFuncStateless"),
    "reads a file": (_after(lambda: tf.io.read_file("numbers")), "S4", "ReadFile"),
    "writes a file": (_after(lambda: tf.io.write_file("numbers", "1")), "S4", "WriteFile"),
    "lists files": (_after(lambda: tf.io.matching_files("*")), "S4", "MatchingFiles"),
    "maps a file": (_edited(_in_call("ImmutableConst", memory_region_name=b"numbers")), "S4", "ImmutableConst"),
    "reads a vocabulary": (_edited(_in_call("GenerateVocabRemapping")), "S4", "GenerateVocabRemapping"),
    "reads a descriptor": (_edited(_in_call("DecodeProtoV2", descriptor_source=b"protos")), "S4", "DecodeProtoV2"),
    "reads records": (
        _after(lambda: tf.raw_ops.TFRecordDataset(filenames="a", compression_type="", buffer_size=0)),
        "S4",
        "TFRecordDataset",
    ),
    "a graph in a string": (_after(lambda: tf.raw_ops.DatasetFromGraph(graph_def="")), "S4", "DatasetFromGraph"),
    "loads a checkpoint": (
        _after(lambda: _restored("p")),
        "S4",
        "RestoreV2",
    ),
    "saves a checkpoint": (
        _after(lambda: tf.raw_ops.SaveV2(prefix="p", tensor_names=["a"], shape_and_slices=[""], tensors=[1.0])),
        "S4",
        "SaveV2",
    ),
    "prints": (_after(lambda: tf.print("x")), "S4", "PrintV2"),
    "sends what it sees": (_edited(_in_call("DebugIdentity")), "S4", "DebugIdentity"),
    "calls another machine": (_edited(_in_call("RemoteCall")), "S4", "RemoteCall"),
    "asks a service for data": (_edited(_in_call("DataServiceDatasetV4")), "S4", "DataService"),
    "ends the process": (_edited(_in_call("Abort")), "S4", "Abort"),
    "reads the clock": (_after(tf.timestamp), "S4", "Timestamp"),
    "acts when loaded": (_edited(_as_init_op), "S4", "WriteFile in the main graph"),
    "in a function that nothing calls": (_edited(_in_nobodys_function("WriteFile")), "S4", "WriteFile in nobody"),
    "acts when a table is made": (
        _edited(lambda p: _functions(p, "creator")[0].node_def.add(name="evil", op="WriteFile"), make=_table),
        "S4",
        "WriteFile in __inference__creator",
    ),
    "Python in the saver": (_edited(_in_saver), "S4", "PyFunc in .*traced_save"),
    "the saver in a nested attribute": (_edited(_saves_when_called), "S4", "SaveV2"),
    "the saver as a gradient": (_edited(_as_gradient), "S4", "SaveV2"),
    "hidden behind the saver": (_edited(_hidden_behind_saver), "S4", "SaveV2 in .*__call__"),
    "writes a file when it is restored": (
        _edited(_while_restoring("SaveV2", "/va", "r/x")), "S4", "SaveV2 in .*traced_restore",
    ),
    "removes files when it is restored": (
        _edited(_while_restoring("MergeV2Checkpoints", "va", "r")), "S4", "MergeV2Checkpoints in .*traced_restore",
    ),
    "restores another file": (_edited(_while_restoring("RestoreV2", "../", "x")), "S4", "RestoreV2 in .*restore"),
    "fills a table when it is restored": (
        _edited(_while_restoring("InitializeTableFromTextFileV2", "words", ".txt")), "S10", "evil in .*traced_restore",
    ),
    "saves beside what it is given": (_edited(_saves_beside("..", "/x")), "S4", "SaveV2 in .*traced_save"),
    "restores from a text": (_edited(_restores_another), "S4", "RestoreV2 in .*traced_restore"),
    "saves when it is restored": (_edited(_saves_when_restored), "S4", "MergeV2Checkpoints in .*traced_save"),
    "saves when it is set up": (_edited(_saves_when_set_up, make=_tensorflow_1), "S4", "SaveV2 in the main graph"),
    "two functions of one name": (_edited(_behind_its_name), "S4", "WriteFile in .*__call__"),
    "TensorFlow 1 that writes a file when it is loaded": (
        _edited(_in_tensorflow_1("va", "r/x"), make=_tensorflow_1), "S4", "SaveV2 in the main graph",
    ),
    "a second MetaGraph that writes a file": (
        _edited(_in_another_meta_graph(_while_restoring("SaveV2", "va", "r/x"))), "S4", "SaveV2 in .*traced_restore",
    ),
    "a path put together": (
        _edited(lambda p: _join(_functions(p, "__call__")[0].node_def, "/va", "r/x")), "S8", "'/var/x'",
    ),
    "a path in packed characters": (_edited(_packed(b"\x0a/va/secret")), "S8", "/va/secret"),
    "cuDNN": (_edited(_in_call("CudnnRNNV3")), "S5", "CudnnRNNV3"),
    "a compiled module": (_edited(_in_call("XlaCallModule")), "S5", "XlaCallModule"),
    "a call of the host": (_edited(_in_call("XlaHostCompute")), "S5", "XlaHostCompute"),
    "TPU, nobody calls it": (_edited(_in_nobodys_function("TPUReplicateMetadata")), "S5", "TPUReplicateMetadata"),
    "a library's operation": (_edited(_in_call("SentencepieceTokenizeOp")), "S6", "of tensorflow_text"),
    "an unheard operation": (_edited(_in_call("EvilOp")), "S6", "'EvilOp' of an unknown library"),
    "path in a constant": (_after(lambda: tf.constant("/home/me/words.txt")), "S8", "/home/me/words.txt"),
    "address in a constant": (_after(lambda: tf.constant("10.0.0.7:8470")), "S8", "10.0.0.7:8470"),
    "path in an attribute": (_edited(_in_call("Identity", _where=b"/home/me/words.txt")), "S8", "/home/me/words.txt"),
    "bucket in an attribute": (_edited(_in_call("Identity", _where=b"gs://bucket/words.txt")), "S8", "gs://bucket"),
    "absolute asset": (_edited(_asset_called("/etc/passwd"), make=_table), "S10", "'/etc/passwd'"),
    "asset outside": (_edited(_asset_called("../../secret"), make=_table), "S10", r"'\.\./\.\./secret'"),
    "asset in a bucket": (_edited(_asset_called("gs://b/words"), make=_table), "S10", "gs://b"),
    "asset missing": (_without_asset, "S10", "'words.txt' missing"),
    "table from a constant": (_edited(_constant_file, make=_table), "S10", "InitializeTableFromTextFileV2 in"),
    "table from a variable": (_edited(_bound_to_variable, make=_table), "S10", "InitializeTableFromTextFileV2 in"),
    "table of a file around": (_reads_own_file, "S10", "InitializeTableFromTextFileV2 in"),
    "must be compiled": (lambda f: _save(_root(tf.identity, jit_compile=True), f), "S11", "__call__"),
    "broken checkpoint": (_broken_checkpoint, "S12", "can be read"),
    "weights cut short": (_cut_weights, "S12", "can be read whole"),
    "weights of which a bit was turned": (_turned_weights, "S12", "can be read whole.*DataLossError"),
    "another file than was fingerprinted": (_other_bytes, "S14", "saved_model_checksum"),
    "no fingerprint at all": (_with_file("fingerprint.pb"), "S14", "computed again"),
    "debug information": (_with_file("debug/saved_model_debug_info.pb"), "S14", "debug"),
    # After a review of who runs what (docs/check.md, "What a verdict promises").
    "a second graph as text": (_with_file("saved_model.pbtxt"), "S1", "'saved_model.pbtxt' beside"),
    "options for the server": (_with_file("assets.extra/saved_model_config.pb"), "S16", "saved_model_config.pb"),
    "an executor of its choice": (_edited(_with_option(executor_type=b"OTHER")), "S16", "the executor of a call in"),
    "other machines for a call": (
        _edited(_with_option(config_proto=b"\x72\x0b\x0a\x09\x0a\x07another")), "S16", "other machines for a call",
    ),
    "a plug-in for a call": (
        _edited(_with_option(config_proto=b"\x52\x0a\x52\x08\xc2\x0c\x05\x0a\x03own")), "S16", "plug-ins for a call",
    ),
    "options that cannot be read": (_edited(_with_option(config_proto=b"\xff\xff")), "S16", "cannot be read"),
    "what others ask, in one batch": (_edited(_in_call("BatchFunction")), "S4", "BatchFunction"),
    "what it is asked, kept": (_edited(_in_call("CustomAggregator")), "S4", "CustomAggregator"),
    "a core for sparse tables": (
        _edited(_in_call("ConvertToListOfSparseCoreCooTensors")), "S5", "ConvertToListOfSparseCoreCooTensors",
    ),
    "Python byte code for tf_keras": (_tf_keras_lambda, "S15", "Received: 'Python byte code' in the file; rem"),
    "any function of Python for tf_keras": (
        _described({"module": "os", "class_name": "function", "config": "system", "registered_name": "x"}),
        "S15", r"'os\.system'",
    ),
    "a built-in function of Python for tf_keras": (
        _described({"class_name": "Activation", "config": {"activation": {
            "module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}}}),
        "S15", r"'builtins\.eval'",
    ),
    "a helper of Keras that fetches": (
        _described({"module": "keras.utils", "class_name": "get_file", "config": {}}), "S15", "'keras.utils.get_file'",
    ),
    "an operation by name for tf_keras": (
        _described({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}), "S15", "'tf.io.write_file'",
    ),
    "Python byte code in the object graph": (
        _described({"class_name": "Lambda", "config": {"function_type": "lambda", "function": ["", None, None]}},
                   in_file=False),
        "S15", "in the object graph; save the model again",
    ),
    "a description that cannot be read": (_with_file("keras_metadata.pb"), "S15", "can be read"),
}  # fmt: skip
# What falls short with it, by its nature.
ALSO = {
    "writes a file when it is restored": {"S8"},
    "restores from a text": {"S8"},
    "TensorFlow 1 that writes a file when it is loaded": {"S3"},
    "saves when it is set up": {"S3"},
    "a second MetaGraph that writes a file": {"S2"},
    "graph that another loader reads instead": {"S14"},  # the fingerprint is made from that one
}
ADVICE: dict[str, tuple[Maker, str, str]] = {
    "a file for tf_keras": (
        _described({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}), "S15", "'/etc/passwd'",
    ),
    "optimizer inside": (_tf_keras_with_optimizer, "S12", "optimizer/"),
    "requests for the server that cannot be read": (
        _with_file("assets.extra/tf_serving_warmup_requests"), "S16", "some that cannot be read",
    ),
    "more requests than a server takes": (_with_requests(1001), "S16", "more than 1000"),
    "path in a name": (_edited(_shared_name(b"hash_table_/home/me/words.txt_-2")), "S8", "/home/me/words.txt"),
    "bucket in a name": (_edited(_shared_name(b"gs://bucket/words.txt")), "S8", "gs://bucket"),
    "pinned to a GPU": (_edited(lambda p: _pin(p, "/device:GPU:0")), "S7", "/device:GPU:0"),
    "weights as a constant": (_of(lambda x: x @ tf.constant(np.random.default_rng(0).random((3, 8000), np.float32))),
                              "S9", "constants of more than 64 KiB"),
    "no signature": (
        lambda folder: tf.saved_model.save(_root(tf.identity), str(folder), signatures={}) or folder,
        "S13",
        "no signature",
    ),
}  # fmt: skip
GOOD: dict[str, Maker] = {
    "a table named by the path of its asset": _edited(
        lambda p: _name_tables(p, b"hash_table_/home/me/words.txt_-2"), make=lambda folder: _table(folder)
    ),
    "requests for the server": _with_requests(3),
    "summaries, which are only text": _edited(
        *(_in_call(f"{kind}Summary") for kind in ("Scalar", "Histogram", "Merge"))
    ),
    "plain": _good,
    "MyMulModel": _my_mul_model,
    "table with an asset": _table,
    "tf_keras, compiled, without its optimizer": _tf_keras_without_optimizer,
    "tf_keras, recurrent": _tf_keras_recurrent,
    "tf_keras, vocabulary as an asset": _tf_keras_text,
    "tf_keras, texts": _tf_keras_standardized_text,
    "random numbers, loops and branches": _random_and_state,
    "functions in a circle": _edited(_calls_itself),
}


def _name_tables(proto: Proto, name: bytes) -> None:
    for node in (node for function in _functions(proto, "creator") for node in function.node_def):
        if node.op == "HashTableV2":
            node.attr["shared_name"].s = name


def _tensorflow_1_with_assets(folder: Path) -> Path:
    """A classic export: its vocabulary lies elsewhere until the loader says where, its summaries are in the graph, and
    it was saved once before."""
    v1 = tf.compat.v1
    words = folder.parent / "words.txt"
    words.write_text("a\nb\n")
    with tf.Graph().as_default(), v1.Session() as session:
        place = tf.constant(str(words), name="place")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, place)
        initializer = tf.lookup.TextFileInitializer(place, tf.string, 0, tf.int64, -1)
        table = tf.lookup.StaticHashTable(initializer, -1)
        inputs = v1.placeholder(tf.string, [None])
        weights = v1.get_variable("v", [3, 2], initializer=v1.ones_initializer())
        outputs = tf.gather(weights, table.lookup(inputs) + 1)
        v1.summary.histogram("weights", weights)
        v1.summary.scalar("mean", tf.reduce_mean(weights))
        v1.summary.merge_all()
        v1.train.Saver(sharded=True)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"inputs": inputs}, {"outputs": outputs})
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
            saver=v1.train.Saver(sharded=True),
        )
        builder.save()
    return folder


def _tensorflow_1_around_another(folder: Path, tag: str = "serve") -> Path:
    """An export of TensorFlow 1 with a loaded SavedModel in its graph, whose savers stay there (as of tf.Transform)."""
    v1 = tf.compat.v1
    inner = str(_good(folder.parent / "inner"))
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 4])
        outputs = tf.saved_model.load(inner)(inputs)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"inputs": inputs}, {"outputs": outputs})
        builder.add_meta_graph_and_variables(session, [tag], {"serving_default": signature})
        builder.save()
    return folder


def _pin(proto: Proto, device: str) -> None:
    _functions(proto, "__call__")[0].node_def[0].device = device


def _short(findings: list[Finding]) -> set[str]:
    return {found.check for found in findings if not found.passed}


@pytest.mark.parametrize("name", [*BAD, *ADVICE])
def test_a_bad_model_is_caught_by_its_own_check(name: str, tmp_path: Path) -> None:
    make, check, words = {**BAD, **ADVICE}[name]
    findings = static_findings(make(tmp_path / "model"))
    assert _short(findings) == {check} | ALSO.get(name, set()), [f.sentence for f in findings if not f.passed]
    sentence = next(found.sentence for found in findings if found.check == check)
    assert re.search(words, sentence), sentence
    assert [found.check for found in findings] == ALL
    assert {f.level for f in findings if f.check == check} == {"warn" if name in ADVICE else "fail"}


def test_every_check_of_level_fail_has_a_model_that_it_catches(tmp_path: Path) -> None:
    levels = {found.check: found.level for found in static_findings(_good(tmp_path / "model"))}
    assert {check for _, check, _ in BAD.values()} == {check for check, level in levels.items() if level == "fail"}
    assert {check for _, check, _ in ADVICE.values()} >= {check for check, level in levels.items() if level == "warn"}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_model_raises_no_alarm(name: str, tmp_path: Path) -> None:
    folder = GOOD[name](tmp_path / "model")
    before = content_digest(list_files(folder))
    findings = static_findings(folder)
    assert [found for found in findings if not found.passed] == []
    assert content_digest(list_files(folder)) == before


def test_our_own_export_raises_no_alarm(made: Any) -> None:
    assert [found for found in static_findings(made.saved_model) if not found.passed] == []


def test_a_linked_asset_falls_short_twice(tmp_path: Path) -> None:
    assert _short(static_findings(_linked_asset(tmp_path / "model"))) == {"S1", "S10"}


def test_metrics_and_a_save_counter_are_told(tmp_path: Path) -> None:
    for name, words in (("tf_keras, compiled, without its optimizer", "4 of a metric"), ("MyMulModel", "save counter")):
        findings = static_findings(GOOD[name](tmp_path / name))
        assert words in next(found.sentence for found in findings if found.check == "S12")


def test_a1_what_restores_reads_the_file_that_it_is_given_and_touches_no_other(tmp_path: Path) -> None:
    folder = _edited(_while_restoring("SaveV2", "/va", "r/x"))(tmp_path / "model")
    found = next(found for found in static_findings(folder) if found.check == "S4")
    assert (found.passed, found.level) == (False, "fail")
    assert re.search(r"'SaveV2 in __inference__traced_restore_\d+'", found.sentence)
    assert _short(static_findings(_tensorflow_1(tmp_path / "one"))) == {"S3"}  # its saver does as it should


def test_a2_python_that_tf_keras_would_run_is_found(tmp_path: Path) -> None:
    found = static_findings(_tf_keras_lambda(tmp_path / "model"))[14]
    assert (found.check, found.passed, found.level) == ("S15", False, "fail")
    assert "Python byte code" in found.sentence and "--without-keras-metadata" in found.sentence


def _reported(folder: Path) -> tuple[ConformanceReport | None, str]:
    """The validator's report; where there is none, the sentence that came in its place."""
    try:
        return check_saved_model(folder), ""
    except PiecehubError as error:
        return None, error.sentence


def test_a6_an_empty_graph_beside_a_good_fingerprint_is_a_report(tmp_path: Path) -> None:
    folder = _good(tmp_path / "model")
    (folder / "saved_model.pb").write_bytes(b"")
    report, instead = _reported(folder)
    assert report, f"no report, but: {instead}"
    found = {finding.check: finding for finding in report.findings}
    assert (report.verdict, found["S14"].passed, found["D1"].passed) == ("not reusable", False, None)
    assert "none, as of an empty file" in found["S2"].sentence
    assert "one of a graph, and no graph" in found["S14"].sentence  # and no process ended in it


def test_a6_a_damaged_graph_is_a_report(tmp_path: Path) -> None:
    folder = _good(tmp_path / "model")
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    report, instead = _reported(folder)
    assert report, f"no report, but: {instead}"
    assert (report.verdict, report.first_failure[:14]) == ("not reusable", "S1 fell short:")
    assert {finding.passed for finding in report.findings if finding.check != "S1"} == {None}


@pytest.mark.parametrize("ends_in", [["S14"], ["S14", "D17"]])
def test_a6_a_check_that_ends_the_process_is_named(
    ends_in: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends in one check, then perhaps in another, as a damaged file can make it."""
    folder = _good(tmp_path / "model")
    really = sandbox.runner("process limits", folder, sandbox.limits_for(folder))
    endings = [Ended(-11, f"a word\npiecehub-check S12\npiecehub-check {check}\n") for check in ends_in]
    monkeypatch.setattr(check.sandboxes, "runner", lambda *_: lambda job: endings.pop(0) if endings else really(job))
    report, instead = _reported(folder)
    assert report, f"no report, but: {instead}"
    found = {finding.check: finding for finding in report.findings}
    assert (found["S14"].passed, found["S12"].passed, found["D1"].passed) == (False, True, None)
    assert found["S14"].sentence == (
        "Expected check S14 to end well in a fresh process. Received: a word (signal 11); if that names no cause, "
        "try again with more memory."
    )


@pytest.mark.parametrize("producer", [0, 1, 3])
def test_c9_the_checksum_means_what_its_producer_meant(producer: int, tmp_path: Path) -> None:
    folder = _good(tmp_path / "model")
    raw = (folder / "saved_model.pb").read_bytes()
    written = FingerprintDef.FromString((folder / "fingerprint.pb").read_bytes())
    written.version.producer = producer
    written.saved_model_checksum = int.from_bytes(tf.fingerprint([raw]).numpy().tobytes(), "little")
    if producer == 0:
        written.saved_model_checksum = 7  # of the graph, as TensorFlow 2.11 wrote it
    (folder / "fingerprint.pb").write_bytes(written.SerializeToString())
    assert _short(static_findings(folder)) == set()
    for field in {"saved_model_checksum"} if producer == 1 else {"checkpoint_hash"}:
        setattr(written, field, 8)
        (folder / "fingerprint.pb").write_bytes(written.SerializeToString())
        assert _short(static_findings(folder)) == {"S14"}


def test_c8_what_is_no_danger_hides_nothing(tmp_path: Path) -> None:
    findings = static_findings(_tf_keras_with_optimizer(tmp_path / "model"))
    (found,) = (found for found in findings if not found.passed)
    assert (found.check, found.level, hinders_loading(findings)) == ("S12", "warn", "")
    harmless = _after(lambda: tf.constant("/home/me/words.txt"))(tmp_path / "harmless")
    found = {finding.check: finding.passed for finding in inside.findings(harmless)}
    assert (found["S8"], found["D1"], found["D17"]) == (False, True, True)
    acts = _after(lambda: tf.io.write_file("numbers", "1"))(tmp_path / "acts")
    assert hinders_loading(static_findings(acts)) == "S4"


def test_c10_a_classic_export_with_assets_and_summaries_is_for_serving_only(tmp_path: Path) -> None:
    folder = _tensorflow_1_with_assets(tmp_path / "model")
    findings = static_findings(folder)
    assert _short(findings) == {"S3"}, [f.sentence for f in findings if not f.passed]
    assert is_for_serving_only(read_graph(folder), findings)
    assert "1 assets" in next(found.sentence for found in findings if found.check == "S10")


def test_a_saver_that_was_left_and_that_nobody_calls_is_no_fault(tmp_path: Path) -> None:
    folder = _tensorflow_1_around_another(tmp_path / "model")
    findings = static_findings(folder)
    # S8: the place that it was loaded from stands in the graph as well.
    assert _short(findings) == {"S3", "S8"}, [f.sentence for f in findings if not f.passed]
    assert is_for_serving_only(read_graph(folder), findings)
    names = [where for where, _ in read_graph(folder).all_nodes]  # so there was something to find
    assert any("traced_save" in name for name in names) and any("traced_restore" in name for name in names)


def _in_its_place(proto: Proto) -> None:
    """TensorFlow may put functions that say so in each other's place."""
    _functions(proto, "traced_save")[0].attr["api_implements"].s = b"forward"


def _by_a_text(proto: Proto) -> None:
    """A node that names the function in a text, as those do that have a gradient of their own."""
    node = _functions(proto, "call")[0].node_def[0]
    node.attr["_gradient_op_type"].s = _functions(proto, "traced_save")[0].signature.name.encode()


def _at_a_place_of_its_own(proto: Proto) -> None:
    nodes = _functions(proto, "traced_save")[0].node_def
    next(node for node in nodes if node.op == "SaveV2").input[0] = _join(nodes, "/va", "r/x")


def _with_python(proto: Proto) -> None:
    _functions(proto, "traced_save")[0].node_def.add(name="evil", op="PyFunc")


@pytest.mark.parametrize("edit", [_in_its_place, _by_a_text, _at_a_place_of_its_own, _with_python])
def test_a_saver_that_was_left_may_neither_be_called_nor_touch_another_file(
    edit: Callable[[Proto], object], tmp_path: Path
) -> None:
    folder = _edited(edit, make=_tensorflow_1_around_another)(tmp_path / "model")
    sentence = next(f.sentence for f in static_findings(folder) if f.check == "S4" and not f.passed)
    assert re.search("(SaveV2|PyFunc) in .*traced_save", sentence), sentence


@pytest.mark.parametrize("tag", ["eval", "transform"])
def test_what_no_server_asks_for_is_not_for_serving(tag: str, tmp_path: Path) -> None:
    folder = _tensorflow_1_around_another(tmp_path / "model", tag)
    findings = static_findings(folder)
    assert _short(findings) >= {"S2", "S3"}
    assert not is_for_serving_only(read_graph(folder), findings)


@pytest.mark.parametrize("name", ["signatures only", "keras export", "TensorFlow 1", "TF1 Hub format"])
def test_what_only_lacks_a_call_is_for_serving(name: str, tmp_path: Path) -> None:
    folder = BAD[name][0](tmp_path / "model")
    assert is_for_serving_only(read_graph(folder), static_findings(folder))


def test_what_acts_is_not_even_for_serving(tmp_path: Path) -> None:
    folder = _edited(_as_init_op, make=_signature_only)(tmp_path / "model")
    assert not is_for_serving_only(read_graph(folder), static_findings(folder))
    folder = _good(tmp_path / "callable")
    assert not is_for_serving_only(read_graph(folder), static_findings(folder))


def test_no_operation_that_takes_a_file_or_an_address_is_allowed() -> None:
    told = re.compile(
        r"file(name|pattern)?s?|.*(path|address|url|server)|descriptor_source|memory_region_name|.*module"
    )
    known = [op_def_registry.get(name) for name in _all_operations()]
    outward = {
        op.name for op in known if any(told.fullmatch(part.name) for part in (*op.input_arg, *op.attr))
    } - ops.TABLE_FILES
    assert {"ReadFile", "ImmutableConst", "DecodeProtoV2", "TextLineDataset", "MlirPassthroughOp"} <= outward
    assert [name for name in sorted(outward) if ops.is_allowed(name)] == []


def test_state_that_nobody_has_looked_at_is_refused() -> None:
    names = _all_operations()
    assert len(names) > 1500
    stateful = {name for name in names if op_def_registry.get(name).is_stateful}
    allowed = {name for name in stateful if ops.is_allowed(name)}
    assert {"VarHandleOp", "HashTableV2", "RandomUniform", "While", "StatefulPartitionedCall"} <= allowed
    assert not any(re.search("Dataset|Queue|Collective|Rpc|Reader|Summary|Iterator[^G]", name) for name in allowed)
    assert not ops.is_allowed("NoSuchOperation")


def _all_operations() -> list[str]:
    from tensorflow.core.framework.op_def_pb2 import OpList
    from tensorflow.python.client import pywrap_tf_session

    listed = OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return [op.name for op in listed.op]


def test_a_file_that_is_none_or_damaged_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReusableError, match=r"saved_model\.pb"):
        static_findings(tmp_path)
    path = tmp_path / "saved_model.pb"
    path.write_bytes(b"\xff" * 100)
    first, *others = static_findings(tmp_path)
    assert (first.check, first.passed, {found.passed for found in others}) == ("S1", False, {None})
    assert "a damaged file; fetch it again" in first.sentence
    assert hinders_loading([first, *others]) == "S1"
    with path.open("r+b") as file:
        file.truncate(2 << 30)
    with pytest.raises(NotReusableError, match="smaller than 2 GiB"):
        static_findings(tmp_path)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(NotReusableError, match=r"saved_model\.pb"):
        static_findings(tmp_path)


def test_a_proto_of_nothing_is_a_report(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert {"S2", "S3"} <= _short(static_findings(tmp_path))
    shutil.rmtree(tmp_path)
