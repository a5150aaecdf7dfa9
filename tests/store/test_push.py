"""What the gate did not bless, or whose page a person has still to write, is not published, and a sentence says why."""

from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import UNSAID
from piecehub.store.catalog import Store
from piecehub.store.push import Candidate, push, read_outcome
from piecehub.transfer.rule import Rule
from piecehub.transfer.verdict import Verdict


def test_a_candidate_that_the_gate_refuses_is_not_published(make_model, tmp_path):
    model = make_model("random weights", "reusable/saved_model")
    digest = content_digest(list_files(model))
    (tmp_path / "conformance").mkdir()
    held = report(digest, [Finding("S1", "can be loaded", "fail", True, "It loads.")])
    (tmp_path / "conformance" / "conformance.json").write_text(held.to_json())
    why = "Expected a gain over from scratch whose 95 % interval lies above 0. Received: -0.1 points."
    Verdict("NOT_BLESSED", (why,), (), Rule()).write(tmp_path / "blessing")
    parts = {name: tmp_path / name for name in ("conformance", "blessing", "incumbent", "documentation")}
    candidate = Candidate(reusable_model=model.parent, evidence=[], **parts)
    outcome = push(candidate, "acme", "tiny", tmp_path / "store", tmp_path / "pushed")
    assert (outcome.pushed, outcome.handle, outcome.why) == (False, "", why)
    assert read_outcome(tmp_path / "pushed") == outcome
    assert Store.open(tmp_path / "store").models() == []


def test_what_only_a_person_knows_is_asked_for_at_once_before_anything_is_published(make_model, tmp_path):
    model = make_model("random weights", "reusable/saved_model")
    held = report(content_digest(list_files(model)), [Finding("S1", "can be loaded", "fail", True, "It loads.")])
    (tmp_path / "conformance").mkdir()
    held.write(tmp_path / "conformance")
    Verdict("BLESSED", ("It gains.",), (), Rule()).write(tmp_path / "blessing")
    (tmp_path / "blessing" / "BLESSED").touch()
    (tmp_path / "documentation").mkdir()
    (tmp_path / "documentation" / UNSAID).write_text('["documentation.limitations", "documentation.license"]')
    parts = {name: tmp_path / name for name in ("conformance", "blessing", "incumbent", "documentation")}
    candidate = Candidate(reusable_model=model.parent, evidence=[], **parts)
    outcome = push(candidate, "acme", "tiny", tmp_path / "store", tmp_path / "pushed")
    assert not outcome.pushed
    assert "Received: nothing for documentation.limitations, documentation.license; write these" in outcome.why
    assert Store.open(tmp_path / "store").models() == []
