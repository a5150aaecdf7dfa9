"""`publish --evidence`: it is bound to the model, judged by the gate, and goes with the version."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import Workdir
from piecehub.publishing import begun, look, offered, proof
from piecehub.publishing.look import Offered
from piecehub.publishing.offered import publish_made_elsewhere
from piecehub.store.catalog import Store
from piecehub.store.incumbent import write_incumbent
from piecehub.transfer.gate import read_incumbent
from piecehub.ui.app import create_app
from tests.command_line import piecehub
from tests.publishing.conftest import Measured

pytestmark = pytest.mark.usefixtures("glances_here")
HELD = Finding("S1", "it is a SavedModel", "fail", True, "It is.")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long checks hold, so that what goes before and after them is seen quickly."""
    monkeypatch.setattr(
        offered, "check_saved_model", lambda folder, *_, **__: report(content_digest(list_files(folder)), [HELD])
    )


def _page(measured: Measured) -> str:
    """The page of the run, which declared a task by rules of before."""
    return measured.page.replace("piecehub/digits", "acme/digits").replace("image-feature-vector", "image-others")


def _publish(store: Store, measured: Measured, evidence: Path | None, page: str = "") -> str:
    """The handle, or what is said against it."""
    try:
        done = publish_made_elsewhere(
            store, Offered(measured.model, page or _page(measured), trusted=True, evidence=evidence), "acme/digits"
        )
    except PiecehubError as error:
        return error.sentence
    return f"{done.handle} {done.warning}"


def test_blessed_evidence_lets_the_page_recommend_fine_tuning_and_goes_with_the_version(
    digits: Measured, blessed: Path, tmp_path: Path, unchecked: None
) -> None:
    assert "fine-tunable: true" in _page(digits)
    store = Store.open(tmp_path / "work" / "store")
    assert _publish(store, digits, blessed) == "acme/digits/1 "
    manifest = store.manifest(Handle.parse("acme/digits/1"))
    assert manifest.facts["fine_tunable"] is True
    assert manifest.facts["verdict"]["status"] == "BLESSED"
    assert [found["task"] for found in manifest.facts["guidance"]] == sorted(p.name for p in digits.evidence.iterdir())
    # A run that publishes under this name finds what it compares with.
    write_incumbent(store.uri, "acme", "digits", tmp_path / "incumbent")
    incumbent = read_incumbent(tmp_path / "incumbent")
    assert incumbent is not None and len(incumbent.evidences) == len(list(digits.evidence.iterdir()))
    assert all("fine_tuning" in evidence.scores for evidence in incumbent.evidences)
    client = TestClient(create_app(Workdir(tmp_path / "work")), base_url="http://127.0.0.1:8470")
    served = client.get("/models/acme/digits/1").text
    assert "accuracy.svg" in served and "gains.svg" in served
    assert "Fine-tuning is recommended" in served or "Frozen features are recommended" in served


def test_without_the_recipes_rule_a_gain_of_three_quarters_of_a_point_is_asked_for(
    digits: Measured, tmp_path: Path, unchecked: None
) -> None:
    store = Store.open(tmp_path / "store")
    gain = proof.judge(
        proof.read_proof(digits.evidence), report(_digest(digits), [HELD]), store, Handle("acme", "digits", 1)
    ).verdict
    low = min(each.low for each in gain.contrasts if each.rule == "superiority")
    assert gain.rule.min_gain == 0.0075
    assert gain.blessed == (low > 0.0075)
    said = _publish(store, digits, digits.evidence)
    if gain.blessed:
        assert said == "acme/digits/1 "
    else:
        assert "page.md:" in said and "since the evidence is NOT_BLESSED" in said and "0.75" in said
        assert not (tmp_path / "store").exists()


def _digest(measured: Measured) -> str:
    return content_digest(list_files(measured.model))


