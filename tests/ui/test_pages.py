import json
import re

import pytest

from piecehub.facts import runs
from piecehub.facts.handle import Handle
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine, set_alias, yank
from piecehub.store.export import LAYOUTS, export
from piecehub.ui import run_pages
from piecehub.ui.static_pages import static_pages

RUN = "20261124-014400-001"
XSS = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


def page(browser, path, status=200):
    answer = browser.get(path, follow_redirects=False)
    assert answer.status_code == status, answer.text
    return answer.text


def test_an_empty_working_folder_says_what_to_do(browser, site):
    text = page(browser, "/")
    assert "Nothing is published yet" in text and "No run yet" in text
    assert not site.workdir.root.exists()


def test_the_first_page_lists_the_newest_version_of_each_model_and_the_runs(browser, site):
    site.write_run(RUN, states=site.done, end="done")
    site.publish()
    site.publish(content=b"other")
    site.publish("flowers")
    text = page(browser, "/")
    assert re.findall(r'href="/models/([^"#]+)"', text) == ["piecehub/flowers/1", "piecehub/digits/2"]
    assert f'href="/runs/{RUN}"' in text
    assert "+3.2" in text and "1 min 10 s" in text


def boxes(text):
    """The state of each component that the graph of a run's page shows, by its name."""
    box = r'<a href="#(\w+)" class="box.*?<text class="detail"[^>]*>([\w ]+?)(?: · <tspan>.*?)?</text></a>'
    return dict(re.findall(box, text))


def test_a_run_shows_state_time_and_cache_of_each_component(browser, site):
    site.write_run(RUN, states=site.done, end="done")
    text = page(browser, f"/runs/{RUN}")
    words = {"done": "done", "cached": "from cache"}
    assert boxes(text) == {node: words[state] for node, (state, _, _) in site.done.items()}
    assert "done · <tspan>7.1 s</tspan>" in text
    assert "learning_rate" in text and "0.002" in text
    assert "artifacts/digits/FineTuneEvaluator" in text
    assert "hidden-value" not in text
    assert "data-live" not in text


def test_a_run_page_of_the_shipped_recipe_is_below_100_kb(browser, site):
    site.write_run(RUN, states=site.done, end="done")
    site.write_log(RUN, "FullModelTrainer", "a line of a log\n" * 10_000)
    assert len(site.upstream) >= 15
    assert len(page(browser, f"/runs/{RUN}").encode()) < 100_000


def test_what_failed_stands_first_with_its_sentence_and_the_end_of_its_log(browser, site):
    site.write_run(RUN, states=site.failed, end="failed")
    site.write_log(RUN, "ReusabilityValidator", "early\n" + "filler\n" * 2000 + "NotReusableError: the last words\n")
    text = page(browser, f"/runs/{RUN}")
    main = text.index("<bdi>ReusabilityValidator</bdi> failed after 0.6 s")
    assert main < text.index("Expected regularization losses. Received: none") < text.index('<svg class="dag"')
    assert "NotReusableError: the last words" in text and "early" not in text
    assert re.findall(r'<summary><span class="name">(\w+)', text.replace("<wbr>", ""))[0] == "ReusabilityValidator"
    log = browser.get(f"/runs/{RUN}/logs/ReusabilityValidator")
    assert log.text.startswith("early") and log.headers["content-type"].startswith("text/plain")


def test_a_run_that_is_going_on_is_live(browser, site):
    site.write_run(RUN, states={"UpstreamExamples": ("done", 1, ""), "UpstreamStatistics": ("running", 0, "")})
    text = page(browser, f"/runs/{RUN}")
    assert "data-live" in text
    assert (boxes(text)["UpstreamStatistics"], boxes(text)["HubPusher"]) == ("running", "waiting")


def test_a_component_at_work_says_how_far_it_is(browser, site):
    site.write_run(RUN, states={"FineTuneEvaluator": ("running", 0, "trial 12 of 60: fine-tuning, 5 examples")})
    text = page(browser, f"/runs/{RUN}")
    assert '<span class="right nowrap">trial 12 of 60</span>' in text
    assert '<p class="message">trial 12 of 60: fine-tuning, 5 examples</p>' in text
    # Of one that ended its time is told instead.
    site.write_run(RUN, states={"FineTuneEvaluator": ("done", 61, "trial 12 of 60")})
    assert "trial 12 of 60</span>" not in page(browser, f"/runs/{RUN}")


