"""The lists of runs and of models: what their addresses ask for, and what is shown."""

import html
import json
import re
import subprocess
import sys
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from piecehub.facts import run_index, runs
from piecehub.facts.handle import Handle
from piecehub.facts.plan import MadeOf, Plan, write_plan
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.store import curate
from piecehub.store.catalog import Store
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


def _models_on(text):
    return re.findall(
        r'<td>(?:<a href="/models/[^"]+">)?<bdi>([^<]+)</bdi>(?:</a>)? <span class="version">version (\d+)', text
    )


def _some_models(site):
    for name, content in (("digits", b"1"), ("digits", b"2"), ("flowers", b"3"), ("digits", b"4")):
        site.publish(name, content=content)
    store = Store.open(site.workdir.store)
    digits = [Handle("piecehub", "digits", number) for number in (1, 2, 3)]
    curate.set_alias(store, digits[0], "champion", by="Ada", why="It is the best.")
    curate.yank(store, digits[1], by="Ada", why="The labels were swapped.")
    curate.quarantine(store, digits[2], by="Ada", why="It runs code of others.")
    return store


def test_models_are_searched_by_the_address(browser, site):
    _some_models(site)
    digits, flowers = "piecehub/digits", "piecehub/flowers"
    assert _models_on(_page(browser, "/models")) == [(flowers, "1"), (digits, "1")]
    for query, expected in (
        ("show=all", [(digits, "3"), (flowers, "1"), (digits, "2"), (digits, "1")]),
        ("q=FLOW", [(flowers, "1")]),
        ("show=champion", [(digits, "1")]),
        ("show=yanked", [(digits, "2")]),
        ("show=quarantined&publisher=piecehub", [(digits, "3")]),
        ("task=digits-5-9&limit=1", [(flowers, "1")]),
        ("publisher=nobody", []),
    ):
        text = _page(browser, f"/models?{query}")
        assert _models_on(text) == expected, query
    text = _page(browser, "/models?show=all")
    assert "3 versions, 1 quarantined, 1 yanked" in text and '<span class="alias">champion</span>' in text
    for status in ("published", "yanked", "quarantined"):
        assert f'<span class="state {status}">' in text
    assert 'href="/models/piecehub/digits/2"' in text and 'href="/models/piecehub/digits/3"' not in text
    assert "Expected as show one of" in _page(browser, "/models?show=none", 400)
    assert "as the edge of a page" in _page(browser, "/models?before=x", 400)


def test_pages_of_models_keep_the_search(browser, site):
    _some_models(site)
    first = _page(browser, "/models?show=all&q=piecehub%2Fdigits&limit=2")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = _page(browser, html.unescape(older))
    assert [version for _, version in _models_on(first) + _models_on(second)] == ["3", "2", "1"]
    assert 'value="piecehub/digits"' in second and 'rel="prev"' in second


def test_where_there_is_no_index_the_page_reads_the_log_and_says_so(browser, client, site):
    store = _some_models(site)
    shown = _page(browser, "/models?show=all")
    for entry in list(store.backend.list("index")):
        store.backend.delete(entry.key)
    text = _page(browser, "/models?show=all")
    assert "Read from every manifest" in text and "store reindex" in text and _models_on(text) == _models_on(shown)
    assert "piecehub-index" in client.get("/api/v1/models").headers


def test_the_api_of_models_is_paged_by_a_header(client, site):
    _some_models(site)
    whole = client.get("/api/v1/models").json()
    assert [row["name"] for row in whole] == ["piecehub/flowers/1", "piecehub/digits/1"]
    first = client.get("/api/v1/models?limit=1")
    assert first.json() == whole[:1]
    second = client.get(first.links["next"]["url"])
    assert second.json() == whole[1:] and "next" not in second.links
    yanked = client.get("/api/v1/models?show=yanked").json()
    assert [(row["name"], row["status"]) for row in yanked] == [("piecehub/digits/2", "yanked")]
    assert client.get("/api/v1/models?show=x").status_code == 400