def test_evidence_that_is_not_blessed_is_published_without_the_recommendation(
    digits: Measured, blessed: Path, tmp_path: Path, unchecked: None
) -> None:
    rule = json.loads((blessed / "verdict.json").read_text())
    rule["rule"]["min_gain"] = 0.5
    (blessed / "verdict.json").write_text(json.dumps(rule))
    store = Store.open(tmp_path / "store")
    said = _publish(store, digits, blessed)
    assert "Expected '<!-- fine-tunable: false -->', since the evidence is NOT_BLESSED" in said
    honest = _page(digits).replace("fine-tunable: true", "fine-tunable: false")
    assert _publish(store, digits, blessed, honest) == "acme/digits/1 "
    facts = store.manifest(Handle.parse("acme/digits/1")).facts
    assert (facts["fine_tunable"], facts["verdict"]["status"]) == (False, "NOT_BLESSED")


def test_what_the_checks_find_decides_though_the_evidence_was_blessed_before_them(
    digits: Measured, blessed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Finding("D1", "it loads", "fail", False, "It does not.")
    monkeypatch.setattr(offered, "check_saved_model", lambda *_, **__: report(_digest(digits), [short]))
    assert "D1 fell short" in _publish(Store.open(tmp_path / "store"), digits, blessed)
    assert not (tmp_path / "store").exists()


def test_evidence_about_another_model_is_refused(digits: Measured, rows: Path, blessed: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    other = Measured(rows, blessed, "", "")
    page = _page(digits)
    said = _publish(store, other, blessed, page)
    assert f"Expected evidence about the model that is published, {_digest(other)}" in said
    assert not (tmp_path / "store").exists()


def test_what_holds_no_predictions_is_no_evidence(digits: Measured, tmp_path: Path) -> None:
    (tmp_path / "printed.json").write_text('{"evidence": {}}')
    with pytest.raises(RecipeError, match="holds no predictions to judge; evaluate again with --out"):
        proof.read_proof(tmp_path / "printed.json")
    with pytest.raises(RecipeError, match="in which no evidence of this release lies"):
        proof.read_proof(tmp_path / "nothing")
    task = next(digits.evidence.iterdir())
    assert [found.task for found in proof.read_proof(task / "evidence.json").evidences] == [task.name]


def test_a_begun_page_has_the_numbers_of_the_evidence(digits: Measured, blessed: Path, tmp_path: Path) -> None:
    text = begun.begin_page(digits.model, "acme/digits", evidence=blessed, workdir=tmp_path / "none")
    assert "<!-- fine-tunable: true -->" in text
    for task in digits.evidence.iterdir():
        assert f"### {task.name}" in text
    assert "Gain of fine-tuning over from scratch:" in text
    assert look.parse(text).faults == ()


@pytest.mark.long
def test_a_model_goes_with_its_evidence_by_commands_alone(digits: Measured, blessed: Path, tmp_path: Path) -> None:
    """The whole road in processes, with the real checks."""
    begun_page = piecehub("page", str(digits.model), "--name", "acme/digits", "--evidence", str(blessed), cwd=tmp_path)
    assert begun_page.returncode == 0, begun_page.stderr
    assert piecehub("keys", "new", "key", cwd=tmp_path).returncode == 0
    answered = begun_page.stdout.replace("TODO: in one sentence, what does it make of what?", "Features of digits.")
    (tmp_path / "page.md").write_text(answered)
    fixed = ["--name", "acme/digits", "--documentation", "page.md", "--evidence", str(blessed), "--trust"]
    refused = piecehub("publish", str(digits.model), *fixed, cwd=tmp_path)
    assert refused.returncode == 2 and refused.stderr.count("page.md:") == answered.count("TODO:")
    (tmp_path / "page.md").write_text(_page(digits))
    done = piecehub("publish", str(digits.model), *fixed, "--signing-key", "key", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "acme/digits/1", "")
    verified = piecehub("verify", "acme/digits/1", "--key", "key.pub", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
