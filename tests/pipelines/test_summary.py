"""What is said at the end of a run with several pieces: which are published, and which are not."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tfx")

from piecehub.facts.workdir import Workdir
from pipelines.outcome import Outcome, PieceOutcome
from pipelines.summary import text

CELL = {"mode": "from_scratch", "shots": 5, "mean": 0.5, "low": 0.4, "high": 0.6}
GAIN = {
    "candidate": "fine_tuning",
    "reference": "from_scratch",
    "shots": "curve",
    "estimate": 0.1,
    "low": 0.05,
    "high": 0.2,
}


AT_5 = {"shots": 5, "estimate": 0.1, "low": 0.05, "high": 0.2}
GUIDANCE = {
    "task": "late-digits",
    "because": "it gains",
    "settings": [{"shots": 5, "learning_rate": 0.001}],
    "gain_over_frozen": AT_5,
    "gain_over_scratch": AT_5,
    "wins_over_frozen_from": 5,
    "savings": [{"shots": 5, "equals": 9, "low": 7, "high": 11}],
}


def _evidence(folder: Path, task: str, **more: Any) -> Path:
    folder.mkdir()
    about = {"kind": "classification", "metric": "accuracy", "incomplete_because": ""}
    value = {"task": task, "parent": "", "cells": [CELL], "contrasts": [GAIN], **about, **more}
    (folder / "evidence.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def test_a_run_is_published_only_if_every_piece_is_and_the_others_are_named(tmp_path: Path) -> None:
    evidence = (_evidence(tmp_path / "a", "late-digits"), _evidence(tmp_path / "b", "letters"))
    pieces = (
        PieceOutcome("features", True, "acme/features/1", "", evidence),
        PieceOutcome("logits", False, "", "The gate did not bless it.", evidence[:1]),
    )
    outcome = Outcome("20260101", pieces)
    assert not outcome.pushed and Outcome("20260101", pieces[:1]).pushed
    said = text(outcome, Workdir(tmp_path), "http://store")
    assert said.count("late-digits: accuracy") == 2 and said.count("letters: accuracy") == 1
    assert "published acme/features/1" in said
    assert "not published: The gate did not bless it." in said
    assert said.endswith("\nnot published of 2 pieces: logits")
    assert said.count(f"piecehub serve --workdir {tmp_path}") == 2 and "--store" not in said
    elsewhere = text(outcome, Workdir(tmp_path, "s3://b/shop"), "http://store")
    assert elsewhere.count(f"piecehub serve --workdir {tmp_path} --store s3://b/shop") == 2


def test_one_piece_needs_no_heading_and_a_parent_is_named(tmp_path: Path) -> None:
    evidence = (_evidence(tmp_path / "a", "late-digits", parent="acme/features/1"),)
    said = text(Outcome("1", (PieceOutcome("child", True, "acme/child/1", "", evidence),)), Workdir(tmp_path), "u")
    assert said.startswith("\nlate-digits: accuracy")
    assert "fine-tuning its parent" in said
    assert "gain of fine-tuning over its parent acme/features/1: +10.0 points [+5.0, +20.0]" in said


def test_n1_the_line_to_use_a_piece_by_trains_only_what_is_recommended_for_it(tmp_path: Path) -> None:
    lines = []
    for recommended in ("fine_tuning", "lp_ft", "feature_extraction", "from_scratch"):
        evidence = _evidence(tmp_path / recommended, "late-digits", sensitivity=[], leakage=None)
        (evidence / "guidance.json").write_text(json.dumps({**GUIDANCE, "recommended": recommended}))
        piece = PieceOutcome("features", True, "acme/features/1", "", (evidence,))
        said = text(Outcome("1", (piece,)), Workdir(tmp_path), "http://store")
        lines += [line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith("  use")]
    trained, frozen = (f'hub.KerasLayer("http://store/acme/features/1"{more})' for more in (", trainable=True", ""))
    assert lines == [trained, trained, frozen, frozen]


def test_an_evaluation_that_its_budget_ended_says_so_in_place_of_numbers(tmp_path: Path) -> None:
    evidence = (_evidence(tmp_path / "a", "late-digits", cells=[], incomplete_because="the budget was spent"),)
    piece = PieceOutcome("features", False, "", "The gate did not bless it.", evidence)
    assert text(Outcome("1", (piece,)), Workdir(tmp_path), "u").startswith("\nlate-digits: the budget was spent\n")