@pytest.mark.parametrize("task", ["<script>alert(1)<", "safe\u202egnp"])
def test_hostile_tasks_and_queries_are_inert_in_the_list_of_models(browser, site, task):
    title = f"evidence/{task}/evidence.json"
    site.publish(**{title: json.dumps(site.evidence).encode()})
    for path in ("/models", f"/models?q={XSS}", f"/models?task={XSS}&publisher={XSS}", f"/models?q={quote(BIDI)}"):
        text = _page(browser, path)
        assert "<script>" not in text and "<img src=x" not in text
    assert f"<bdi>{html.escape(task)}</bdi>" in _page(browser, "/models")


def test_the_first_page_warns_of_what_failed_and_what_grew_old(browser, site, monkeypatch):
    site.publish(**{"model.sig": b"signature"})
    assert 'class="warnings"' not in _page(browser, "/")
    site.publish("flowers")
    assert "1 model has a newest version without a signature." in _page(browser, "/")
    runs.write_run(site.workdir, Run("run-1", "digits", "r", runs.now(), 1, (Node("A"),)))
    runs.append_event(site.workdir, "run-1", Event(runs.now(), "", "failed"))
    site.write_run("run-0", upstream={"A": []}, end="failed")
    text = _page(browser, "/")
    assert "1 run failed in the last 24 hours, the last one of digits." in text
    assert _runs_on(_page(browser, "/runs?state=failed&since=24h")) == ["run-1"]
    monkeypatch.setattr("piecehub.ui.warnings._days_since", lambda _: 31)
    assert "Nothing was published for 31 days." in _page(browser, "/")
    monkeypatch.setattr("piecehub.store.listing.OUTDATED_DAYS", -1)
    assert "2 models have a newest version with evidence that is older than 180 days." in _page(browser, "/")
    assert len(_models_on(_page(browser, "/models?show=outdated"))) == 2


def _described(client):
    return client.get("/api/v1/openapi.json").json()["paths"]


def test_the_openapi_file_has_the_routes_and_no_others(client, site):
    described = _described(client)
    routes = [route for route in create_app(site.workdir).routes if getattr(route, "path", "").startswith("/api/")]
    assert routes

    def takes(path):
        return next(r.path for r in routes if r.path_regex.fullmatch(path.replace("{", "").replace("}", "")))

    assert {takes(path) for path in described} == {route.path for route in routes}


def test_every_answer_has_the_fields_that_the_openapi_file_says(client, site):
    site.write_run("run-1", states=site.done, end="done")
    made_of = MadeOf({}, "", {}, {}, {}, {})
    write_plan(site.workdir, "run-1", Plan("digits", "r", "2026-11-24", "", (), (), (), made_of))
    site.publish(**{"model.sig": b"signature"})
    (site.workdir.artifacts / "digits" / "HubPusher").mkdir(parents=True)
    values = {
        "run": "run-1",
        "component": "HubPusher",
        "output": "evidence",
        "publisher": "piecehub",
        "name": "digits",
        "version": "1",
        "blob": "model.tar.gz",
    }
    for path, described in _described(client).items():
        answer = client.get(path.format(**values))
        assert answer.status_code == 200, path
        [(media, content)] = described["get"]["responses"]["200"]["content"].items()
        if media == "application/json":
            value, schema = answer.json(), content["schema"]
            if schema["type"] == "array":
                assert value, path
                value, schema = value[0], schema["items"]
            assert set(schema["required"]) == set(value), path
        for parameter in described["get"].get("parameters", ()):
            if parameter["in"] == "query":
                for allowed in parameter["schema"].get("enum", ()):
                    assert client.get(path, params={parameter["name"]: allowed}).status_code == 200
                if "enum" in parameter["schema"]:
                    assert client.get(path, params={parameter["name"]: "no-such"}).status_code == 400
