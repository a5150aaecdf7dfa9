"""`piecehub evaluate` as a person types it: a recipe's tasks on a piece that came without its code.

Each start of TensorFlow takes seconds: the whole evaluation is a process, the other calls share this one.
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from piecehub.cli.main import main
from piecehub.errors import CheckUnfinished
from piecehub.examples.stream import Stream
from piecehub.exporting import reusable
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.publishing.proof import about_another, as_if_it_conformed, judge, read_proof
from piecehub.store.catalog import Store
from pipelines import evaluation

ROOT = Path(__file__).parents[2]
SMALL = ["evaluation.shots=[5]", "evaluation.steps=20", "evaluation.learning_rates=[0.003]"]
SMALL += ["evaluation.seeds=[0, 1, 2, 3, 4]", "evaluation.sensitivity_batch_sizes=[32]"]


def _words(workdir: Path, *words: str) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    return ["evaluate", *words, *settings, "--workdir", str(workdir)]


def _run(workdir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "piecehub.cli", *_words(workdir, *words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def _run_here(workdir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same command in this process."""
    with pytest.MonkeyPatch.context() as patched, io.StringIO() as output, io.StringIO() as errors:
        patched.setattr(sys, "argv", ["piecehub", *_words(workdir, *words)])
        patched.chdir(ROOT)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        return subprocess.CompletedProcess(sys.argv, int(code), output.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes images as the recipe `digits` has them; its weights are random, so it helps nobody."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Dense(16, "relu")(keras.layers.Flatten()(keras.layers.Rescaling(1 / 16)(inputs)))
    folder = tmp_path_factory.mktemp("piece") / "saved_model"
    reusable.export(keras.Model(inputs, x), folder)
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def decoded(piece: Path, workdir: Path) -> list[str]:
    """A dry run, and an evaluation whose budget is spent soon after; returns the splits that the latter decoded."""
    planned = _run_here(workdir, str(piece), "--recipe", "digits", "--trust", "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    (plan,) = json.loads(planned.stdout)
    # Three modes that train with one learning rate, three probes with three settings; five seeds each.
    assert sum(plan["trials"].values()) == plan["missing"] == (3 * 1 + 3 * 3) * 5 and plan["seconds"] > 0
    splits, as_arrays = list[str](), Stream.as_arrays

    def counted(stream: Stream) -> Iterator[dict[str, Any]]:
        splits.append(stream.split)
        return as_arrays(stream)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stream, "as_arrays", counted)
        ended = _run_here(workdir, str(piece), "--recipe", "digits", "--trust", "--max-trials", "3")
    assert ended.returncode == 1 and "INCONCLUSIVE" in ended.stdout
    assert "the budget was spent after 7 of 60 trials" in ended.stdout  # four of the dry run
    return splits


def test_wall_11_pool_and_test_are_decoded_once_and_nothing_of_them_is_left(decoded: list[str], workdir: Path) -> None:
    assert decoded == ["pool", "test"]
    assert list((workdir / "trials" / "rows").iterdir()) == []


def test_an_evaluation_goes_on_from_a_dry_run_and_says_its_verdict(
    piece: Path, workdir: Path, decoded: list[str]
) -> None:
    done = _run(workdir, str(piece), "--recipe", "digits", "--trust", "--json", "--out", str(workdir / "out"))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "piecehub: The recipe's rule does not bless"
    )
    said = json.loads(done.stdout)
    evidence, verdict = said["evidence"]["digits-5-9"], said["verdict"]
    assert evidence["controls"] == "approximate" and evidence["leakage"] is None and evidence["trials"] == 60
    assert verdict["status"] == "NOT_BLESSED" and any("approximate" in warning for warning in verdict["warnings"])
    assert json.loads((workdir / "out" / "digits-5-9" / "evidence.json").read_text()) == evidence
    assert said["guidance"]["digits-5-9"]["metric"] == "accuracy"
    lines = [line.split() for line in done.stderr.splitlines() if "evaluating digits-5-9" in line]
    assert [line[0] for line in (lines[0], lines[-1])] == ["…", "✓"], "it is told when it begins and when it ends"
    # What was kept is what `publish --evidence` judges again, by the same rule.
    kept = read_proof(workdir / "out")
    assert (kept.rule.min_gain, [found.task for found in kept.evidences]) == (
        verdict["rule"]["min_gain"],
        ["digits-5-9"],
    )
    digest = content_digest(list_files(piece))
    store, conforms = Store.open(workdir / "store"), as_if_it_conformed(digest)
    again = judge(kept, conforms, store, Handle("acme", "random", 1)).verdict
    assert (about_another(kept, digest), again.status, again.reasons[0]) == ("", "NOT_BLESSED", verdict["reasons"][0])
    assert all(path.is_file() for path in kept.blobs(workdir).values())


def test_a_strangers_model_is_not_run_without_trust(piece: Path, workdir: Path) -> None:
    refused = _run(workdir, str(piece), "--recipe", "digits")
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.startswith("piecehub: Expected a model of the local store, or --trust. Received: '")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "letters"], "Expected a task of the recipe (digits-5-9). Received: 'letters'."),
        (["--controls", "tests"], "Expected a control for seed 0"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(piece: Path, workdir: Path, words: list[str], sentence: str) -> None:
    refused = _run_here(workdir, str(piece), "--recipe", "digits", "--trust", *words)
    assert refused.returncode in (1, 2) and refused.stdout == ""
    assert sentence in refused.stderr.splitlines()[-1]


def test_a_model_whose_call_never_returns_is_named_before_any_trial(monkeypatch, tmp_path):
    sentence = "Could not be finished: it took more than 900 s; look for a loop that never ends."
    reports = {
        check: replace(report("", [Finding(check, "title", "fail", None, sentence)]), unfinished=check)
        for check in ("D1", "D27")
    }
    monkeypatch.setattr(evaluation, "check_saved_model", lambda folder, *_: reports[folder.name])
    with pytest.raises(CheckUnfinished, match=r"^D1 could not be finished: it took more than 900 s"):
        evaluation.checked(tmp_path / "D1")
    assert evaluation.checked(tmp_path / "D27").verdict == "unfinished"  # it can be called, and the gate has its word


def test_a_program_is_told_of_it_too(monkeypatch, tmp_path, piece):
    finding = Finding("D1", "title", "fail", None, "Could not be finished: it took more than 900 s.")
    unfinished = replace(report("", [finding]), unfinished="D1")
    monkeypatch.setattr(evaluation, "check_saved_model", lambda *_: unfinished)
    with pytest.raises(CheckUnfinished, match=r"^D1 could not be finished"):
        evaluation.evaluate(piece, "digits", workdir=tmp_path / "work")
    assert not list((tmp_path / "work").glob("trials/*/*.json"))
