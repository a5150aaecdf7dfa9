"""Recurrent layers after loading: differentiable again and again, pure at inference, and free of cuDNN."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.exporting import model_kinds as kinds
from tests.exporting.model_kinds import KINDS

RECURRENT = ["recurrent", "custom_rnn", "stateful_rnn", "tf_keras_lstm"]


@pytest.fixture(params=RECURRENT)
def folder(request: pytest.FixtureRequest, exported_kind: Callable[[str], Path]) -> Path:
    return exported_kind(request.param)


@pytest.mark.parametrize("name", ["custom_rnn", pytest.param("tf_keras_lstm", marks=pytest.mark.long)])
def test_a_second_gradient_equals_the_first(name: str, exported_kind: Callable[[str], Path]) -> None:
    """A persistent tape; eager first, then in a graph (tensorflow#51535). TensorFlow takes long for it."""
    folder = exported_kind(name)
    loaded: Any = tf.saved_model.load(str(folder))
    x, variables = KINDS[name].inputs(), list(loaded.trainable_variables)
    state = [v for v in loaded.variables if all(v is not trained for trained in variables)]
    before = [v.numpy() for v in state]

    def gradients(times: int) -> list[Any]:
        with tf.GradientTape(persistent=True) as tape:
            loss = kinds.data_loss(loaded(x, training=True))
        return [[tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)] for _ in range(times)]

    eager = gradients(2)
    for variable, value in zip(state, before, strict=True):
        variable.assign(value)
    graph = tf.function(lambda: gradients(1), autograph=False)()
    for other in (eager[1], graph[0]):
        for one, two in zip(eager[0], other, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("name", RECURRENT)
def test_inference_changes_no_variable(name: str, exported_kind: Callable[[str], Path]) -> None:
    loaded: Any = tf.saved_model.load(str(exported_kind(name)))
    before = [v.numpy() for v in loaded.variables]
    loaded(KINDS[name].inputs(), training=False)
    for variable, value in zip(loaded.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_no_operation_needs_a_gpu(folder: Path) -> None:
    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert {"While", "StatelessWhile"} & operations
    assert not {name for name in operations if "cudnn" in name.lower()}
