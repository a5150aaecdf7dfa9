"""Each fault of a piece is caught, and named by its own finding."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from piecehub.facts.conformance_report import Finding, report
from piecehub.transfer.evaluation import Means, Subject, evaluate
from piecehub.transfer.gate import judge
from piecehub.transfer.rule import Rule
from tests.transfer.faulty_pieces import FAULTY, in_powers, with_small_weights, write
from tests.transfer.findings import findings, short

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_named_by_its_own_finding(name, tmp_path):
    fault = FAULTY[name]
    fault.write(tmp_path / "piece")
    said = short(findings(tmp_path / "piece"))
    assert set(said) == {fault.finding} | fault.also, said
    assert re.search(fault.words, said[fault.finding]), said[fault.finding]


def test_the_piece_without_a_fault_falls_short_nowhere(tmp_path):
    write(tmp_path / "piece")
    assert short(findings(tmp_path / "piece")) == {}


def test_the_gate_names_the_fault_that_it_refuses(make_evidence, tmp_path):
    FAULTY["statistics that never move"].write(tmp_path / "piece")
    conformance = report("sha256:candidate", findings(tmp_path / "piece"))
    verdict = judge([make_evidence()], conformance, None, Rule())
    assert verdict.status == "NOT_BLESSED"
    assert "D24 running statistics follow the batch" in verdict.reasons[0]


def test_divergence_at_the_learning_rate_of_the_evaluation_is_refused(task, protocol, write_control, tmp_path):
    import tensorflow as tf

    write(tmp_path / "piece", in_powers, change=with_small_weights)
    piece = tf.saved_model.load(str(tmp_path / "piece"))
    for seed in protocol.seeds:
        write_control(SimpleNamespace(variables=list(piece.variables)), tmp_path / "controls" / f"seed-{seed}")
    evidence = evaluate(
        Subject(tmp_path / "piece", tmp_path / "controls"),
        task,
        replace(protocol, learning_rates=(0.3,)),
        Means(tmp_path / "trials", workers=2),
        tmp_path / "evidence",
    )
    assert {cell.diverged for cell in evidence.cells if cell.mode == "fine_tuning"} == {len(protocol.seeds)}
    conforms = report(evidence.piece_digest, [Finding("S1", "can be loaded", "fail", True, "It loads.")])
    verdict = judge([evidence], conforms, None, Rule(min_seeds=3))
    assert verdict.status == "NOT_BLESSED"
    assert verdict.reasons == (
        "Expected at most 5 % of the fine-tunings to diverge. Received: 6 of 6 on trees; lower the learning rates.",
    )
