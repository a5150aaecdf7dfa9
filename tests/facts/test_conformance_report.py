"""What the validator's report says in one line."""

from piecehub.facts.conformance_report import Finding, report


def _finding(level: str, passed: bool | None) -> Finding:
    return Finding("S1", "title", level, passed, "sentence")  # pyright: ignore[reportArgumentType]


def test_e6_the_summary_counts_what_is_worth_a_look_and_nothing_else() -> None:
    clean = [_finding("fail", True)] * 45 + [_finding("info", None)] * 2 + [_finding("info", False)]
    assert report("", clean).summary == "reusable · nothing fell short · 3 notes"
    advised = [*clean[:45], _finding("warn", False), _finding("info", None)]
    assert report("", advised).summary == "reusable · nothing fell short · 1 piece of advice · 1 note"
    broken = [_finding("fail", False), *[_finding("fail", None)] * 7, _finding("warn", False), _finding("warn", False)]
    assert report("", broken).summary == "not reusable · 1 fell short · 2 pieces of advice · 7 not made"
    assert report("", [_finding("fail", True)]).summary == "reusable · nothing fell short"