def test_a_run_whose_process_is_gone_does_not_look_alive(browser, site):
    site.write_run(RUN, states={"UpstreamStatistics": ("running", 0, "")})
    site.kill(RUN)
    text = page(browser, f"/runs/{RUN}")
    assert "The run was stopped" in text and "data-live" not in text
    assert (boxes(text)["UpstreamStatistics"], boxes(text)["HubPusher"]) == ("stopped", "not run")


def test_a_run_that_failed_outside_of_its_components_says_why(browser, site):
    site.write_run(RUN)
    runs.append_event(site.workdir, RUN, Event("2026-11-24T01:45:10.000+00:00", "", "failed", message="No disk left."))
    assert "No disk left." in page(browser, f"/runs/{RUN}")


def test_the_plots_of_a_run_are_shown_and_nothing_else(browser, site):
    folder = site.workdir.artifacts / "digits" / "FineTuneEvaluator"
    folder.mkdir(parents=True)
    (folder / "accuracy.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "evidence.json").write_text("{}")
    site.write_run(RUN, states=site.done, end="done")
    [plot] = re.findall(r'<img class="plot"[^>]* src="([^"]+)"', page(browser, f"/runs/{RUN}"))
    answer = browser.get(plot)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    for other in ("evidence.json", "..%2f..%2fmetadata.sqlite", "learning_curves.svg"):
        assert browser.get(plot.replace("accuracy.svg", other)).status_code == 404


def test_a_plot_that_is_a_link_is_not_shown(browser, site):
    folder = site.workdir.artifacts / "digits" / "FineTuneEvaluator"
    folder.mkdir(parents=True)
    (site.workdir.root.parent / "secret").write_text("of the host")
    (folder / "accuracy.svg").symlink_to(site.workdir.root.parent / "secret")
    (folder / "saving.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    site.write_run(RUN, states=site.done, end="done")
    [plot] = re.findall(r'<img class="plot"[^>]* src="([^"]+)"', page(browser, f"/runs/{RUN}"))
    assert plot.endswith("saving.svg")
    assert browser.get(plot.replace("saving.svg", "accuracy.svg")).status_code == 404


def test_a_component_whose_name_is_a_path_has_no_log(site):
    """What a run.json says of itself leads to no file outside of the run's own logs."""
    site.workdir.logs.mkdir(parents=True)
    (site.workdir.logs / "other.log").write_text("of another run")
    site.write_run(RUN, upstream={"../other": [], "A": []}, states={"../other": ("failed", 1.0, "")}, end="failed")
    site.write_log(RUN, "A", "its own")
    assert run_pages.log_text(site.workdir, RUN, "../other") is None
    assert run_pages.log_text(site.workdir, RUN, "A") == "its own"
    shown = run_pages.run_page(site.workdir, RUN)
    assert shown is not None and not shown.by_id["../other"].has_log and shown.by_id["../other"].log_tail == ""


def test_an_output_outside_of_the_working_folder_is_never_read(browser, site, tmp_path):
    (tmp_path / "accuracy.svg").write_text("<svg/>")
    site.write_run(RUN, upstream={"A": []})
    event = Event("2026-11-24T01:44:09+00:00", "A", "done", 1.0, "", {"evidence": str(tmp_path)})
    runs.append_event(site.workdir, RUN, event)
    assert '<img class="plot"' not in page(browser, f"/runs/{RUN}")
    assert browser.get(f"/runs/{RUN}/plots/A/evidence/accuracy.svg").status_code == 404


def test_names_parameters_and_messages_cannot_run(browser, site):
    nodes = (Node(XSS, (), {XSS: XSS}), Node("B", (XSS,), {}))
    runs.write_run(site.workdir, Run(RUN, XSS, XSS, "2026-11-24T01:44:00+00:00", 1, nodes))
    outputs = {XSS: f"/elsewhere/{XSS}"}
    for event in (
        Event("2026-11-24T01:44:01+00:00", XSS, "done", 1.0, XSS, outputs),
        Event("2026-11-24T01:44:02+00:00", "B", "failed", 1.0, XSS),
        Event("2026-11-24T01:44:03+00:00", "", "failed", 1.0, XSS),
    ):
        runs.append_event(site.workdir, RUN, event)
    site.write_log(RUN, "B", XSS)
    for path in ("/", f"/runs/{RUN}", "/runs/<script>'"):
        text = browser.get(path).text
        assert "&lt;script&gt;" in text
        assert "<script>" not in text and "<img src=x" not in text


def test_a_hostile_model_cannot_run(browser, site):
    evidence = json.loads(json.dumps(site.evidence))
    evidence["task"] = XSS
    evidence["cells"][0]["mode"] = XSS
    site.publish(documentation=f"# Module\n\n{XSS}\n\n<!-- task: {XSS} -->\n\n## More\n\n{XSS}\n", evidence=evidence)
    for path in ("/", "/models/piecehub/digits/1"):
        text = page(browser, path)
        assert "&lt;script&gt;" in text
        assert "<script>" not in text and "<img src=x" not in text


def test_a_model_shows_handle_evidence_documentation_and_lineage(browser, site):
    site.publish()
    text = page(browser, "/models/piecehub/digits/1")
    handle = "http://127.0.0.1:8470/piecehub/digits/1"
    assert f">{handle}</pre>" in text
    assert f'hub.KerasLayer("{handle}", trainable=True)' in text
    assert "+3.2" in text and "95 % interval +1.8 to +4.6" in text
    assert "91.2 % [89.2 %, 92.7 %]" in text and "From scratch" in text
    assert "Expected 1 s. Received: 2 s" in text
    assert "<h2>Overview</h2>" in text and "image-feature-vector" in text
    for digest in ("a1" * 32, "b1" * 32, "e1" * 32):
        assert f"sha256:{digest}" in text
    [plot] = re.findall(r'<img class="plot" src="([^"]+)"', text)
    assert browser.get(plot).headers["content-security-policy"].endswith("sandbox")
    assert browser.get("/piecehub/digits/1").text == text


def test_a_model_that_a_cluster_made_says_so_and_each_component_what_it_read(browser, site):
    run = "8c1a0c3e-1111-4222-8333-444455556666"
    told = {"runner": "kubeflow", "run": run, "image": f"piecehub@sha256:{'a' * 64}"}
    site.publish(facts={"made_by": told})
    text = page(browser, "/models/piecehub/digits/1")
    assert f'Made by run <code class="whole">{run}</code> on Kubeflow' in text
    assert f"piecehub@sha256:{'a' * 64}" in text
    steps = re.findall(r'<details class="component step">.*?</details>', text, re.DOTALL)
    evaluator = next(step for step in steps if ">FineTuneEvaluator<" in step)
    assert '<th scope="row">reusable_model</th><td><code>sha256:' in evaluator
    for number, told in enumerate((["anybody", "may"], {"run": "\x1b[2J"})):
        site.publish(name=f"other{number}", facts={"made_by": told})
        assert "Made by run" not in page(browser, f"/models/piecehub/other{number}/1")


def test_a_model_shows_what_the_gate_saw_and_the_other_plots_of_its_evidence(browser, site):
    plot = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    cell = {"mode": "fine_tuning", "shots": 5, "mean": 0.5, "low": 0.4, "high": 0.6}
    value = {"task": "digits-5-9", "metric": "r2", "kind": "regression", "cells": [cell], "contrasts": []}
    plots = {f"evidence/digits-5-9/{name}.svg": plot for name in ("learning", "saving")}
    site.publish(evidence=value, **{"gains.svg": plot, **plots})
    text = page(browser, "/models/piecehub/digits/1")
    found = re.findall(r'<img class="plot"[^>]* src="([^"]+)"', text) + re.findall(
        r'<img class="plot" src="([^"]+)"', text
    )
    names = {path.rpartition("/")[2].rpartition("%2F")[2] for path in found}
    assert {"gains.svg", "accuracy.svg", "learning.svg", "saving.svg"} <= names
    assert all(browser.get(path).status_code == 200 for path in found)
    assert "What the gate saw" in text and "<summary>Labels saved, training loss by step</summary>" in text
    assert "R² by labelled examples, mean and 95 % interval" in text


def test_an_older_version_points_to_the_newest(browser, site):
    site.publish()
    site.publish(content=b"other")
    assert "is newer" in page(browser, "/models/piecehub/digits/1")
    assert "is newer" not in page(browser, "/models/piecehub/digits/2")
    answer = browser.get("/models/piecehub/digits", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "/models/piecehub/digits/2")


def test_a_model_published_without_anything_beside_it_has_a_page(browser, site, tmp_path):
    from piecehub.store.catalog import Store
    from piecehub.store.publish import publish

    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"graph")
    publish(
        Store.create(site.workdir.store),
        model,
        "piecehub",
        "bare/piece",
        blobs={},
        facts={},
    )
    text = page(browser, "/models/piecehub/bare/piece/1")
    assert "it was published without" in text and "Copy" in text


def test_b9_a_model_shows_what_its_test_part_and_pool_have_in_common(browser, site):
    site.publish(evidence={**site.evidence, "overlap": {"examples": 360, "exact": 3, "near": 1}})
    page = browser.get("/models/piecehub/digits/1")
    assert (
        "Of 360 test examples 3 equal one of the pool, from which the labelled examples are drawn, and 1 nearly"
        in page.text
    )


def test_evidence_of_another_kind_is_one_sentence(browser, site):
    site.publish(evidence={"task": "x"})
    assert "Expected evidence with task, cells and contrasts" in page(browser, "/models/piecehub/digits/1", 500)


def test_files_of_a_version_are_downloads(browser, site):
    site.publish()
    answer = browser.get("/models/piecehub/digits/1/files/documentation.md")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith("# Module piecehub/digits/1")
    for title in ("store.json", "..%2fmanifest.json", "evidence/digits-5-9"):
        assert browser.get(f"/models/piecehub/digits/1/files/{title}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/runs/20260101-000000-000",
        "/runs/..%2f..",
        "/runs/x/logs/y",
        f"/runs/{RUN}/logs/Unknown",
        f"/runs/{RUN}/logs/..%2f..%2fmetadata",
        "/models/piecehub/none/1",
        "/models/piecehub/digits/99",
        "/models/piecehub/UPPER/1",
        "/models/piecehub",
        "/static/../app.py",
    ],
)
def test_what_is_not_there_is_404_and_one_sentence(browser, site, path):
    site.write_run(RUN)
    site.publish()
    text = page(browser, path, 404)
    assert text.count('<p class="lead">') == 1


