"""The model page says what a consumer must know of the piece, and no more than the artifacts tell."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piecehub.documentation.advice import in_common
from piecehub.documentation.page import Sources, page, write
from piecehub.documentation.person import Person
from piecehub.documentation.recommendation import recommend
from piecehub.errors import NotReusableError
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import ConformanceReport, Finding
from piecehub.facts.manifest import UNSAID
from piecehub.facts.piece_manifest import PieceManifest

PERSON = Person("A piece for tests.", "Testing.", "Nothing else.", "Made up.", "apache-2.0", '["image-feature-vector"]')
SPEC = {"shape": [None, 8], "dtype": "float32"}
OVERLAP = (
    "Of 30 test examples 2 equal one of the pool, from which the labelled examples are drawn, and 0 nearly equal one."
)
PLAIN = PieceManifest("keras", SPEC, SPEC, ["a/kernel", "b/kernel"], ["a/kernel", "b/kernel"])


def _write(folder: Path, name: str, value: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


def _sources(
    root: Path,
    manifest: PieceManifest | None,
    parent: str,
    optimizer: dict[str, Any],
    warnings: list[str],
    recommended: str = "fine_tuning",
) -> Sources:
    model = root / "model" / "saved_model"
    model.mkdir(parents=True)
    if manifest:
        piece_manifest.write(manifest, model)
    (root / "report").mkdir()
    ConformanceReport("sha256:0", (Finding("S1", "it is a SavedModel", "fail", True, "It is."),)).write(root / "report")
    cell = {"mode": "from_scratch", "shots": 5, "mean": 0.5, "low": 0.4, "high": 0.6}
    gain = {
        "candidate": "fine_tuning",
        "reference": "from_scratch",
        "shots": "curve",
        "estimate": 0.1,
        "low": 0.05,
        "high": 0.2,
    }
    evidence = {
        "task": "late-digits",
        "parent": parent,
        "cells": [cell, {**cell, "mode": "fine_tuning"}],
        "contrasts": [{**gain, "examples": 30, "seeds": 5}],
        "kind": "classification",
        "metric": "accuracy",
        "sensitivity": [{"batch_size": 8, "change": -0.01, "change_low": -0.02, "change_high": 0.001}],
        "leakage": {"examples": 60, "exact": 0, "near": 1},
        "overlap": {"examples": 30, "exact": 2, "near": 0},
    }
    guidance = {
        "task": "late-digits",
        "recommended": recommended,
        "because": "it gains",
        "settings": [{"learning_rate": 0.001, "shots": 5}],
        "gain_over_frozen": {**gain, "shots": 5},
        "wins_over_frozen_from": 5,
        "savings": [{"shots": 5, "equals": 9.0, "low": 7.0, "high": "more"}],
    }
    facts = {"parameters": 12, "input": SPEC, "output": SPEC, "trainable_variables": ["a/kernel", "b/kernel"]}
    full = {"optimizer": optimizer, "evaluation": {"accuracy": 0.9}, "train_examples": 10, "eval_examples": 5}
    blessing = _write(
        root / "blessing", "verdict.json", {"reasons": ["It gains."], "warnings": warnings, "rule": {"tasks": {}}}
    )
    (blessing / "BLESSED").touch()
    _write(root / "evidence", "guidance.json", guidance)
    return Sources(
        full_model=_write(root / "full", "facts.json", full),
        piece=_write(root / "piece", "facts.json", {**facts, "regularizers": []}),
        reusable_model=root / "model",
        conformance=root / "report",
        evidence=[_write(root / "evidence", "evidence.json", evidence)],
        blessing=blessing,
        incumbent=_write(root / "incumbent", "incumbent.json", {"version": 0, "digest": ""}),
    )


def _page(
    root: Path,
    manifest: PieceManifest | None,
    parent: str = "",
    optimizer: dict[str, Any] | None = None,
    warnings: list[str] | None = None,
) -> str:
    return page("piecehub", "digits", PERSON, _sources(root, manifest, parent, optimizer or {}, warnings or []))


def test_a_plain_piece_has_a_plain_page(tmp_path: Path) -> None:
    text = _page(tmp_path, PLAIN)
    assert text.startswith("# Module piecehub/digits/1\n\nA piece for tests.\n\n<!-- ")
    assert "Gain of fine-tuning over from scratch: +10.0 points [+5.0, +20.0]" in text
    assert "Variables that it trains: 2;" in text
    for word in ("fine-tuned from", "Consumers may set", "return_losses", "Parts of it", "subset", "makes its inputs"):
        assert word not in text


def test_the_page_says_how_an_example_becomes_the_pieces_input(tmp_path: Path) -> None:
    sources = _sources(tmp_path, PLAIN, "", {}, [])
    assert "How an example becomes" not in page("piecehub", "digits", PERSON, sources)
    facts = json.loads((sources.full_model / "facts.json").read_text(encoding="utf-8"))
    does = {"function": "decode", "module": "model.py", "digest": "sha256:abc", "does": "Reads `jpeg` at 96 x 96."}
    _write(sources.full_model, "facts.json", {**facts, "decode": does})
    assert (
        "How an example becomes the piece's input: `decode` of the recipe's `model.py` (`sha256:abc`) makes it, the "
        "same wherever such examples are read. Reads `jpeg` at 96 x 96.\n"
    ) in page("piecehub", "digits", PERSON, sources)


def test_what_a_piece_offers_stands_on_its_page(tmp_path: Path) -> None:
    manifest = replace(
        PLAIN,
        trainable_variables=["b/kernel"],
        hyperparameters={"dropout_rate": 0.2, "batch_norm_momentum": 0.9},
        return_losses=True,
        sub_pieces={"encoder": "block_1"},
        preprocessor="piecehub/tokens/2",
        lost=[{"what": "constraint", "of": "a/kernel", "is": "MaxNorm"}],
    )
    text = _page(tmp_path, manifest)
    assert (
        "`batch_norm_momentum` (a float32 scalar, by default 0.9), `dropout_rate` (a float32 scalar, by default 0.2);"
        in text
    )
    assert "features = piece(inputs, training=True, batch_norm_momentum=0.9, dropout_rate=0.2)" in text
    assert 'piece(inputs, training=True, return_losses=True)["losses"]' in text
    assert "`encoder` (its layer `block_1`)." in text
    assert "The SavedModel `piecehub/tokens/2` makes its inputs." in text
    assert "Variables that it trains: 1;" in text
    assert "the subset that is recommended for training, of 2:\n\n- `b/kernel`" in text
    assert "constraint of `a/kernel` (MaxNorm)." in text


def test_a_piece_with_a_parent_names_it_and_what_it_gains_over_it(tmp_path: Path) -> None:
    manifest = replace(PLAIN, parent="piecehub/digits/1@sha256:abc")
    text = _page(tmp_path, manifest, parent="piecehub/digits/1")
    assert "It was fine-tuned from `piecehub/digits/1` (content digest `sha256:abc`)." in text
    assert "Gain of fine-tuning over its parent piecehub/digits/1: +10.0 points" in text
    assert "| fine-tuning its parent | 50.0 % [40.0 %, 60.0 %] |" in text
    assert "from scratch" not in text


def test_the_guidance_of_the_evidence_and_the_warnings_of_the_verdict_stand_on_the_page(tmp_path: Path) -> None:
    text = _page(tmp_path, PLAIN, warnings=["Expected no gain on noise."])
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- Recommended: fine-tuning, for it gains.",
        "- Learning rate of Adam, by number of examples: 0.001 (5).",
        "- Fine-tuning beats frozen features from 5 examples on: +10.0 [+5.0, +20.0] points there.",
        "- Labels saved: 5 examples are worth 9 from scratch [7, more than were tried].",
        "- Batch size: 8 changes it by -1.0 points [-2.0, +0.1].",
        "- Of 60 examples 0 equal one that the piece was trained on, and 1 nearly equal one.",
        f"- {OVERLAP}",
    ]
    assert "\n\nWarning: Expected no gain on noise.\n\n## Training" in text


def test_b9_what_test_part_and_pool_have_in_common_is_told_where_somebody_looked() -> None:
    evidence: dict[str, Any] = {"leakage": None, "overlap": {"examples": 30, "exact": 2, "near": 0}}
    assert in_common(evidence) == [OVERLAP]
    assert in_common({"leakage": None}) == []


@pytest.mark.parametrize("key", ["weight_decay", "use_ema", "l1_regularization_strength"])
def test_regularization_of_the_optimizer_is_told(tmp_path: Path, key: str) -> None:
    """In the form in which `keras.optimizers.serialize` gives an optimizer, and a full model's facts hold it."""
    kept, dropped = ({"class_name": "Adam", "config": {key: value}} for value in (0.5, None))
    assert f"({key} = 0.5)" in _page(tmp_path / "with", PLAIN, optimizer=kept)
    assert key not in _page(tmp_path / "without", PLAIN, optimizer=dropped)


