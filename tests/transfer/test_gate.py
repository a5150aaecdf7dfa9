import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from piecehub.errors import DataError, RecipeError
from piecehub.facts.conformance_report import Finding, report
from piecehub.transfer import gate
from piecehub.transfer.full_model import wilson
from piecehub.transfer.gate import IncumbentEvidence, judge
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.rule import Rule
from piecehub.transfer.verdict import Verdict

GOOD = report("sha256:candidate", [Finding("S1", "can be loaded", "fail", True, "It loads.")])


def published(*evidences) -> IncumbentEvidence:
    return IncumbentEvidence("piecehub/trees/1", "sha256:published", evidences)


def test_a_piece_that_keeps_every_rule_is_blessed_and_the_reasons_say_why(make_evidence):
    incumbent = published(make_evidence(folder="old", piece="sha256:published", fine_tuning=0.89))
    verdict = judge([make_evidence()], GOOD, incumbent, Rule())
    assert verdict.blessed
    assert [c.rule for c in verdict.contrasts] == ["superiority", "non_inferiority", "features"]
    assert "Received: +9." in verdict.reasons[0] and verdict.reasons[0].endswith("on trees.")


def test_the_gain_equals_the_mean_of_the_paired_differences(make_evidence):
    evidence = make_evidence()
    verdict = judge([evidence], GOOD, None, Rule())
    mean = (evidence.scores["fine_tuning"] - evidence.scores["from_scratch"]).mean()
    assert verdict.contrasts[0].estimate == pytest.approx(mean, abs=1e-6)


def test_no_gain_over_from_scratch_is_refused_with_its_numbers(make_evidence):
    verdict = judge([make_evidence(fine_tuning=0.8, from_scratch=0.8)], GOOD, None, Rule())
    assert verdict.status == "NOT_BLESSED"
    (reason,) = verdict.reasons
    assert reason.startswith("Expected a gain over from scratch whose 95 % interval lies above 0.75. Received: ")
    assert not verdict.contrasts[0].held and verdict.contrasts[0].low <= 0 <= verdict.contrasts[0].high


def test_the_gain_must_exceed_the_least_gain(make_evidence):
    evidence = make_evidence()
    assert judge([evidence], GOOD, None, Rule(min_gain=0.05)).blessed
    assert judge([evidence], GOOD, None, Rule(min_gain=0.12)).status == "NOT_BLESSED"


def test_one_task_without_a_gain_is_enough_to_refuse(make_evidence):
    tasks = [make_evidence(), make_evidence(folder="b", task="leaves", fine_tuning=0.8)]
    verdict = judge(tasks, GOOD, None, Rule())
    assert verdict.status == "NOT_BLESSED"
    assert all("leaves" in reason for reason in verdict.reasons)


def test_a_piece_worse_than_the_incumbent_is_refused(make_evidence):
    incumbent = published(make_evidence(folder="old", piece="sha256:published", fine_tuning=0.97))
    evidence = make_evidence()
    verdict = judge([evidence], GOOD, incumbent, Rule())
    assert verdict.status == "NOT_BLESSED"
    assert "piecehub/trees/1" in verdict.reasons[0]
    assert judge([evidence], GOOD, incumbent, Rule(non_inferiority_margin=0.2)).blessed


def test_a_piece_that_is_not_shown_to_be_as_good_as_the_incumbent_is_refused(make_evidence):
    """The estimate alone lies within the margin; its lower bound does not."""
    incumbent = published(make_evidence(folder="old", piece="sha256:published", fine_tuning=0.92))
    verdict = judge([make_evidence()], GOOD, incumbent, Rule(non_inferiority_margin=0.02))
    contrast = next(c for c in verdict.contrasts if c.rule == "non_inferiority")
    assert contrast.low < contrast.bound < contrast.estimate
    assert not contrast.held and verdict.status == "NOT_BLESSED"


def test_the_published_piece_itself_is_not_inferior_without_any_evidence(make_evidence):
    incumbent = IncumbentEvidence("piecehub/trees/1", "sha256:candidate", ())
    assert judge([make_evidence()], GOOD, incumbent, Rule()).blessed


