"""What code written for one model misses in another one."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from piecehub.comparing.interface import Call, Interface, Signature, interface_of, lacks, spec_text
from piecehub.conformance.graph import read_graph
from piecehub.facts import piece_manifest
from tests.comparing.conftest import Make

IMAGES = {"shape": [None, 8, 8, 1], "dtype": "float32"}
ANY_IMAGES = {"shape": [None, None, None, 1], "dtype": "float32"}
ROWS = {"shape": [None, 4], "dtype": "float32"}


def _read(folder: Path) -> Interface:
    return interface_of(read_graph(folder), piece_manifest.read(folder))


def _interface(inputs: Any = IMAGES, outputs: Any = ROWS, **changes: Any) -> Interface:
    calls = tuple(Call(inputs, outputs, training) for training in (True, False))
    values: dict[str, Any] = {
        "calls": calls,
        "hyperparameters": (),
        "trainable_variables": 2,
        "sub_pieces": (),
        "signatures": {"serving_default": Signature({"inputs": IMAGES}, {"outputs": ROWS})},
    }
    return Interface(**values | changes)


def test_a_piece_is_read_without_loading_it(folder: Make) -> None:
    found = _read(folder(dropout=0.5, adjustable=True))
    assert {call.training for call in found.calls} == {True, False}
    assert [call.inputs for call in found.calls] == [IMAGES] * len(found.calls)
    assert found.calls[0].outputs == ROWS
    assert (found.hyperparameters, found.trainable_variables) == (("dropout_rate",), 2)
    assert found.signatures["serving_default"].inputs == {"inputs": IMAGES}
    assert found.signatures["serving_default"].outputs == {"outputs": ROWS}


def test_signatures_alone_cannot_stand_in_for_a_piece_and_a_piece_can_for_them(folder: Make, tmp_path: Path) -> None:
    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1])])
        def serve(self, inputs: Any) -> Any:
            return {"outputs": tf.reduce_mean(inputs, [1, 2]) * [1.0, 2.0, 3.0, 4.0]}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "served"), {"serving_default": served.serve})
    piece, signatures = _read(folder()), _read(tmp_path / "served")
    assert not signatures.calls
    assert list(lacks(piece, signatures)) == []
    assert list(lacks(signatures, piece)) == [
        "Expected a model that can be called and fine-tuned. Received: signatures only.",
        "Expected trainable variables. Received: none.",
    ]


@pytest.mark.parametrize(
    ("wider", "narrower"),
    [
        (IMAGES, IMAGES),
        (ANY_IMAGES, IMAGES),
        ({"shape": None, "dtype": "float32"}, IMAGES),
        ({"a": ANY_IMAGES, "b": ROWS}, {"a": IMAGES, "b": ROWS}),
        ([ANY_IMAGES, ROWS], [IMAGES, ROWS]),
    ],
)
def test_inputs_may_become_wider_and_outputs_narrower_but_never_the_other_way(wider: Any, narrower: Any) -> None:
    assert list(lacks(_interface(inputs=wider), _interface(inputs=narrower))) == []
    assert list(lacks(_interface(outputs=narrower), _interface(outputs=wider))) == []
    if wider != narrower:
        (refused,) = lacks(_interface(inputs=narrower), _interface(inputs=wider))
        assert refused == f"Expected inputs {spec_text(wider)}. Received: {spec_text(narrower)}."
        (refused,) = lacks(_interface(outputs=wider), _interface(outputs=narrower))
        assert refused == f"Expected outputs {spec_text(narrower)}. Received: {spec_text(wider)}."


@pytest.mark.parametrize(
    "other",
    [
        {"shape": [None, 8, 8, 1], "dtype": "uint8"},
        {"shape": [None, 8, 8, 3], "dtype": "float32"},
        {"shape": [None, 8, 8], "dtype": "float32"},
        {"shape": [None, 8, 8, 1], "dtype": "float32", "ragged_rank": 1},
        {"shape": [None, 8, 8, 1], "dtype": "float32", "sparse": True},
        {"image": IMAGES},
        [IMAGES],
        [IMAGES, ROWS],
    ],
)
def test_inputs_of_another_kind_do_not_fit(other: Any) -> None:
    assert len(list(lacks(_interface(inputs=other), _interface()))) == 1
    assert len(list(lacks(_interface(), _interface(inputs=other)))) == 1


def test_a_dict_of_outputs_may_have_more_keys_but_not_one_of_inputs() -> None:
    one, two = {"a": ROWS}, {"a": ROWS, "b": ROWS}
    assert list(lacks(_interface(outputs=two), _interface(outputs=one))) == []
    assert len(list(lacks(_interface(outputs=one), _interface(outputs=two)))) == 1
    assert len(list(lacks(_interface(inputs=two), _interface(inputs=one)))) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hyperparameters": ("dropout_rate",)}, "Expected the hyperparameter 'dropout_rate'. Received: none."),
        ({"sub_pieces": ("core",)}, "Expected the sub-piece 'core'. Received: none."),
        (
            {"signatures": {"embed": Signature({}, {})}},
            "Expected the signature 'embed'. Received: serving_default.",
        ),
        (
            {"signatures": {"serving_default": Signature({"images": IMAGES}, {"outputs": ROWS})}},
            "Expected inputs {images: float32 [batch, 8, 8, 1]} of the signature 'serving_default'. Received: "
            "{inputs: float32 [batch, 8, 8, 1]}.",
        ),
        (
            {"signatures": {"serving_default": Signature({"inputs": IMAGES}, {"embedding": ROWS})}},
            "Expected outputs {embedding: float32 [batch, 4]} of the signature 'serving_default'. Received: "
            "{outputs: float32 [batch, 4]}.",
        ),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], sentence: str) -> None:
    assert list(lacks(_interface(), _interface(**changes))) == [sentence]


def test_training_must_be_there_if_it_was() -> None:
    inference = _interface(calls=(Call(IMAGES, ROWS, False),))
    assert list(lacks(inference, _interface())) == ["Expected calls with training=True. Received: none."]
    assert list(lacks(_interface(), inference)) == []
    assert list(lacks(_interface(trainable_variables=0), _interface())) == [
        "Expected trainable variables. Received: none."
    ]


def test_specs_are_written_for_a_person() -> None:
    ragged = {"shape": [None, None], "dtype": "string", "ragged_rank": 1}
    assert spec_text({"ids": ROWS, "words": [ragged]}) == "{ids: float32 [batch, 4], words: [string [batch, ?] ragged]}"
    assert spec_text({"shape": None, "dtype": "int64", "sparse": True}) == "int64 of any shape sparse"
    assert spec_text({"shape": [8, 3], "dtype": "bool"}) == "bool [8, 3]"
