"""A recipe's page: what its newest run was to do, and why, out of the plan that the run keeps."""

# The fixtures of conftest.py have no types.
# pyright: basic

import html
import json

import pytest

from piecehub.facts.plan import Change, Component, File, MadeOf, Part, Plan, Took, with_took, write_plan
from piecehub.facts.runs import Event, Result, append_event

XSS = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
RUN, BEFORE = "20261124-014400-001", "20261123-000000-000"
MADE_OF = MadeOf(
    parameters={"train.epochs": 30, "piece.name": XSS},
    lock="0" * 64,
    files={"model.py": File("1" * 64, {"build_model": "a"})},
    schemas={},
    piecehub={},
    data={"upstream": Part(True, {"train": 5340, "eval": 760}), "digits-5-9": Part(known=False)},
)
CHANGES = (
    Change("parameter", "train.epochs", 20, 30),
    Change("code", "model.py", [], ["build_model"], f"--- before/model.py\n+++ now/model.py\n-one\n+{XSS}"),
    Change("parameter", "piece.name", "digits", XSS),
)
# The trainer's end, by which it is known what it took.
ENDED = Event(
    "2026-11-24T01:45:00+00:00", "FullModelTrainer", "done", 31.0, cpu_s=54.0, memory_bytes=10**9, disk_bytes=10**7
)


def _plan(**others):
    components = (
        Component("FullModelTrainer", "run", ("train.epochs 20 → 30", XSS)),
        Component("UpstreamExamples", "cache", (), BEFORE, took=Took(BEFORE, 9.0, 2 * 10**9, 4096)),
        Component("HubPusher", "run", ("always runs: it sees the store",)),
    )
    told = {"against": BEFORE, "published": ("piecehub/digits/1",), "changes": CHANGES, "components": components}
    return Plan("digits", "recipes/digits", "2026-11-24T01:44:00.000+00:00", made_of=MADE_OF, **told | others)


@pytest.fixture
def planned(site):
    """A run of `digits` that keeps a plan, and one of before there were plans."""
    states = {"UpstreamExamples": ("cached", 0.1, ""), "FullModelTrainer": ("done", 31.0, "")}
    site.write_run(RUN, upstream={"UpstreamExamples": [], "FullModelTrainer": [], "HubPusher": []}, states=states)
    append_event(site.workdir, RUN, ENDED)
    append_event(
        site.workdir, RUN, Event("2026-11-24T01:45:10+00:00", "", "done", results=(Result("digits", False, "", "No."),))
    )
    write_plan(site.workdir, RUN, _plan())
    return site


def test_the_page_says_what_changed_what_ran_and_why(browser, planned):
    text = browser.get("/pipelines/digits").text
    for said in ("train.epochs 20 → 30", "model.py changed: build_model", "2 of 3 components to run", "31.0 s"):
        assert said in text, said
    assert 'href="/runs/20261123-000000-000"' in text and 'href="/models/piecehub/digits/1"' in text
    assert "train 5,340 records, eval 760 records" in text and "not looked at" in text
    assert html.escape("always runs: it sees the store") in text


def test_the_page_of_a_run_says_the_same_of_that_run(browser, planned):
    text = browser.get(f"/runs/{RUN}").text
    changed, made_of = text.index('id="changes"'), text.index('id="made-of"')
    assert changed < text.index("train.epochs 20 → 30") < made_of < text.index("train 5,340 records, eval 760 records")
    planned.write_run("20261125-000000-000", upstream={"A": []}, end="failed")
    assert 'id="changes"' not in browser.get("/runs/20261125-000000-000").text


def test_what_a_recipe_is_called_does_nothing_on_its_page(browser, planned):
    text = browser.get("/pipelines/digits").text
    assert "<script>" not in text and "<img src=x" not in text and XSS in html.unescape(text)


def test_the_newest_run_that_keeps_a_plan_is_shown(browser, planned):
    planned.write_run("20261125-000000-000", upstream={"A": []}, end="failed")
    assert f"/runs/{RUN}" in browser.get("/pipelines/digits").text


def test_its_twin_is_the_document(client, planned):
    value = client.get("/api/v1/pipelines/digits").json()
    measured = with_took(_plan(), RUN, {"FullModelTrainer": ENDED})
    assert value == {**json.loads(measured.to_json()), "run": RUN}
    assert value["changes"][0] == {"kind": "parameter", "name": "train.epochs", "old": 20, "new": 30, "diff": ""}


def test_what_it_costs_is_what_runs_measured_and_else_the_command_that_tells_it(browser, client, planned):
    text = " ".join(browser.get("/pipelines/digits").text.split())
    now, whole = "0.015 CPU-hours", "0.0175 CPU-hours"
    assert text.index(now) < text.index("1.0 GB") < text.index("10 MB") < text.index(whole) < text.index("2.0 GB")
    assert "Of <bdi>HubPusher</bdi> no run has measured it. <code>piecehub run recipes/digits --dry-run</code>" in text
    assert f'measured in run <a href="/runs/{BEFORE}">{BEFORE}</a>, <a href="/runs/{RUN}">{RUN}</a>' in text
    cost = client.get("/api/v1/pipelines/digits").json()["cost"]
    took = {"cpu_s": 54.0, "memory_bytes": 10**9, "disk_bytes": 10**7, "runs": [RUN], "unknown": ["HubPusher"]}
    assert cost["now"] == took
    assert cost["whole"] == took | {
        "cpu_s": 63.0, "memory_bytes": 2 * 10**9, "disk_bytes": 10**7 + 4096, "runs": [BEFORE, RUN]
    }  # fmt: skip
    write_plan(planned.workdir, RUN, _plan(components=(Component("HubPusher", "run"),)))
    assert (
        "No run has measured it yet. <code>piecehub run recipes/digits --dry-run</code>"
        in browser.get("/pipelines/digits").text
    )


def test_a_recipe_of_which_nothing_is_known_is_not_found(client, site):
    site.write_run(RUN, upstream={"A": []}, end="done")
    answer = client.get("/api/v1/pipelines/digits")
    assert answer.status_code == 404 and "no run of it keeps a plan" in answer.json()["error"]
    assert client.get("/pipelines/unknown").status_code == 404


def test_a_first_run_is_all_new(browser, planned):
    write_plan(planned.workdir, RUN, _plan(against="", published=(), changes=()))
    assert "No run of this recipe had published yet" in browser.get("/pipelines/digits").text


def test_the_list_of_its_runs_leads_there(browser, planned):
    assert 'href="/pipelines/digits"' in browser.get("/runs?recipe=digits").text
    assert 'href="/pipelines/' not in browser.get("/runs").text
