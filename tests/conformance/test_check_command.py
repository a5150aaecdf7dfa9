"""`piecehub check` as a person calls it: on a folder, an archive and an address, with and without a sandbox."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from piecehub.cli.main import cli
from piecehub.conformance.check import check_saved_model
from piecehub.conformance.sandbox import missing
from piecehub.errors import CheckUnfinished
from piecehub.facts.conformance_report import ConformanceReport, Finding, report
from piecehub.store.archive import pack
from tests.command_line import piecehub
from tests.loopback import answering
from tests.terminals import piecehub_on_terminal

tf = pytest.importorskip("tensorflow")


def _check(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return piecehub("check", "--quiet", *arguments, cwd=cwd, **environment)


@pytest.fixture(scope="module")
def reusable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that conforms, saved with low-level TensorFlow."""
    folder = tmp_path_factory.mktemp("reusable") / "model"

    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return inputs @ self.w

    root = Root()
    root.w = tf.Variable([[0.5, -1.0, 2.0]] * 4, name="w")
    root.variables, root.trainable_variables = [root.w], [root.w]
    rows = tf.TensorSpec([None, 4], tf.float32, name="inputs")
    for training in (False, True):
        root.__call__.get_concrete_function(rows, training=training)
    serve = tf.function(lambda inputs: root(inputs), autograph=False).get_concrete_function(rows)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    return folder


@pytest.fixture(scope="module")
def signature_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signature_only") / "model"
    module = tf.Module()
    module.weight = tf.Variable(2.0)
    signature = tf.function(lambda x: {"y": x * module.weight}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return folder


def test_a_model_that_is_not_callable_is_for_serving_only_and_names_s3(signature_only: Path, tmp_path: Path) -> None:
    before = sorted(signature_only.rglob("*"))
    done = _check(str(signature_only), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("piecehub: S3 fell short: Expected ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.splitlines()[-1].startswith("serving only · 1 fell short · ")
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())
    assert sorted(signature_only.rglob("*")) == before
    report = ConformanceReport.from_json(_check(str(signature_only), "--json", cwd=tmp_path).stdout)
    findings = {found.check: found.passed for found in report.findings}
    assert (findings["S3"], findings["S4"], findings["D1"]) == (False, True, None)
    assert report.verdict == "serving only"
    assert not list(tmp_path.iterdir())


def test_without_a_sandbox_a_strangers_model_is_not_run_and_does_not_pass(reusable: Path, tmp_path: Path) -> None:
    done = _check(str(reusable), cwd=tmp_path, PATH="/nowhere")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "D1 could not be made: Expected bubblewrap" in done.stderr
    assert "'bubblewrap'" in done.stderr and "--trust" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("undecided · nothing fell short · ")
    assert done.stdout.splitlines()[-1].endswith(" notes · sandbox: none")


def test_without_a_sandbox_a_trusted_model_runs_under_limits(reusable: Path, tmp_path: Path) -> None:
    done = _check(str(reusable), "--trust", "--json", cwd=tmp_path, PATH="/nowhere")
    assert (done.returncode, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert (value["conforms"], value["verdict"], value["sandbox"]) == (True, "reusable", "process limits")
    assert {found["passed"] for found in value["findings"] if found["level"] == "fail"} == {True}


def test_what_it_took_is_told_and_no_part_of_what_was_found(reusable: Path, tmp_path: Path) -> None:
    as_json = piecehub("check", str(reusable), "--trust", "--json", cwd=tmp_path, PATH="/nowhere")
    drawn = piecehub_on_terminal("check", str(reusable), "--trust", cwd=tmp_path, PATH="/nowhere")
    told = json.loads(as_json.stdout)["timings"]
    assert told["seconds"].keys() >= {"S1", "S16", "D1", "D7", "D27", "X3", "D19"}
    assert told["total_s"] > 1 and 200e6 < told["peak_bytes"] < 4e9
    assert re.fullmatch(r"\d+ s of the processor · \d\.\d GB of memory at most", drawn.stdout.splitlines()[-2])
    # Through a pipe it says when it begins and ends.
    lines = [line.split() for line in as_json.stderr.splitlines()]
    assert [line[0] for line in lines if line[1:4] == ["checking", "the", "model"]] == ["…", "✓"]
    # On a terminal it says which check it is at meanwhile, and a spinner turns.
    assert drawn.code == 0 and drawn.turns > 8 * drawn.seconds / 4
    seen = " ".join(line for lines in drawn.screens(100) for line in lines)
    assert "checking the model" in seen and re.search(r"check +\d+/\d+  D\d+", seen)
    assert [line.split()[:4] for line in drawn.screen][-1] == ["✓", "checking", "the", "model"]


def test_a_check_that_went_beyond_a_limit_has_an_exit_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmade = Finding("D27", "common learning rates", "warn", None, "Could not be finished: it took more than 900 s.")
    stopped = replace(report("", [unmade]), unfinished="D27")
    monkeypatch.setattr("piecehub.conformance.check.check", lambda *_, **__: stopped)
    done = CliRunner().invoke(cli, ["check", "model", "--workdir", str(tmp_path)])
    assert isinstance(done.exception, CheckUnfinished) and done.exception.exit_code == 5
    assert done.exception.sentence == "D27 could not be finished: it took more than 900 s."
    assert done.output.splitlines()[-1].startswith("unfinished · nothing fell short")


@pytest.mark.skipif(bool(missing()), reason=f"needs the package bubblewrap: {missing()}")
def test_an_address_is_fetched_and_checked_in_bubblewrap(reusable: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    pack(reusable, archive)
    answers = {"/someone/model/1?tf-hub-format=compressed": (200, {}, archive.read_bytes())}
    with answering(answers) as url:
        done = _check(f"{url}/someone/model/1", cwd=tmp_path)
        absent = _check(f"{url}/someone/other/1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("reusable · nothing fell short · ")
    assert done.stdout.splitlines()[-1].endswith("sandbox: bubblewrap")
    assert absent.returncode == 3
    assert "Received: status 404" in absent.stderr and len(absent.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.tar.gz"]


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe"])
def test_nothing_of_the_host_comes_into_the_sandboxes_copy(kind: str, reusable: Path, tmp_path: Path) -> None:
    """A link is not followed, and a pipe, which would block whoever opens it, is not opened."""
    folder, host = tmp_path / "model", tmp_path / "host"
    shutil.copytree(reusable, folder)
    (folder / "assets.extra").mkdir()
    host.mkdir()
    (host / "secret").write_text("of the host")
    strange = folder / "assets.extra" / "strange"
    if kind == "pipe":
        os.mkfifo(strange)
    else:
        strange.symlink_to(host if "folder" in kind else host / "secret")
    found = check_saved_model(folder, "none")
    short = {finding.check: finding.sentence for finding in found.findings if finding.passed is False}
    assert "assets.extra/strange" in short["S1"] and found.digest == ""


def test_a_page_is_checked_with_its_model(reusable: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Not a module\n")
    done = _check(str(reusable), "--documentation", str(page), cwd=tmp_path, PATH="/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("piecehub: X4 fell short: Expected the first line '# Module")


def test_a_folder_without_a_saved_model_is_one_sentence(tmp_path: Path) -> None:
    done = _check(str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Expected a SavedModel" in done.stderr and len(done.stderr.splitlines()) == 1
