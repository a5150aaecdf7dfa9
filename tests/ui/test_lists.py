"""The lists of runs and of models: what their addresses ask for, and what is shown."""

import html
import json
import re
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from piecehub.facts import run_index, runs
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.ui import words
from piecehub.ui.app import create_app

XSS = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
BIDI = "safe\u202egnp.exe\u2066\u200f\u0007\x1b[31m"


def _page(browser, path, status=200):
    answer = browser.get(path, follow_redirects=False)
    assert answer.status_code == status, answer.text
    return answer.text


def _runs_on(text):
    return re.findall(r'href="/runs/([^"/?]+)"', text)


def _write_some(site):
    published, refused = (Result("digits", True, "acme/digits/1"),), (Result("digits", False, "", "No gain."),)
    site.write_run("20261124-000001", upstream={"A": []}, end="done", results=published, pipeline="digits")
    site.write_run("20261124-000002", upstream={"A": []}, end="done", results=refused, pipeline="flowers")
    site.write_run("20261124-000003", upstream={"A": []}, end="failed", pipeline="digits")


def test_runs_are_filtered_by_the_address_and_the_form_shows_by_what(browser, site):
    _write_some(site)
    assert _runs_on(_page(browser, "/runs")) == ["20261124-000003", "20261124-000002", "20261124-000001"]
    for query, numbers in (
        ("recipe=digits", "31"),
        ("state=failed", "3"),
        ("outcome=not+published", "2"),
        ("outcome=published&recipe=digits", "1"),
        ("publisher=acme", "1"),
        ("since=2026-11-24", "321"),
        ("since=2026-11-25", ""),
    ):
        text = _page(browser, f"/runs?{query}")
        assert [run[-1] for run in _runs_on(text)] == list(numbers), query
        for pair in query.split("&"):
            value = pair.partition("=")[2].replace("+", " ")
            assert f'<option value="{value}" selected>' in text
    assert "No run is of that kind." in _page(browser, "/runs?since=2026-11-25")
    assert ">not published<" in _page(browser, "/runs?outcome=not+published").replace("</span>", "<")


def test_older_runs_keep_the_filters(browser, site):
    for number in range(30):
        site.write_run(f"run-{number:02}", upstream={"A": []}, end=("done", "failed")[number % 2], pipeline="a & b")
    first = _page(browser, "/runs?recipe=a+%26+b&limit=20")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    assert html.unescape(older) == "/runs?recipe=a+%26+b&before=run-10"
    second = _page(browser, html.unescape(older))
    assert _runs_on(first) + _runs_on(second) == [f"run-{number:02}" for number in range(29, -1, -1)]
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', second)
    assert _runs_on(_page(browser, f"{html.unescape(newer)}&limit=20")) == _runs_on(first)
    assert 'rel="next"' not in second and "30 runs of those asked for" in first


def test_a_query_that_asks_for_what_cannot_be_is_400_and_one_sentence(browser, client):
    assert "Expected as state one of" in _page(browser, "/runs?state=cached", 400)
    answer = client.get("/api/v1/runs?since=soon")
    assert answer.status_code == 400 and answer.json()["error"].startswith("Expected since when")
    for limit in ("0", "-1", "x", "٣", "9" * 5000):
        assert client.get(f"/api/v1/runs?limit={limit}").status_code == 200


def test_the_api_takes_the_filters_of_the_page_and_keeps_its_fields(client, site):
    _write_some(site)
    value = client.get("/api/v1/runs?recipe=digits&limit=1").json()
    assert (value["schema"], value["next"], value["total"], value["unread"]) == (1, "20261124-000003", 2, 0)
    [row] = value["runs"]
    fields = {"run", "pipeline", "recipe", "state", "started_at", "seconds", "counts", "message", "results", "outcome"}
    assert set(row) == fields
    assert row["run"] == "20261124-000003" and row["counts"] == {"not run": 1}


@pytest.mark.parametrize("text", [XSS, BIDI])
def test_hostile_names_are_inert_in_the_list_of_runs(browser, site, text):
    nodes = (Node("A", (), {"publisher": text}),)
    runs.write_run(site.workdir, Run("run-1", text, text, "2026-11-24T01:44:00+00:00", 1, nodes))
    results = (Result(text, False, "", text),)
    runs.append_event(site.workdir, "run-1", Event("2026-11-24T01:44:03+00:00", "", "done", 1.0, text, results=results))
    for path in ("/", "/runs", f"/runs?recipe={XSS}", f"/runs?publisher={XSS}"):
        shown = _page(browser, path)
        assert "<script>" not in shown and "<img src=x" not in shown
    # What turns the writing round ends where the name does.
    assert f"<bdi>{html.escape(text, quote=False)}</bdi>" in _page(browser, "/").replace("&#34;", '"').replace(
        "&#39;", "'"
    )


def test_where_the_index_is_behind_the_page_says_so_and_catches_up(browser, site, monkeypatch):
    _write_some(site)
    run_index.clear(site.workdir)
    monkeypatch.setattr("piecehub.ui.run_list._AT_MOST_S", 0)
    assert "3 older runs are still being read into the index" in _page(browser, "/runs")
    for _ in range(100):
        if "still being read" not in (text := _page(browser, "/runs")):
            break
    assert len(_runs_on(text)) == 3


def _piecehub(*arguments):
    command = [sys.executable, "-m", "piecehub.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_lists_what_the_page_does(site):
    _write_some(site)
    done = _piecehub("runs", "--workdir", site.workdir.root, "--recipe", "digits", "--limit", 1)
    assert done.returncode == 0
    assert re.fullmatch(r"20261124-000003  failed +1 min 10 s  digits\n", done.stdout)
    assert done.stderr == "1 of 2; older ones by --before 20261124-000003\n"
    value = json.loads(_piecehub("runs", "--workdir", site.workdir.root, "--json").stdout)
    client = TestClient(create_app(site.workdir), base_url="http://127.0.0.1")
    assert value == client.get("/api/v1/runs").json()
    assert "Not published: No gain." in _piecehub("runs", "--workdir", site.workdir.root).stdout


def test_the_command_says_what_cannot_be_and_what_is_not_there(site):
    wrong = _piecehub("runs", "--workdir", site.workdir.root, "--since", "soon")
    assert wrong.returncode == 2 and wrong.stderr.startswith("piecehub: Expected since when")
    nothing = _piecehub("runs", "--workdir", site.workdir.root)
    assert (nothing.returncode, nothing.stdout) == (0, "") and "piecehub run RECIPE" in nothing.stderr
    assert not site.workdir.root.exists()


def test_nothing_hostile_reaches_a_terminal():
    assert words.plain(BIDI) == r"safe\u202egnp.exe\u2066\u200f\x07\x1b[31m"
    assert words.plain("größer – ok") == "größer – ok"
