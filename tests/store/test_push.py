"""What the gate did not bless is not published, and the gate's sentence says why."""

from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
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