def test_no_line_of_a_page_runs_into_the_next(tmp_path: Path) -> None:
    rich = replace(PLAIN, preprocessor="a/b/1", parent="a/c/1@sha256:0", sub_pieces={"x": "y"}, return_losses=True)
    text = _page(tmp_path, rich)
    assert "\n\n\n\n" not in text
    assert "\\" not in text
    assert (
        "| mode | 5 examples a class |\n|---|---|\n| from scratch | 50.0 % [40.0 %, 60.0 %] |\n| fine-tuning |" in text
    )
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Overview", "## Usage", "## Fine-tuning", "## Training", "## Limitations"]
    assert all(f"\n\n{heading}\n\n" in text for heading in headings)


def test_a_saved_model_that_says_nothing_of_itself_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotReusableError, match="export it again"):
        _page(tmp_path, None)


def test_n1_a_page_recommends_one_thing_and_its_snippet_does_it(tmp_path: Path) -> None:
    for recommended, said, trains in (
        ("fine_tuning", "Fine-tuning is recommended.", True),
        ("lp_ft", "Fine-tuning is recommended.", True),
        ("feature_extraction", "Frozen features are recommended", False),
        ("from_scratch", "Nothing is recommended", False),
    ):
        text = page("p", "n", PERSON, _sources(tmp_path / recommended, PLAIN, "", {}, [], recommended))
        section = text.partition("## Fine-tuning\n\n")[2]
        assert section.startswith(said)
        assert ("Fine-tuning is recommended" in text) is trains
        assert ("trainable=True" in text) is trains


