"""What the validator's report says in one line."""

import json
from dataclasses import replace

from piecehub.facts.conformance_report import ConformanceReport, Finding, Timings, report


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


def test_timings_are_told_and_not_kept() -> None:
    made = report("sha256:1", [_finding("fail", True)])
    quick, slow = (replace(made, timings=Timings({"S1": seconds, "D1": 1.0}, 1 << 30)) for seconds in (0.5, 2.0))
    assert quick == slow == made
    assert quick.to_json() == slow.to_json() == made.to_json() and "timings" not in made.to_json()
    told = json.loads(slow.to_json_with_timings())
    assert told["timings"] == {"seconds": {"S1": 2.0, "D1": 1.0}, "peak_bytes": 1 << 30, "total_s": 3.0}
    assert ConformanceReport.from_json(slow.to_json_with_timings()) == made
    assert json.loads(made.to_json_with_timings())["timings"] is None


def test_a_check_beyond_a_limit_says_nothing_of_the_model() -> None:
    unmade = Finding("D27", "title", "warn", None, "Could not be finished: it held more than 2 GiB of memory.")
    stopped = replace(report("", [_finding("fail", True), _finding("fail", None), unmade]), unfinished="D27")
    assert (stopped.verdict, stopped.conforms) == ("unfinished", False)
    assert stopped.first_failure == "D27 could not be finished: it held more than 2 GiB of memory."
    assert ConformanceReport.from_json(stopped.to_json()) == stopped
    assert replace(stopped, findings=(_finding("fail", False), unmade)).verdict == "not reusable"
    assert "unfinished" not in report("", [_finding("fail", True)]).to_json()  # as reports were before


def test_a_check_beyond_a_limit_of_advice_alone_is_unfinished_too() -> None:
    unmade = Finding("D27", "title", "warn", None, "Could not be finished: it took more than 1 s.")
    assert replace(report("", [_finding("fail", True), unmade]), unfinished="D27").verdict == "unfinished"
