"""Each check has a model that falls short at it and at nothing else."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from piecehub.conformance import ConformanceReport, Finding
from piecehub.content import content_digest, list_files
from piecehub.errors import ArchiveError, NotReusableError
from piecehub.modeling.conformance import inside
from piecehub.modeling.conformance.check import check_saved_model

ALL = ["S1", "S2", "S3", "S4", "S8", "S13", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D10", "D11"]
ROWS = tf.TensorSpec([None, 4], tf.float32, name="inputs")
Forward = Callable[..., Any]
_variable: Any = tf.Variable


def _root(forward: Forward, spec: Any = ROWS, traces: tuple[bool, ...] = (False, True)) -> Any:
    """A minimal model with weights `w`, regularized, whose `__call__` is `forward(root, inputs, training)`."""

    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return forward(self, inputs, training)

    root: Any = Root()
    root.w = _variable([[0.5, -1.0, 2.0]] * 4, name="w")
    root.state = _variable(0.0, trainable=False, name="state")
    root.seed = _variable(0, trainable=False, name="seed")
    root.variables, root.trainable_variables = [root.w, root.state, root.seed], [root.w]
    root.regularization_losses = [tf.function(lambda: 0.01 * tf.nn.l2_loss(root.w), input_signature=[])]
    for training in traces:
        root.__call__.get_concrete_function(spec, training=training)
    return root


def _save(root: Any, folder: Path, serve: Forward | None = None) -> Path:
    function = tf.function(serve or root.__call__, autograph=False).get_concrete_function(ROWS)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": function})
    return folder


def _plain(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + 0.0 * root.state


def _python(root: Any, x: Any, training: bool) -> Any:
    return tf.ensure_shape(tf.numpy_function(lambda a: a, [x @ root.w], tf.float32), [None, 3])


def _reads_file(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.cast(tf.strings.length(tf.io.read_file("assets/numbers")), tf.float32)


def _path(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.cast(tf.strings.length(tf.identity("/home/me/words.txt")), tf.float32)


def _softmax(root: Any, x: Any, training: bool) -> Any:
    return tf.reshape(tf.nn.softmax(x @ root.w), [-1, 3])


def _softmax_by_hand(root: Any, x: Any, training: bool) -> Any:
    powers = tf.exp(x @ root.w)
    return powers / tf.reduce_sum(powers, axis=1, keepdims=True)


def _sigmoid(root: Any, x: Any, training: bool) -> Any:
    return tf.sigmoid(x @ root.w)


def _stopped(root: Any, x: Any, training: bool) -> Any:
    return x @ tf.stop_gradient(root.w)


def _among_others(root: Any, x: Any, training: bool) -> Any:
    return (x - tf.reduce_mean(x, axis=0)) @ root.w


def _one_row(root: Any, x: Any, training: bool) -> Any:
    return tf.reduce_sum(x @ root.w, axis=0, keepdims=True)


def _impure(root: Any, x: Any, training: bool) -> Any:
    root.state.assign_add(1.0)
    return x @ root.w


def _random(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.random.normal([1, 3], seed=1)


def _seed_moves(root: Any, x: Any, training: bool) -> Any:
    root.seed.assign_add(1)
    return x @ root.w


def _good(folder: Path) -> Path:
    return _save(_root(_plain), folder)


def _of(forward: Forward) -> Callable[[Path], Path]:
    return lambda folder: _save(_root(forward), folder)


def _changed(change: Callable[[Any], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        root = _root(_plain)
        change(root)
        return _save(root, folder)

    return make


def _edited(edit: Callable[[saved_model_pb2.SavedModel], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = _good(folder) / "saved_model.pb"
        proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        edit(proto)
        path.write_bytes(proto.SerializeToString())
        return folder

    return make


def _with_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = _good(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        return folder

    return make


def _signature_only(folder: Path) -> Path:
    root = tf.__internal__.tracking.AutoTrackable()
    root.w = _variable([[1.0, 2.0, 3.0]] * 4)
    return _save(root, folder, lambda inputs: {"outputs": inputs @ root.w})


def _fixed_batch(folder: Path) -> Path:
    root = _root(_plain, tf.TensorSpec([8, 4], tf.float32))
    return _save(root, folder, lambda inputs: inputs @ root.w)


def _no_training_trace(folder: Path) -> Path:
    return _save(_root(_plain, traces=(False,)), folder)


def _true_by_default(folder: Path) -> Path:
    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = True) -> Any:
            return inputs @ self.w

    root: Any = Root()
    root.w = _variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    for training in (False, True):
        root.__call__.get_concrete_function(ROWS, training=training)
    return _save(root, folder)


def _two_arguments(folder: Path) -> Path:
    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, left: Any, right: Any) -> Any:
            return left @ self.w + right @ self.w

    root: Any = Root()
    root.w = _variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    root.__call__.get_concrete_function(ROWS, ROWS)
    return _save(root, folder, lambda inputs: inputs @ root.w)


def _serves_twice(folder: Path) -> Path:
    root = _root(_plain)
    return _save(root, folder, lambda inputs: {"outputs": 2 * root(inputs)})


def _serves_nothing(folder: Path) -> Path:
    tf.saved_model.save(_root(_plain), str(folder), signatures={})
    return folder


def _loss(function: Callable[[Any], Any]) -> Callable[[Any], None]:
    return lambda root: setattr(
        root, "regularization_losses", [tf.function(lambda: function(root), input_signature=[])]
    )


def _shared_name(proto: saved_model_pb2.SavedModel) -> None:
    nodes = proto.meta_graphs[0].graph_def.node
    handle = next(node for node in nodes if node.op == "VarHandleOp")
    handle.attr["shared_name"].s = b"hash_table_/home/me/words.txt_-2_-1"


def _bucket(proto: saved_model_pb2.SavedModel) -> None:
    proto.meta_graphs[0].graph_def.node[0].attr["source"].s = b"gs://bucket/words.txt"


def _saver_runs_call(proto: saved_model_pb2.SavedModel) -> None:
    """Hides an operation that writes files in `__call__`, and names the call as the saver's."""
    graph = proto.meta_graphs[0]
    name = next(name for name in graph.object_graph_def.concrete_functions if "__call__" in name)
    function = next(f for f in graph.graph_def.library.function if f.signature.name == name)
    function.node_def.add(name="evil", op="WriteFile")
    node = graph.graph_def.node.add(name="evil_saver", op="StatefulPartitionedCall")
    node.attr["f"].func.name = name
    graph.saver_def.save_tensor_name = "evil_saver:0"


BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "dotfile": (_with_file(".hidden"), "S1", r"'\.hidden'"),
    "readme": (_with_file("README.md"), "S1", r"'README\.md'"),
    "strange file among variables": (_with_file("variables/notes.txt"), "S1", "notes"),
    "two MetaGraphs": (_edited(lambda p: p.meta_graphs.add().CopyFrom(p.meta_graphs[0])), "S2", "serve"),
    "other tags": (_edited(lambda p: p.meta_graphs[0].meta_info_def.tags.append("gpu")), "S2", "gpu"),
    "no __call__": (_signature_only, "S3", "signatures only"),
    "Python inside": (_of(_python), "S4", "PyFunc"),
    "reads a file": (_of(_reads_file), "S4", "ReadFile"),
    "hidden behind the saver": (_edited(_saver_runs_call), "S4", "WriteFile"),
    "path in a constant": (_of(_path), "S8", "/home/me/words.txt"),
    "path in an attribute": (_edited(_shared_name), "S8", "/home/me/words.txt"),
    "bucket in an attribute": (_edited(_bucket), "S8", "gs://bucket"),
    "unlisted variable": (_changed(lambda r: setattr(r, "variables", [r.w])), "D2", "'state' missing"),
    "no trainable variable": (_changed(lambda r: setattr(r, "trainable_variables", [])), "D3", "Received: none"),
    "trainable but not listed": (
        _changed(lambda r: (setattr(r, "other", _variable(1.0)), setattr(r, "trainable_variables", [r.w, r.other]))),
        "D3",
        "not in it",
    ),
    "trainable but frozen": (
        _changed(lambda r: setattr(r, "trainable_variables", [r.w, r.state])), "D3", "made as not trainable",
    ),
    "loss of rank 2": (_changed(_loss(lambda r: r.w)), "D4", "finite float scalar"),
    "loss that is no number": (_changed(_loss(lambda r: tf.reduce_sum(r.w) * float("nan"))), "D4", "nan"),
    "two arguments": (_two_arguments, "D5", "left, right"),
    "no training trace": (_no_training_trace, "D6", "none for True"),
    "training by default": (_true_by_default, "D6", "Received: True"),
    "fixed batch": (_fixed_batch, "D7", r"\(8, 4\)"),
    "depends on other rows": (_of(_among_others), "D7", "whatever else is in the batch"),
    "no row for each example": (_of(_one_row), "D7", "5 rows"),
    "impure inference": (_of(_impure), "D8", "changes of state"),
    "random inference": (_of(_random), "D8", "second call"),
    "softmax": (_of(_softmax), "D10", "Softmax"),
    "softmax by hand": (_of(_softmax_by_hand), "D10", "sum to 1"),
    "sigmoid": (_of(_sigmoid), "D10", "Sigmoid"),
    "stopped gradient": (_of(_stopped), "D11", "none for 1 of 1"),
    "serves other numbers": (_serves_twice, "S13", "others for 'outputs'"),
    "serves nothing": (_serves_nothing, "S13", "no signature"),
}  # fmt: skip
# What falls short with it, by its nature.
ALSO = {
    "hidden behind the saver": {"S8"},  # the true saver's file names are no longer excused
    "trainable but not listed": {"D11"},  # nothing uses it
    "trainable but frozen": {"D11"},  # no tape watches it
    "random inference": {"D7", "S13"},  # nothing equals itself
}