def test_n1_what_may_not_be_fine_tuned_has_no_snippet_that_does(tmp_path: Path) -> None:
    sources = _sources(tmp_path, PLAIN, "", {}, [])
    (sources.blessing / "BLESSED").unlink()
    text = page("p", "n", PERSON, sources)
    assert "<!-- fine-tunable: false -->" in text
    assert "trainable=True" not in text and "Fine-tuning is not recommended: It gains." in text


def test_frozen_features_that_were_judged_and_not_blessed_are_what_is_not_recommended() -> None:
    assert recommend(False, [], frozen=True).sentence == "Frozen features are not recommended."
    assert recommend(True, [], frozen=True).sentence.startswith("Frozen features are recommended:")
    assert recommend(False, []).sentence == "Fine-tuning is not recommended."


def test_n1_tasks_that_recommend_different_things_are_named() -> None:
    told = [{"task": "a", "recommended": "lp_ft"}, {"task": "b", "recommended": "feature_extraction"}]
    control = {"task": "noise", "recommended": "from_scratch"}
    found = recommend(True, [*told, control])
    assert found.trains and found.sentence == "Fine-tuning is recommended for a, and frozen features for b."
    assert recommend(True, [told[1], control]).argument == recommend(False, told).argument == ""


def test_what_a_person_has_not_written_is_listed_beside_a_page_that_holds_without_it(tmp_path: Path) -> None:
    person = Person("A piece for tests.", "", "Nothing else.", "", "", "[]")
    assert person.unsaid == ["documentation.intended_use", "documentation.training_data", "documentation.license"]
    sources = _sources(tmp_path / "sources", PLAIN, "", {"class_name": "Adam", "config": {}}, [])
    write("acme", "tiny", person, sources, tmp_path / "unsaid")
    write("acme", "tiny", PERSON, sources, tmp_path / "said")
    assert "Not written yet." in (tmp_path / "unsaid" / "documentation.md").read_text("utf-8")
    assert json.loads((tmp_path / "unsaid" / UNSAID).read_text("utf-8")) == person.unsaid
    assert [path.name for path in (tmp_path / "said").iterdir()] == ["documentation.md"]
    assert PERSON.provisional == PERSON


def test_n9_a_page_of_blessed_frozen_features_says_that_the_piece_is_not_fine_tunable(tmp_path: Path) -> None:
    sources = _sources(tmp_path, PLAIN, "", {}, ["A full model that is weak."])
    assert "<!-- fine-tunable: true -->" in page("piecehub", "digits", PERSON, sources)
    verdict = json.loads((sources.blessing / "verdict.json").read_text(encoding="utf-8"))
    verdict["rule"]["mode"] = "feature_extraction"
    _write(sources.blessing, "verdict.json", verdict)
    evidence = json.loads((sources.evidence[0] / "evidence.json").read_text(encoding="utf-8"))
    gain = {"candidate": "feature_extraction", "reference": "random_features", "estimate": 0.276}
    evidence["contrasts"].append({**evidence["contrasts"][0], **gain})
    _write(sources.evidence[0], "evidence.json", evidence)
    text = page("piecehub", "digits", PERSON, sources)
    assert "<!-- fine-tunable: false -->" in text and "trainable=True" not in text
    assert "Frozen features are recommended: they were judged, and fine-tuning was not." in text
    assert "Gain of frozen features over random ones: +27.6 points [+5.0, +20.0]" in text
    assert "Recommended: fine-tuning" not in text and "Warning: A full model that is weak." in text


def test_a_page_tells_what_is_gained_on_each_slice_of_the_mode_that_was_judged(tmp_path: Path) -> None:
    sources = _sources(tmp_path, PLAIN, "", {}, [])
    assert "test examples |" not in page("piecehub", "digits", PERSON, sources)
    evidence = json.loads((sources.evidence[0] / "evidence.json").read_text(encoding="utf-8"))
    part = {"feature": "site", "value": "north", "examples": 20, "mean": 0.9, "gain": -0.02, "low": -0.05, "high": 0.01}
    slices = [{**part, "mode": "fine_tuning"}, {**part, "mode": "feature_extraction", "value": "south"}]
    _write(sources.evidence[0], "evidence.json", {**evidence, "slices": slices})
    text = page("piecehub", "digits", PERSON, sources)
    assert (
        "\n\n| Accuracy where | test examples | fine-tuning | over from scratch, points |\n|---|---|---|---|\n" in text
    )
    assert "\n| site is `north` | 20 | 90.0 % | -2.0 [-5.0, +1.0] |\n\n- " in text and "south" not in text