def test_a_damaged_run_is_one_sentence_and_hides_no_other(browser, site):
    site.write_run(RUN, states=site.done, end="done")
    site.write_run("20261124-024400-002")
    (site.workdir.runs / "20261124-024400-002" / "run.json").write_text("{")
    assert "Expected the description of the run" in page(browser, "/runs/20261124-024400-002", 500)
    assert f'href="/runs/{RUN}"' in page(browser, "/")


def test_an_error_of_ours_is_500_and_tells_no_more_than_a_sentence(browser, site, monkeypatch):
    site.write_run(RUN)
    monkeypatch.setattr("piecehub.ui.run_routes.run_page", lambda *_: 1 / 0)
    answer = browser.get(f"/runs/{RUN}")
    assert (answer.status_code, answer.headers["content-security-policy"]) == (500, CSP)
    assert "see the server&#39;s log" in answer.text and "ZeroDivisionError" not in answer.text


def test_clients_that_are_no_browser_get_a_line_of_text(client):
    answer = client.get("/piecehub/none/1?tf-hub-format=compressed")
    assert answer.status_code == 404
    assert answer.text.startswith("Expected a published model.") and answer.text.count("\n") == 1


def test_the_archive_is_served_beside_the_pages(client, site):
    site.publish()
    answer = client.get("/piecehub/digits/1?tf-hub-format=compressed")
    assert answer.status_code == 200 and answer.content[:2] == b"\x1f\x8b"
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/", f"/runs/{RUN}", "/models/piecehub/digits/1", "/static/app.js", "/nothing", "/healthz"]
)
def test_every_answer_carries_the_security_headers(browser, site, path):
    site.write_run(RUN)
    site.publish()
    headers = browser.get(path).headers
    assert headers["content-security-policy"] == CSP
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


