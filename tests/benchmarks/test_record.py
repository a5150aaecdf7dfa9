import gc
import json
import subprocess
import time
import weakref
from dataclasses import replace

import pytest

from benchmarks import make_results, record


def _sleeper(name, seconds, calls=None):
    def run():
        time.sleep(seconds)
        if calls is not None:
            calls.append(name)

    return record.Contender(name, run)


@pytest.fixture
def result():
    return record.measure("nap", "sleeping", _sleeper("short", 0.01), [_sleeper("long", 0.05)], 3, {"beds": 2})


def test_the_slower_peer_has_a_ratio_above_one(result):
    assert 2 < result.ratios["long"] < 10
    assert result.ratios.keys() == {"long"}


def test_the_median_is_of_the_rounds_and_leaves_the_first_turn_out(result):
    figure = result.figures["short"]
    assert len(figure.times_s) == 3
    assert figure.median_s == sorted(figure.times_s)[1]


def test_contenders_take_turns_and_each_starts_a_round():
    calls = []
    record.take_turns([_sleeper("a", 0, calls), _sleeper("b", 0, calls)], 2)
    assert calls == ["a", "b", "a", "b", "b", "a"]


def test_nobody_is_timed_with_the_garbage_of_the_one_before():
    class Knot:
        def __init__(self):
            self.itself = self

    alive = weakref.WeakSet()
    seen = []
    gc.disable()
    try:
        tidy = record.Contender("tidy", lambda: seen.append(len(alive)))
        record.take_turns([record.Contender("litters", lambda: alive.add(Knot())), tidy], 3)
    finally:
        gc.enable()
    assert seen[1:] == [0, 0, 0]


def test_what_takes_minutes_has_no_turn_that_is_not_counted():
    calls = []
    slow = replace(_sleeper("slow", 0, calls), takes_minutes=True)
    figures = record.take_turns([_sleeper("a", 0, calls), slow], 2)
    assert calls == ["a", "a", "slow", "slow", "a"]
    assert len(figures["slow"].times_s) == 2


def test_the_file_holds_all_that_the_page_needs(result, tmp_path):
    path = record.write(result, tmp_path / "results")
    value = json.loads(path.read_text())
    assert path.name == "nap.json"
    assert value["command"] == "python -m benchmarks.bench_nap"
    assert value["machine"].keys() == {"processor", "cores", "system", "python"}
    assert value["commit"]
    assert [p.name for p in path.parent.iterdir()] == ["nap.json"]


def test_the_page_shows_medians_ratios_and_facts_of_every_file(result, tmp_path):
    record.write(result, tmp_path / "results")
    page = tmp_path / "RESULTS.md"
    make_results.make(tmp_path / "results", page)
    text = page.read_text()
    assert f"| **short** (ours) | {result.figures['short'].median_s:.3f} |" in text
    assert f"| {result.ratios['long']:.1f} |" in text
    assert "- beds: 2" in text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["RESULTS.md"]


def test_the_page_shows_rows_of_a_result_that_is_no_timing(tmp_path):
    rows = [{"work": "run", "gb": 0.5, "peak_mb": 1535.54}, {"work": "run", "gb": 2.0, "peak_mb": 1600.0}]
    value = {**record.stamp("heap.size", "how much it holds"), "rows": rows, "facts": {"beds": 2}}
    record.write_table(value, tmp_path / "results" / "heap.size.json")
    page = tmp_path / "RESULTS.md"
    make_results.make(tmp_path / "results", page)
    text = page.read_text()
    assert "## heap.size: how much it holds\n\n| work | gb | peak mb |\n" in text
    assert "| run | 0.5 | 1,535.5 |" in text
    assert "- beds: 2" in text


def test_equal_files_make_an_equal_page_in_any_order(result, tmp_path):
    first = json.loads(result.to_json())
    second = {**first, "name": "another"}
    assert make_results.render([first, second]) == make_results.render([second, first])


def test_the_commit_says_when_the_tree_differs_from_it(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    clean = record.commit(tmp_path)
    (tmp_path / "file").write_text("2")
    assert len(clean) == 12
    assert record.commit(tmp_path) == f"{clean}+changes"


def test_outside_a_repository_the_commit_is_unknown(tmp_path):
    assert record.commit(tmp_path) == "unknown"
