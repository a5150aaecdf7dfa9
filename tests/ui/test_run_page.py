"""The page of a run: what became of it, where its time went, its logs, and how it is kept up to date."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest
from starlette.testclient import TestClient

from piecehub.facts import runs
from piecehub.facts.handle import Handle
from piecehub.facts.progress import Count, Progress
from piecehub.facts.runs import Event, Result
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine
from piecehub.ui.app import create_app
from piecehub.ui.run_pages import mark_of, run_page
from tests.ui.conftest import Site

RUN = "20261124-014400-001"
XSS = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
DIAMOND = {"A": [], "B": ["A"], "C": ["A"], "D": ["B", "C"]}


def at(seconds):
    return f"2026-11-24T01:{44 + int(seconds // 60):02}:{seconds % 60:06.3f}+00:00"


def page(browser, path=f"/runs/{RUN}", status=200):
    answer = browser.get(path, follow_redirects=False)
    assert answer.status_code == status, answer.text
    return answer.text


def work(site, node, began, ended=None, *told, state="done", cpu_s=0.0):
    """A component at work, which says what it is at."""
    runs.append_event(site.workdir, RUN, Event(at(began), node, "running"))
    for moment, progress in told:
        event = Event(at(moment), node, "running", message=progress.text, progress=progress)
        runs.append_event(site.workdir, RUN, event)
    if ended is not None:
        runs.append_event(site.workdir, RUN, Event(at(ended), node, state, ended - began, cpu_s=cpu_s))


def diamond(site):
    """A, then C, which takes longest, then B, then D."""
    site.write_run(RUN, upstream=DIAMOND)
    epochs = [(12 + n, Progress(counts=(Count("epoch", n, 20),), numbers={"loss": 0.5})) for n in (1, 8)]
    work(site, "A", 0, 10)
    work(site, "C", 10, 40, *epochs, (35, Progress("writing")), cpu_s=54.0)
    work(site, "B", 40, 45)
    work(site, "D", 45, 46)
    runs.append_event(site.workdir, RUN, Event(at(46), "", "done"))


def test_the_outcome_stands_first_with_its_gain_and_the_version_leads_back_to_the_run(browser, site):
    site.publish()
    result = Result("digits", True, "piecehub/digits/1")
    site.write_run(RUN, states=site.done, end="done", results=(result,))
    site.write_run("20261125-014400-001", states=site.done, end="done", results=(result,))
    text = page(browser)
    top = text[: text.index('<svg class="dag"')]
    assert 'Published as <a href="/models/piecehub/digits/1">' in top and "+3.2 <span" in top
    assert 'class="state published"' in top
    assert re.findall(r'href="/runs/([^"]+)"', page(browser, "/models/piecehub/digits/1")) == [RUN]


def test_a_version_that_no_run_of_this_folder_made_names_none(browser, site):
    site.publish()
    assert "/runs/2" not in page(browser, "/models/piecehub/digits/1")


def test_what_a_run_published_to_another_store_is_not_taken_for_what_stands_in_this_one(site, tmp_path):
    site.publish()
    here, moved, elsewhere = site.workdir.store_place, "/gone/work/store", "s3://bucket/store"
    for number, store in enumerate((elsewhere, moved, here)):
        run = f"2026112{number}-014400-001"
        nodes = (runs.Node("HubPusher", (), {"store_folder": store}),)
        runs.write_run(site.workdir, runs.Run(run, "digits", "recipe", at(0), 1, nodes))
        result = Result("digits", True, "piecehub/digits/1")
        runs.append_event(site.workdir, run, Event(at(9), "", "done", results=(result,)))

    def pages(store):
        client = TestClient(create_app(site.workdir, store=store), base_url="http://127.0.0.1")
        client.headers["Accept"] = "text/html"
        outcomes = [page(client, f"/runs/2026112{number}-014400-001").partition("<h1>")[2] for number in range(3)]
        made_by = re.findall(r'href="/runs/([^"]+)"', page(client, "/models/piecehub/digits/1"))
        return ['Published as <a href="/models/piecehub/digits/1">' in text for text in outcomes], made_by, outcomes

    links, made_by, outcomes = pages(None)
    assert (links, made_by) == ([False, True, True], ["20261121-014400-001"])
    assert f"Published as <bdi>piecehub/digits/1</bdi> in <bdi>{elsewhere}</bdi>" in outcomes[0]
    assert "+3.2 <span" not in outcomes[0] and "+3.2 <span" in outcomes[1]
    other = Workdir(tmp_path / "other")
    Site(other).publish()
    links, made_by, _ = pages(other.store)
    assert (links, made_by) == ([False] * 3, [])


def test_a_version_that_was_quarantined_since_then_says_so_on_the_page_of_its_run(browser, site):
    site.publish()
    site.write_run(RUN, states=site.done, end="done", results=(Result("digits", True, "piecehub/digits/1"),))
    quarantine(Store.open(site.workdir.store), Handle("piecehub", "digits", 1), by="Ada", why="Odd.")
    assert 'class="state quarantined"' in page(browser)


def test_an_outcome_whose_version_is_gone_or_is_no_handle_is_told_as_the_run_told_it(browser, site):
    for handle in ("piecehub/digits/9", XSS):
        site.write_run(RUN, states=site.done, end="done", results=(Result("digits", True, handle),))
        text = page(browser)
        assert "Published as <a" in text and "<script>alert" not in text and "<img src=x" not in text


def test_what_a_component_is_at_stands_above_the_graph_and_is_not_told_as_a_failure(browser, site):
    site.write_run(RUN, upstream=DIAMOND)
    work(site, "A", 0, None, (12, Progress(counts=(Count("epoch", 3, 20), Count("step", 1, 2)), numbers={"loss": 0.4})))
    text = page(browser)
    now = text[text.index('id="now"') : text.index('<svg class="dag"')]
    assert "epoch 3 of 20, step 1 of 2, loss 0.4" in now
    assert '<progress max="100" value="12.5"' in now and 'class="ticking"' in now and 'class="error"' not in text
    assert (
        '<p class="visually-hidden" id="said" role="status" aria-live="polite">0 of 4 components have ended. A is'
        in text
    )
    assert browser.get(f"/api/v1/runs/{RUN}").json()["components"][0]["progress"]["counts"][0] == {
        "unit": "epoch",
        "at": 3,
        "of": 20,
    }


def test_the_critical_path_is_the_longest_chain_of_readers(site):
    diamond(site)
    spans = run_page(site.workdir, RUN).times.by_id()
    assert [key for key, span in spans.items() if span.is_critical] == ["A", "C", "D"]
    assert run_page(site.workdir, RUN).times.critical_s == 41


def test_a_component_tells_what_it_waited_for_and_what_took_its_time(browser, site):
    diamond(site)
    spans = run_page(site.workdir, RUN).times.by_id()
    assert (spans["C"].after, spans["C"].waited) == ("A", 0.0)
    assert (spans["B"].after, spans["B"].waited) == ("C", 30.0)
    assert spans["C"].phases == (("epochs", 22.0), ("writing", 5.0))
    text = page(browser)
    assert "after A · epochs 22.0 s · writing 5.0 s · 1.8 processors" in text
    assert "waited 30.0 s, mostly for C" in text
    assert "41.0 s of 46.0 s" in text
    assert '<a href="#times">longest: <bdi>C</bdi>, 30.0 s</a>' in text


def test_the_api_tells_the_times_that_the_page_draws(client, site):
    diamond(site)
    value = client.get(f"/api/v1/runs/{RUN}").json()
    assert value["critical_s"] == 41
    assert {c["id"]: c["time"]["critical"] for c in value["components"]} == {
        "A": True,
        "B": False,
        "C": True,
        "D": True,
    }
    assert value["components"][2]["time"] == {
        "began_s": 10.0,
        "seconds": 30.0,
        "waited_s": 0.0,
        "after": "A",
        "critical": True,
        "cpu_s": 54.0,
        "phases": [{"name": "epochs", "seconds": 22.0}, {"name": "writing", "seconds": 5.0}],
    }


def test_a_description_that_goes_round_in_a_circle_has_a_page(browser, site):
    site.write_run(RUN, upstream={"A": ["B"], "B": ["A"]})
    work(site, "A", 0, 1)
    work(site, "B", 1, 2)
    assert "Where the time went" in page(browser)


LOG = "loading\nepoch 1\nTraceback (most recent call last):\n  File x, line 3\nValueError: odd <b>\nThe End\n"


def test_the_page_of_a_log_shows_the_traceback_and_finds_lines(browser, site):
    site.write_run(RUN, states=site.failed, end="failed")
    site.write_log(RUN, "ReusabilityValidator", LOG + "token=SECRETVALUE1234\n")
    whole = page(browser, f"/runs/{RUN}/log/ReusabilityValidator")
    assert whole.index("ValueError: odd &lt;b&gt;</pre>") < whole.index("loading")
    assert "7 lines" in whole and "SECRETVALUE" not in whole
    found = page(browser, f"/runs/{RUN}/log/ReusabilityValidator?q=EPOCH")
    assert '<span class="line-number">2</span><mark>epoch</mark> 1' in found and "loading" not in found
    assert "1 line of 7" in found
    assert "No line has that text." in page(browser, f"/runs/{RUN}/log/ReusabilityValidator?q=zzz")
    assert "<script>" not in page(browser, f"/runs/{RUN}/log/ReusabilityValidator?q={XSS}")
    for node in ("Unknown", "..%2f..%2fmetadata"):
        page(browser, f"/runs/{RUN}/log/{node}", 404)


def test_a_failed_component_shows_where_it_failed_in_the_code(browser, site):
    site.write_run(RUN, states=site.failed, end="failed")
    site.write_log(RUN, "ReusabilityValidator", LOG + "filler\n" * 2000)
    text = page(browser)
    assert "Where it failed, in the code" in text and "File x, line 3\nValueError: odd &lt;b&gt;</pre>" in text


def test_a_run_that_has_ended_is_not_watched_any_more(client, site):
    site.write_run(RUN, states=site.done, end="done")
    assert client.get(f"/runs/{RUN}/live").status_code == 204
    assert client.get("/runs/unknown/live").status_code == 404


def test_the_mark_of_a_page_changes_with_events_logs_and_death_and_with_nothing_else(site):
    site.write_run(RUN, upstream=DIAMOND)
    marks = [mark_of(site.workdir, RUN)]
    assert mark_of(site.workdir, RUN) == marks[0]
    for change in (
        lambda: work(site, "A", 0),
        lambda: site.write_log(RUN, "A", "line\n"),
        lambda: site.kill(RUN),
    ):
        change()
        marks.append(mark_of(site.workdir, RUN))
    assert len(set(marks)) == 4


@contextmanager
def serving(site):
    command = [sys.executable, "-m", "piecehub.cli", "serve", "--port", "0", "--workdir", str(site.workdir.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        yield process, re.findall(r"http://\S+", process.stderr.readline())[0]
        process.kill()


def test_e4_who_watches_a_run_is_told_each_change_until_its_end_and_keeps_no_server_from_ending(site):
    site.write_run(RUN, upstream=DIAMOND)
    with serving(site) as (process, url), urllib.request.urlopen(f"{url}runs/{RUN}/live", timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "default-src 'none'" in stream.headers["content-security-policy"]

        def told():
            return next(line[6:].strip().decode() for line in stream if line.startswith(b"data: "))

        first = told()
        with urllib.request.urlopen(f"{url}runs/{RUN}", timeout=30) as answer:
            text = answer.read().decode()
        assert f'data-live="/runs/{RUN}/live" data-mark="{first}"' in text
        work(site, "A", 0)
        assert told() == mark_of(site.workdir, RUN) != first
        with urllib.request.urlopen(f"{url}runs/{RUN}/live", timeout=30) as other:
            other.readline()
            runs.append_event(site.workdir, RUN, Event(at(46), "", "done"))
            told()
            assert not stream.read().strip()
        site.write_run("20261124-014400-002", upstream=DIAMOND)
        with urllib.request.urlopen(f"{url}runs/20261124-014400-002/live", timeout=30) as other:
            other.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0 and process.stderr.read() == ""


@pytest.mark.parametrize("name", ["app.js", "live.js"])
def test_scripts_ask_no_other_host_and_write_no_markup(client, name):
    text = client.get(f"/static/{name}").text
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|\beval\b", text) and json.dumps(text)