@pytest.mark.parametrize("path", ["/", f"/runs/{RUN}", "/models/piecehub/digits/1"])
def test_pages_hold_no_inline_script_or_style_and_name_no_other_host(browser, site, path):
    site.write_run(RUN, states=site.done, end="done")
    site.publish()
    text = page(browser, path)
    assert re.findall(r"<script(?! src=\"/static/)", text) == []
    assert re.findall(r"\sstyle=|<style|\son\w+=", text) == []
    loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="([^"]+)"', text)
    assert loaded and all(address.startswith("/") and not address.startswith("//") for address in loaded)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "[::2]"])
def test_another_host_name_is_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8470", "[::1]:8470", "LOCALHOST:1"])
def test_loopback_names_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path", ["/", f"/runs/{RUN}", "/models/piecehub/digits/1", "/api/v1/runs", "/piecehub/digits/1"]
)
def test_nothing_can_be_written(client, site, method, path):
    site.publish()
    assert client.request(method, path).status_code == 405


def test_head_is_answered_without_a_body(client, site):
    site.write_run(RUN)
    answer = client.head(f"/runs/{RUN}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_api_tells_what_the_page_shows(client, site):
    site.write_run(RUN, states=site.failed, end="failed")
    value = client.get(f"/api/v1/runs/{RUN}").json()
    assert (value["run"], value["state"], value["counts"]["not run"]) == (RUN, "failed", 8)
    first = value["components"][0]
    assert (first["id"], first["state"], first["seconds"]) == ("ReusabilityValidator", "failed", 0.6)
    assert first["parameters"]["epochs"] == "12"
    assert "hidden-value" not in json.dumps(value)
    assert client.get("/api/v1/runs/unknown").status_code == 404
    assert "error" in client.get("/api/v1/runs/unknown").json()


def test_runs_are_paged(client, site):
    ids = [f"20261124-0144{n:02}-000" for n in range(30)]
    for run in ids:
        site.write_run(run, upstream={"A": []}, end="done")
    first = client.get("/api/v1/runs").json()
    second = client.get(f"/api/v1/runs?before={first['next']}").json()
    assert [row["run"] for row in first["runs"] + second["runs"]] == ids[::-1]
    assert second["next"] is None


def _three_versions(site):
    """Versions 1 to 3 of which 3 was quarantined and 2 yanked; 1 is the champion."""
    for content in (b"one", b"two", b"three"):
        site.publish(content=content)
    store = Store.open(site.workdir.store)
    for say, version, why in ((yank, 2, "The labels were swapped."), (quarantine, 3, "It runs code of others.")):
        say(store, Handle("piecehub", "digits", version), by="Ada", why=why)
    set_alias(store, Handle("piecehub", "digits", 1), "champion", by="Ada", why="It is the best.")


@pytest.mark.parametrize(
    "path",
    [
        "/models/piecehub/digits/3",
        "/models/piecehub/digits/3/files/model.tar.gz",
        "/models/piecehub/digits/3/files/documentation.md",
        "/models/piecehub/digits/3/files/evidence/digits-5-9/accuracy.svg",
        "/piecehub/digits/3",
        "/piecehub/digits/3?tf-hub-format=compressed",
        "/api/v1/models/piecehub/digits/3",
        "/api/v1/models/piecehub/digits/3/manifest",
        "/api/v1/models/piecehub/digits/3/blobs/model.tar.gz",
    ],
)
def test_a3_no_route_hands_out_a_quarantined_version(browser, site, path):
    _three_versions(site)
    answer = browser.get(path)
    assert answer.status_code == 410
    assert "It runs code of others." in answer.text and b"\x1f\x8b" not in answer.content[:2]


def test_a3_a_yanked_version_says_so_at_the_top_and_nothing_withdrawn_is_recommended(browser, site):
    _three_versions(site)
    yanked = browser.get("/models/piecehub/digits/2")
    top = yanked.text[: yanked.text.index('id="use"')]
    assert "This version was withdrawn." in top and "The labels were swapped." in top and "Ada" in top
    assert 'href="/models/piecehub/digits/1">version 1</a>' in top and "is newer" not in top
    assert "Fine-tuning is recommended" not in yanked.text
    assert yanked.headers["deprecation"].startswith("@")
    assert browser.get("/models/piecehub/digits/2/files/documentation.md").headers["deprecation"].startswith("@")
    newest = page(browser, "/models/piecehub/digits/1")
    assert "is newer" not in newest and 'href="/models/piecehub/digits/3"' not in newest
    assert "withdrawn" not in newest and '<span class="muted">(quarantined)</span>' in newest
    location = browser.get("/models/piecehub/digits", follow_redirects=False).headers["location"]
    assert location == "/models/piecehub/digits/1"
    assert re.findall(r'href="/models/([^"#]+)"', page(browser, "/")) == ["piecehub/digits/1"]


def test_a3_aliases_are_shown(browser, site):
    _three_versions(site)
    for path in ("/", "/models/piecehub/digits/1", "/models/piecehub/digits/2"):
        assert '<span class="alias">champion</span>' in page(browser, path)


def test_a5_secrets_of_parameters_and_messages_stand_on_no_page_and_in_no_json(browser, site):
    secret = {
        "auth": "PASS1",
        "hf_tokens": '["PASS2"]',
        "arguments": json.dumps({"db": {"password": "PASS3"}, "rows": 7}),
        "source": "https://u:PASS4@h/x?token=PASS5",
    }
    runs.write_run(site.workdir, Run(RUN, "p", "r", "2026-11-24T01:44:00+00:00", 1, (Node("A", (), secret),)))
    message = "No answer of https://u:PASS6@h/."
    for node in ("A", ""):
        runs.append_event(site.workdir, RUN, Event("2026-11-24T01:44:03+00:00", node, "failed", 1.0, message))
    site.write_log(RUN, "A", f"{message}\nAuthorization: Bearer PASS7PASS7\n")
    for path in ("/", f"/runs/{RUN}", f"/runs/{RUN}/logs/A", "/api/v1/runs", f"/api/v1/runs/{RUN}"):
        text = browser.get(path).text
        assert "PASS" not in text and "not shown" in text
    [component] = browser.get(f"/api/v1/runs/{RUN}").json()["components"]
    assert "7" in component["parameters"].values()


def test_c11_a_run_that_published_nothing_says_so_and_why_on_page_list_and_json(browser, site):
    why = "Expected a gain over from scratch above 0.9. Received: 0.03."
    site.write_run(RUN, states=site.done, end="done", results=(Result("digits", False, "", why),))
    for path in ("/", f"/runs/{RUN}"):
        text = page(browser, path)
        assert why in text
        assert 'class="state not-published"' in text and "not published</span>" in text
        assert 'done</span></div><div class="meaning">' not in text
    for value in (browser.get(f"/api/v1/runs/{RUN}").json(), browser.get("/api/v1/runs").json()["runs"][0]):
        assert (value["state"], value["outcome"]) == ("done", "not published")
        assert value["results"] == [{"piece": "digits", "published": False, "handle": "", "why": why}]


def test_c11_a_run_that_published_says_as_what(browser, site):
    site.publish()
    results = (Result("digits", True, "piecehub/digits/1"), Result("logits", False, "", "No gain."))
    site.write_run(RUN, states=site.done, end="done", results=results[:1])
    assert "Published as piecehub/digits/1." in page(browser, "/")
    assert '<a href="/models/piecehub/digits/1">' in page(browser, f"/runs/{RUN}")
    assert browser.get(f"/api/v1/runs/{RUN}").json()["outcome"] == "published"
    site.write_run("20261124-024400-002", states=site.done, end="done", results=results)
    assert browser.get("/api/v1/runs/20261124-024400-002").json()["outcome"] == "not published"
    assert "<bdi>logits</bdi>: Not published: <bdi>No gain.</bdi>" in page(browser, "/")


def _exported(site, version=1, archive=""):
    """The page of a version of `piecehub/digits` as it stands in an export."""
    store = Store.open(site.workdir.store)
    return static_pages("http://store").version(store, store.manifest(Handle("piecehub", "digits", version)), archive)


def test_n1_the_snippet_of_a_page_trains_only_what_is_recommended_for_it(browser, site):
    guidance = [{"task": "digits-5-9", "recommended": "feature_extraction"}]
    site.publish(content=b"a", facts={"fine_tunable": True, "guidance": guidance})
    site.publish(content=b"b", facts={"fine_tunable": False, "made_elsewhere": True})
    site.publish(content=b"c", facts={"fine_tunable": True, "guidance": [guidance[0] | {"recommended": "lp_ft"}]})
    served = [page(browser, f"/models/piecehub/digits/{version}") for version in (1, 2, 3)]
    for found in (served, [_exported(site, version) for version in (1, 2, 3)]):
        assert ["trainable=True" in text for text in found] == [False, False, True]
        assert "Frozen features are recommended" in found[0] and "Fine-tuning is not recommended." in found[1]
        assert "Fine-tuning is recommended." in found[2]


def test_frozen_features_that_were_not_blessed_are_not_recommended_on_any_page(browser, site):
    told = {"status": "NOT_BLESSED", "rule": {"mode": "feature_extraction"}}
    site.publish(facts={"fine_tunable": False, "made_elsewhere": True, "verdict": told})
    for text in (page(browser, "/models/piecehub/digits/1"), _exported(site)):
        assert "Frozen features are not recommended." in text


def test_e5_the_first_paragraph_of_a_page_is_markdown(browser, site):
    text = "# Module piecehub/digits/1\n\nA **bold** [link](https://example.org).\n\n| a |\n|---|\n| b |\n"
    site.publish(documentation=text)
    for text in (page(browser, "/models/piecehub/digits/1"), _exported(site)):
        assert '<p class="lead">A <strong>bold</strong> <a href="https://example.org"' in text and "<td>b</td>" in text
    assert '<p class="clamp">A bold link.</p>' in page(browser, "/")


def test_e15_the_archive_is_where_its_page_says(browser, site):
    site.publish()
    text = page(browser, "/models/piecehub/digits/1")
    addresses = re.findall(r"asset-path</th><td><code>([^<]+)</code>", text)
    assert addresses == ["http://127.0.0.1:8470/piecehub/digits/1/model.tar.gz"]
    answer = browser.get(addresses[0])
    assert answer.status_code == 200 and answer.content[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("told", ["piecehub/digits/1/model.tar.gz", "model.tar.gz", "/of/another/place.tar.gz"])
def test_e15_whatever_path_a_page_names_the_archive_is_where_it_says_then(browser, site, told):
    site.publish(documentation=f"# Module piecehub/digits/1\n\nIt sees.\n<!-- asset-path: {told} -->\n")
    place = "http://127.0.0.1:8470/piecehub/digits/1/model.tar.gz"
    assert f"<code>{place}</code>" in page(browser, "/models/piecehub/digits/1")
    assert browser.get(place).content[:2] == b"\x1f\x8b"


def test_e15_an_address_elsewhere_stays(browser, site):
    elsewhere = "https://models.example/digits.tar.gz"
    site.publish(documentation=f"# Module piecehub/digits/1\n\nIt sees.\n<!-- asset-path: {elsewhere} -->\n")
    for text in (page(browser, "/models/piecehub/digits/1"), _exported(site)):
        assert f"<code>{elsewhere}</code>" in text


@pytest.mark.parametrize("kind", LAYOUTS)
def test_e15_the_archive_of_an_export_is_where_its_page_says(site, tmp_path, kind):
    site.publish()
    where, store = LAYOUTS[kind], Store.open(site.workdir.store)
    export(store, tmp_path / "out", where, static_pages("http://store"), url="http://store")
    text = (tmp_path / "out" / where.page(Handle("piecehub", "digits", 1))).read_text("utf-8")
    [address] = re.findall(r"asset-path</th><td><code>([^<]+)</code>", text)
    assert address.startswith("http://store/"), address
    archive = tmp_path / "out" / address.removeprefix("http://store/")
    assert archive.is_file() and archive.read_bytes()[:2] == b"\x1f\x8b", f"nothing lies at {address}"


def test_e15_a_publisher_has_a_page_and_no_page_is_taken_for_a_model(browser, site):
    site.publish()
    site.publish("flowers")
    text = page(browser, "/piecehub")
    assert re.findall(r'href="/models/([^"#]+)"', text) == ["piecehub/flowers/1", "piecehub/digits/1"]
    assert page(browser, "/nobody", 404).count('<p class="lead">') == 1
    for path in ("/", "/piecehub", "/models/piecehub/digits/1"):
        assert browser.get(f"{path}?tf-hub-format=compressed").status_code == 404


def test_e9_the_log_of_the_runner_is_linked_and_a_run_without_components_shows_its_end(browser, site):
    site.write_run(RUN, upstream={})
    message = "Expected 'data.py' to write the examples. Received: ValueError: odd (/r/data.py:7)."
    runs.append_event(site.workdir, RUN, Event("2026-11-24T01:44:03+00:00", "", "failed", 1.0, message))
    site.write_log(RUN, "runner", "Traceback (most recent call last):\n  the last frame\n")
    text = page(browser, f"/runs/{RUN}")
    assert "/r/data.py:7" in text and "the last frame" in text
    assert f'href="/runs/{RUN}/log/runner"' in text
    assert browser.get(f"/runs/{RUN}/logs/runner").text.startswith("Traceback")


def test_e2_a_run_that_a_person_stopped_is_no_failure(browser, site):
    site.write_run(RUN, states={"FullModelTrainer": ("stopped", 4.0, "")})
    said = "Stopped; finished components come from the cache in the next run."
    runs.append_event(site.workdir, RUN, Event("2026-11-24T01:44:09+00:00", "", "stopped", message=said))
    text = page(browser, f"/runs/{RUN}")
    assert said in text and "The run was stopped" in text and "KeyboardInterrupt" not in text
    assert boxes(text)["FullModelTrainer"] == "stopped" and 'class="state failed"' not in text
    assert browser.get(f"/api/v1/runs/{RUN}").json()["state"] == "stopped"


def test_e6_the_page_calls_a_finding_what_the_summary_counts_it_as(browser, site):
    site.publish()
    shown = page(browser, "/models/piecehub/digits/1")
    assert "nothing fell short · 1 piece of advice" in shown
    assert 'class="state failed"' not in shown and shown.count("advice</span>") == 2


def test_e3_no_component_runs_on_in_a_run_that_has_ended(browser, site):
    site.write_run(RUN, states={"UpstreamExamples": ("running", 0.0, "")}, end="failed")
    row = browser.get("/api/v1/runs").json()["runs"][0]
    assert row["state"] == "failed"
    assert sorted(row["counts"]) == ["not run", "stopped"]


def test_a_run_that_failed_before_it_had_components_shows_no_empty_panels(browser, site):
    site.write_run(RUN, upstream={}, end="failed")
    shown = page(browser, f"/runs/{RUN}")
    assert "The run failed" in shown
    assert "The journey of the data" not in shown and '<h2 id="components">' not in shown


def test_a_withdrawn_version_says_so_above_all_else_on_its_static_page_too(site, tmp_path):
    site.publish()
    store = Store.open(site.workdir.store)
    yank(store, Handle("piecehub", "digits", 1), by="anna", why="odd")
    url = "https://models.example"
    export(store, tmp_path / "out", LAYOUTS["nginx"], static_pages(url), url=url)
    shown = (tmp_path / "out" / "piecehub" / "digits" / "1" / "index.html").read_text("utf-8")
    assert shown.index("This version was withdrawn") < shown.index('class="lead"')