@pytest.mark.parametrize("change", [{"seeds": 6}, {"without": "fine_tuning"}, {"device": "gpu"}])
def test_an_incumbent_that_cannot_be_compared_is_refused_or_accepted_as_the_rule_says(make_evidence, change):
    incumbent = published(make_evidence(folder="old", piece="sha256:published", **change))
    evidence = make_evidence()
    assert judge([evidence], GOOD, incumbent, Rule()).status == "NOT_BLESSED"
    accepted = judge([evidence], GOOD, incumbent, Rule(incomparable_incumbent="accept"))
    assert accepted.blessed and "the rule accepts" in " ".join(accepted.reasons)


def test_frozen_features_worse_than_random_ones_are_refused(make_evidence):
    verdict = judge([make_evidence(feature_extraction=0.5)], GOOD, None, Rule())
    assert verdict.status == "NOT_BLESSED"
    assert "random ones" in verdict.reasons[0]
    # Merely not better is no reason: pieces that fine-tune well may have such features.
    assert judge([make_evidence(folder="b", feature_extraction=0.7)], GOOD, None, Rule()).blessed


def test_frozen_features_that_predict_just_what_random_ones_do_are_no_worse(make_evidence):
    verdict = judge([make_evidence(feature_extraction=1.0, random_features=1.0)], GOOD, None, Rule())
    found = next(contrast for contrast in verdict.contrasts if contrast.rule == "features")
    assert (found.low, found.high, found.held) == (0, 0, True)
    assert verdict.blessed


def test_a_piece_with_a_parent_must_gain_over_its_parent(make_evidence):
    child = replace(make_evidence(from_scratch=0.9, feature_extraction=0.5), parent="piecehub/trees/1")
    gain, features = judge([child], GOOD, None, Rule()).reasons
    assert gain.startswith("Expected a gain over its parent piecehub/trees/1 whose 95 % interval lies above 0.75. ")
    assert features.startswith("Expected frozen features that are not significantly worse than its parent's.")


def test_a_piece_with_a_parent_is_compared_with_an_incumbent_without_one(make_evidence):
    incumbent = published(make_evidence(folder="old", piece="sha256:published", fine_tuning=0.89))
    child = replace(make_evidence(), parent="piecehub/trees/1")
    assert judge([child], GOOD, incumbent, Rule()).blessed


def test_too_few_seeds_are_inconclusive_whatever_the_gain(make_evidence):
    verdict = judge([make_evidence(seeds=4)], GOOD, None, Rule())
    assert verdict.status == "INCONCLUSIVE" and not verdict.blessed
    assert "Received: 4 on trees" in verdict.reasons[0]
    assert judge([make_evidence(seeds=4, folder="b")], GOOD, None, Rule(min_seeds=4)).blessed


def test_a_check_that_could_not_be_finished_decides_nothing(make_evidence):
    unmade = Finding("D27", "common learning rates", "warn", None, "Could not be finished: it took more than 900 s.")
    stopped = replace(GOOD, findings=(*GOOD.findings, unmade), unfinished="D27")
    evidence = make_evidence()
    verdict = judge([evidence], stopped, None, Rule())
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.reasons == (
        "Expected checks that come to an end. Received: D27 could not be finished: it took more than 900 s.",
    )
    short = replace(stopped, findings=(*stopped.findings, Finding("D3", "title", "fail", False, "They do not.")))
    assert judge([evidence], short, None, Rule()).status == "NOT_BLESSED"


@pytest.mark.parametrize("passed", [False, None])
def test_a_piece_that_does_not_conform_is_refused(make_evidence, passed):
    bad = report("sha256:candidate", [Finding("D3", "statistics move", "fail", passed, "They do not.")])
    verdict = judge([make_evidence()], bad, None, Rule())
    assert verdict.status == "NOT_BLESSED"
    assert "D3 statistics move" in verdict.reasons[0]


def test_a_warning_does_not_refuse(make_evidence):
    warned = report("sha256:candidate", [*GOOD.findings, Finding("S9", "is small", "warn", False, "It is large.")])
    assert judge([make_evidence()], warned, None, Rule()).blessed