def _short(findings: list[Finding]) -> set[str]:
    return {found.check for found in findings if found.passed is False}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_is_caught_by_its_own_check(name: str, tmp_path: Path) -> None:
    make, check, words = BAD[name]
    findings = inside.findings(make(tmp_path / "model"))
    assert _short(findings) == {check} | ALSO.get(name, set())
    sentence = next(found.sentence for found in findings if found.check == check)
    assert re.search(words, sentence), sentence
    assert [found.check for found in findings] == ALL


def test_a_good_model_passes_every_check(made: Any) -> None:
    findings = inside.findings(made.saved_model)
    assert [found.check for found in findings] == ALL
    assert [found for found in findings if found.passed is not True] == []


def test_moving_the_seed_at_inference_is_told_and_passes(tmp_path: Path) -> None:
    findings = inside.findings(_save(_root(_seed_moves), tmp_path / "model"))
    assert "integer state" in next(found.sentence for found in findings if found.check == "D8")
    assert _short(findings) == set()


def test_checking_leaves_the_variables_as_they_were(made: Any) -> None:
    before = content_digest(list_files(made.saved_model))
    inside.findings(made.saved_model)
    assert content_digest(list_files(made.saved_model)) == before


def test_texts_and_dicts_can_be_checked(tmp_path: Path) -> None:
    specs = {"text": tf.TensorSpec([None], tf.string), "count": tf.TensorSpec([None, 1], tf.int32)}

    def forward(root: Any, inputs: Any, training: bool) -> Any:
        length = tf.cast(tf.strings.length(inputs["text"])[:, None] + inputs["count"], tf.float32)
        return {"default": tf.tile(length, [1, 4]) @ root.w + 0.0 * root.state}

    root = _root(forward, specs)
    serve = tf.function(lambda **inputs: root(inputs)).get_concrete_function(**specs)
    tf.saved_model.save(root, str(tmp_path / "model"), signatures={"serving_default": serve})
    assert _short(inside.findings(tmp_path / "model")) == set()


def test_the_whole_check_runs_in_a_fresh_process_on_a_moved_copy(made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.saved_model, folder)
    report = check_saved_model(folder)
    assert report.conforms
    assert report.digest == made.export_facts.digest
    assert [found.check for found in report.findings] == ALL
    report.write(tmp_path)
    assert ConformanceReport.read(tmp_path) == report
    assert list_files(folder) == list_files(made.saved_model)


def test_a_model_without_call_is_not_run_and_the_verdict_names_s3(tmp_path: Path) -> None:
    report = check_saved_model(_signature_only(tmp_path / "model"))
    assert not report.conforms
    assert report.failures[0].check == "S3"
    dynamic = [found for found in report.findings if found.check.startswith("D")]
    assert {found.passed for found in dynamic} == {None}
    assert "S3 fell short" in dynamic[0].sentence


def test_a_model_that_does_not_load_falls_short_at_d1(tmp_path: Path) -> None:
    folder = _good(tmp_path / "model")
    shutil.rmtree(folder / "variables")
    findings = {found.check: found for found in inside.findings(folder)}
    assert findings["D1"].passed is False
    assert findings["D7"].passed is None


def test_a_model_that_ends_the_process_falls_short_at_d1(tmp_path: Path) -> None:
    found = inside.findings_after_crash(str(_good(tmp_path / "model")), "Received: signal 11.")
    by_check = {finding["check"]: finding for finding in found}
    assert by_check["D1"]["passed"] is False
    assert by_check["D1"]["sentence"] == "Received: signal 11."
    assert by_check["S3"]["passed"] is True
    assert by_check["D2"]["passed"] is None


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotReusableError, match=r"saved_model\.pb"):
            check_saved_model(folder)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(ArchiveError, match="damaged"):
        inside.findings(tmp_path)