def test_evidence_that_is_missing_or_of_another_piece_is_refused(make_evidence):
    assert judge([], GOOD, None, Rule()).status == "NOT_BLESSED"
    assert judge([make_evidence()], report("sha256:candidate", []), None, Rule()).status == "NOT_BLESSED"
    other = judge([make_evidence(folder="b", piece="sha256:other")], GOOD, None, Rule())
    assert other.status == "NOT_BLESSED" and "sha256:other" in other.reasons[0]


def test_diverging_trainings_and_missing_modes_are_refused(make_evidence):
    diverged = judge([make_evidence(diverged=1)], GOOD, None, Rule())
    assert diverged.status == "NOT_BLESSED" and "2 of 10" in diverged.reasons[0]
    missing = judge([make_evidence(folder="b", without="from_scratch")], GOOD, None, Rule())
    assert missing.status == "NOT_BLESSED" and "from_scratch" in missing.reasons[0]


def test_evidence_that_lost_its_predictions_raises_rather_than_blesses(make_evidence):
    evidence = make_evidence()
    (evidence.folder / "predictions.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="predictions"):
        judge([evidence], GOOD, None, Rule())


def test_an_evaluation_that_its_budget_ended_is_inconclusive(make_evidence):
    ended = replace(make_evidence(), cells=(), incomplete_because="the budget was spent after 3 of 80 trials")
    verdict = judge([ended, make_evidence(folder="b", task="leaves")], GOOD, None, Rule())
    assert verdict.status == "INCONCLUSIVE" and not verdict.blessed
    assert verdict.reasons == (
        "Expected every trial on trees. Received: the budget was spent after 3 of 80 trials; raise the budget and run "
        "again, finished trials are kept.",
    )


def test_a_task_may_have_a_least_gain_and_a_margin_of_its_own(make_evidence):
    incumbent = published(make_evidence(folder="old", piece="sha256:published", fine_tuning=0.97))
    tasks = {"trees": {"non_inferiority_margin": 0.2}}
    assert judge([make_evidence()], GOOD, incumbent, Rule(tasks=tasks)).blessed
    greedy = Rule(tasks={"trees": {"min_gain": 0.12}})
    assert judge([make_evidence(folder="b")], GOOD, None, greedy).status == "NOT_BLESSED"
    assert judge([make_evidence(folder="c", task="leaves")], GOOD, None, greedy).blessed


def test_a_negative_control_warns_and_neither_blesses_nor_refuses(make_evidence):
    rule = Rule(tasks={"noise": {"role": "negative_control"}})
    gaining = make_evidence(folder="b", task="noise")
    verdict = judge([make_evidence(), gaining], GOOD, None, rule)
    assert verdict.blessed and {c.task for c in verdict.contrasts} == {"trees"}
    (warning,) = verdict.warnings
    assert warning.startswith("Expected no gain on noise, which is a negative control. Received: +9.")
    silent = make_evidence(folder="c", task="noise", fine_tuning=0.8)
    assert judge([make_evidence(folder="d"), silent], GOOD, None, rule).warnings == ()
    alone = judge([gaining], GOOD, None, rule)
    assert alone.status == "NOT_BLESSED" and "at least one task of the gate" in alone.reasons[0]


def test_a_reported_task_is_no_reason(make_evidence):
    rule = Rule(tasks={"leaves": {"role": "report"}})
    losing = make_evidence(folder="b", task="leaves", fine_tuning=0.6)
    verdict = judge([make_evidence(), losing], GOOD, None, rule)
    assert verdict.blessed and verdict.warnings == ()


def test_a_gain_on_some_tasks_is_asked_for_by_holm(make_evidence):
    gaining = [make_evidence(folder=name, task=name) for name in ("a", "b")]
    flat = make_evidence(folder="c", task="c", fine_tuning=0.8)
    for wanted, blessed in ((1, True), (2, True), (3, False)):
        verdict = judge([*gaining, flat], GOOD, None, Rule(min_tasks=wanted))
        assert verdict.blessed == blessed
        assert [c.held for c in verdict.contrasts if c.rule == "superiority"] == [True, True, False]
    assert "on at least 3 of 3 tasks" in verdict.reasons[0] and "Received: 2; a +9." in verdict.reasons[0]


def test_what_upstream_and_downstream_share_and_approximate_controls_are_warned_of(make_evidence):
    found = Leakage(examples=200, exact=1, near=1, upstream_examples=9, rule="equal", samples=())
    verdict = judge([replace(make_evidence(), leakage=found, controls="approximate")], GOOD, None, Rule())
    assert verdict.blessed and len(verdict.warnings) == 2
    assert verdict.warnings[0].startswith("2 of 200 examples of trees equal an upstream example or nearly so (1 %)")


def test_that_nobody_looked_for_leakage_is_warned_of(make_evidence):
    verdict = judge([replace(make_evidence(), leakage=None)], GOOD, None, Rule())
    (warning,) = verdict.warnings
    assert verdict.blessed and warning.startswith("Leakage was not checked: nobody knows whether the piece has seen")


def test_an_incumbent_whose_evidence_another_release_wrote_cannot_be_compared(make_evidence, tmp_path):
    old = make_evidence(folder="old", piece="sha256:published")
    folder = tmp_path / "incumbent"
    shutil.copytree(old.folder, folder / "evidence" / "trees")
    (folder / "evidence" / "trees" / "evidence.json").write_text('{"schema": 1}')
    facts = {"handle": "piecehub/trees/1", "version": 1, "digest": "sha256:published"}
    (folder / "incumbent.json").write_text(json.dumps(facts))
    verdict = judge([make_evidence()], GOOD, gate.read_incumbent(folder), Rule())
    assert verdict.status == "NOT_BLESSED" and "none that can be compared" in verdict.reasons[0]


def test_n6_an_incumbent_without_evidence_is_named_with_both_ways_out(make_evidence):
    bare = gate.IncumbentEvidence("piecehub/trees/2", "sha256:bare", ())
    (reason,) = judge([make_evidence()], GOOD, bare, Rule()).reasons
    assert "Expected evidence of piecehub/trees/2" in reason
    assert "`piecehub store yank piecehub/trees/2`" in reason and "`piecehub evaluate piecehub/trees/2`" in reason


@pytest.mark.parametrize(
    "rule", [{"incomparable_incumbent": "ignore"}, {"confidence": 95}, {"non_inferiority_margin": -1}]
)
def test_a_rule_that_means_nothing_is_refused(rule):
    with pytest.raises(RecipeError, match="Received"):
        Rule(**rule)


def test_a_verdict_survives_its_file(make_evidence, tmp_path):
    verdict = judge([make_evidence()], GOOD, None, Rule())
    verdict.write(tmp_path / "blessing")
    assert Verdict.read(tmp_path / "blessing") == verdict
    assert json.loads((tmp_path / "blessing" / "verdict.json").read_text())["status"] == "BLESSED"


def test_the_incumbent_is_read_from_the_files_that_its_resolver_wrote(make_evidence, tmp_path):
    old = make_evidence(folder="old", piece="sha256:published")
    folder = tmp_path / "incumbent"
    shutil.copytree(old.folder, folder / "evidence" / "trees")
    facts = {"handle": "piecehub/trees/1", "version": 1, "digest": "sha256:published"}
    (folder / "incumbent.json").write_text(json.dumps(facts))
    found = gate.read_incumbent(folder)
    assert found and found.handle == "piecehub/trees/1" and [e.task for e in found.evidences] == ["trees"]
    (folder / "incumbent.json").write_text(json.dumps({"handle": "", "version": 0, "digest": ""}))
    assert gate.read_incumbent(folder) is None


def test_judging_needs_no_tensorflow():
    code = (
        "import sys, piecehub.transfer.gate as g; sys.exit(any(m in sys.modules for m in ('tensorflow', 'matplotlib')))"
    )
    root = Path(gate.__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


FROZEN = Rule(mode="feature_extraction")


def test_n9_frozen_features_that_gain_are_blessed_by_a_gate_that_judges_them(make_evidence):
    tabular = make_evidence(fine_tuning=0.6, from_scratch=0.6, feature_extraction=0.85, random_features=0.57)
    assert judge([tabular], GOOD, None, Rule()).status == "NOT_BLESSED"
    verdict = judge([tabular], GOOD, None, FROZEN)
    assert verdict.blessed and verdict.rule.mode == "feature_extraction"
    [gain] = verdict.contrasts
    assert (gain.candidate, gain.reference) == ("feature_extraction", "random_features")
    mean = (tabular.scores["feature_extraction"] - tabular.scores["random_features"]).mean()
    assert gain.estimate == pytest.approx(mean, abs=1e-6)
    assert verdict.reasons[0].startswith("Expected a gain of frozen features over random ones whose 95 % interval lies")
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_n9_a_gate_of_frozen_features_is_no_easier_than_that_of_fine_tuning(make_evidence):
    tuned = make_evidence(fine_tuning=0.95, from_scratch=0.6, feature_extraction=0.7, random_features=0.7)
    verdict = judge([tuned], GOOD, None, FROZEN)
    assert verdict.status == "NOT_BLESSED" and "frozen features over random ones" in verdict.reasons[0]
    child = replace(make_evidence(folder="b", feature_extraction=0.7), parent="acme/trees/1")
    assert "over those of its parent acme/trees/1" in judge([child], GOOD, None, FROZEN).reasons[0]


def test_n9_frozen_features_are_held_against_the_frozen_features_of_the_published_version(make_evidence):
    candidate = make_evidence()
    old = make_evidence(folder="old", piece="sha256:published", fine_tuning=0.99, feature_extraction=0.8)
    assert judge([candidate], GOOD, published(old), FROZEN).blessed
    assert judge([candidate], GOOD, published(old), Rule()).status == "NOT_BLESSED"
    better = make_evidence(folder="better", piece="sha256:published", feature_extraction=0.95)
    verdict = judge([candidate], GOOD, published(better), FROZEN)
    assert (
        verdict.status == "NOT_BLESSED"
        and "Expected frozen features to be at most 2 points worse" in verdict.reasons[0]
    )


def test_what_needs_no_piece_and_is_as_good_as_frozen_features_is_a_warning(make_evidence):
    evidence = make_evidence(raw_input=0.8, from_scratch=0.6)
    [warning] = judge([evidence], GOOD, None, FROZEN).warnings
    assert "beat a linear model on the raw input on trees, too" in warning
    assert judge([evidence], GOOD, None, Rule()).warnings == ()
    incumbent = replace(published(make_evidence(folder="old", raw_input=0.8)), fine_tunable=True)
    assert "may be fine-tuned, as piecehub/trees/1 may" in judge([evidence], GOOD, incumbent, FROZEN).warnings[1]


def test_a_mode_that_no_gate_judges_is_refused():
    with pytest.raises(RecipeError, match=r"fine_tuning or feature_extraction\. Received: 'lp_ft'"):
        Rule(mode="lp_ft")


@pytest.mark.parametrize(
    ("accuracy", "majority", "examples", "words"),
    [
        (0.568, 0.25, 250, "at most half the errors of always naming the most frequent class (25.0 %)"),
        (0.568, 0.5, 30, "is right more often than always naming the most frequent class (50.0 %)"),
        (0.9, 0.89, 500, "is right more often"),
        (0.9, 0.25, 250, ""),
        (0.63, 0.25, 250, ""),
        (0.3, None, 250, ""),
    ],
)
def test_n9_a_weak_full_model_is_told_and_refuses_nothing(make_evidence, accuracy, majority, examples, words):
    facts = {"evaluation": {"accuracy": accuracy}, "eval_examples": examples, "majority": majority}
    verdict = judge([make_evidence()], GOOD, None, Rule(), facts)
    assert verdict.blessed
    assert words in " ".join(verdict.warnings) and bool(verdict.warnings) == bool(words)


def test_the_interval_of_an_accuracy_is_that_of_another_implementation():
    from scipy.stats import binomtest

    for right, count in ((0, 10), (7, 10), (142, 250), (250, 250)):
        known = binomtest(right, count).proportion_ci(method="wilson")
        assert wilson(right / count, count) == pytest.approx((known.low, known.high), abs=1e-6)
