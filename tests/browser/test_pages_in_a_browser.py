"""The pages as a browser has them: rules of accessibility, questions answered by a click, keyboard, no JavaScript."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe

from piecehub.facts import runs
from piecehub.facts.handle import Handle
from piecehub.facts.heartbeat import beating
from piecehub.facts.plan import Change, Component, write_plan
from piecehub.facts.progress import Count, Progress
from piecehub.facts.runs import Result
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import yank
from tests.browser.conftest import PLAN, REFUSED, RUNS, Opened, served
from tests.ui.conftest import Site

PAGES = {
    "home": "/",
    "runs": "/runs",
    "filtered": "/runs?state=failed&recipe=digits",
    "models": "/models",
    "yanked": "/models?show=yanked",
    "publisher": "/piecehub",
    "model": "/models/piecehub/digits/3",
    "withdrawn": "/models/piecehub/digits/1",
    "quarantined": "/models/piecehub/digits/2",
    "nothing": "/runs/20000101-000000-000",
    **{name: f"/runs/{run}" for name, run in RUNS.items()},
    "recipe": "/pipelines/digits",
    "log": f"/runs/{RUNS['failed']}/log/ReusabilityValidator",
}
STATUS = {"quarantined": 410, "nothing": 404}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}
WIDTHS = {"wide": 1280, "narrow": 390}
EVERY = list(itertools.product(PAGES, LOOKS, WIDTHS))
# Off by itself, for it is an experiment: what a person reads on a thing is how he can call it.
_RULES = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
_SHORT = {
    ("recipe", "dark", "narrow"),
    ("failed", "dark", "narrow"),
    ("published", "light", "wide"),
    ("models", "light", "narrow"),
}


@pytest.mark.parametrize(
    ("page", "look", "width"),
    [pytest.param(*one, id="-".join(one), marks=() if one in _SHORT else pytest.mark.long) for one in EVERY],
)
def test_a_page_breaks_no_rule_of_accessibility_asks_nobody_else_and_fits(
    opened: Opened, page: str, look: str, width: str
) -> None:
    watched = opened(**LOOKS[look], viewport={"width": WIDTHS[width], "height": 900})
    found = Axe().run(watched.open(PAGES[page], STATUS.get(page, 200)), options=_RULES)
    assert found.violations_count == 0, found.generate_report()
    assert (watched.outside, watched.said, max(watched.too_wide_by, 0)) == ([], [], 0)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_what_failed_and_where_is_one_click_from_the_first_page(opened: Opened, scripts: bool) -> None:
    page = opened(java_script_enabled=scripts).open("/")
    page.click(f"a[href='/runs/{RUNS['failed']}']")
    what = page.locator("section.error")
    assert "ReusabilityValidator failed after 0.6 s" in what.inner_text()
    assert "Expected regularization losses. Received: none; export with losses." in what.inner_text()
    assert what.evaluate("e => e.getBoundingClientRect().top") < 400


def test_why_nothing_was_published_stands_on_the_page_of_the_run(opened: Opened) -> None:
    page = opened().open(f"/runs/{RUNS['refused']}")
    assert page.get_by_text(REFUSED).first.is_visible()
    page = opened().open(f"/runs/{RUNS['published']}")
    page.click("main a[href='/models/piecehub/digits/3']")
    assert page.url.endswith("/models/piecehub/digits/3")


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("changed since the last version", "train.epochs 20 → 30"),
        ("data made this model", "train 5,340 records, eval 760 records"),
        ("code made this model", "model.py changed: build_model"),
        ("took so long", "Where the time went"),
    ],
)
def test_a_question_about_a_run_is_one_click_from_the_first_page(opened: Opened, what: str, answer: str) -> None:
    page = opened(java_script_enabled=False).open("/")
    page.click(f"a[href='/runs/{RUNS['published']}']")
    assert page.get_by_text(answer).first.is_visible(), what


def test_what_an_edit_would_run_again_is_told_of_each_component(opened: Opened) -> None:
    page = opened().open("/pipelines/digits")
    row = page.locator("tr").filter(has_text="FullModelTrainer")
    assert "to run" in row.inner_text() and "train.epochs 20 → 30" in row.inner_text()


def test_a_component_is_opened_by_the_keyboard_alone(opened: Opened) -> None:
    page = opened().open(f"/runs/{RUNS['published']}")
    assert page.get_by_role("link", name="FullModelTrainer done · 7.1 s", exact=True).count() == 1  # of the graph
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    page.keyboard.press("Enter")
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.locator(":focus").evaluate("e => e.tagName + ' ' + e.textContent.trim()"))
        if reached[-1].startswith("SUMMARY FullModelTrainer"):
            break
    else:
        raise AssertionError(f"FullModelTrainer is not reached: {reached}")
    assert page.locator(":focus").evaluate("e => getComputedStyle(e).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.locator("#FullModelTrainer").get_by_text("learning_rate").first.is_visible()


@pytest.mark.parametrize("updates", [3, pytest.param(10, marks=pytest.mark.long)])
def test_a_page_that_follows_a_run_keeps_focus_scroll_and_selection(
    opened: Opened, tmp_path: Path, updates: int
) -> None:
    site = Site(Workdir(tmp_path / "work"))
    site.write_run(RUNS["running"], states={"UpstreamExamples": ("done", 1.0, "")})
    with served(site.workdir.root) as address, beating(site.workdir, RUNS["running"]):
        watched = opened(address, viewport={"width": 1000, "height": 500})
        page = watched.open(f"/runs/{RUNS['running']}")
        opener = page.locator("details.component").filter(has_text="ImportSchemaGen").locator("summary").first
        opener.focus()
        page.keyboard.press("Enter")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('h1')); scrollTo(0, 120)")
        kept = "[document.activeElement.textContent.trim().slice(0, 12), scrollY, String(getSelection())]"
        before = page.evaluate(kept)
        for epoch in range(1, updates + 1):
            text = f"epoch {epoch} of 12"
            progress = Progress(text, counts=(Count("epoch", epoch, 12),))
            event = runs.Event(runs.now(), "FullModelTrainer", "running", message=text, progress=progress)
            runs.append_event(site.workdir, RUNS["running"], event)
            page.get_by_text(text).first.wait_for(timeout=10_000)
            assert page.evaluate(kept) == before
        assert opener.evaluate("e => e.parentElement.open")
        runs.append_event(site.workdir, RUNS["running"], runs.Event(runs.now(), "", "stopped", message=runs.STOPPED))
        page.get_by_text("The run was stopped").first.wait_for(timeout=10_000)
        assert (watched.outside, watched.said) == ([], [])


# Each would run, open a request, turn the text around or leave its element, were it not escaped.
HOSTILE = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "'><svg onload=document.title='ran'>",
    "</title></textarea></style></script><script>document.title='ran'</script>",
    "javascript:document.title='ran'",
    "[a](javascript:document.title='ran') ![b](https://example.com/b.png) <https://example.com>",
    "{{ 7 * 7 }} ${7*7} {% include '/etc/passwd' %}",
    "\u202egnp.exe\u202c \u2066left\u2069 \u200f",
    "&lt;b&gt; &#x3c;i&#x3e; \x00\x1b[31m",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Pages whose every text is of somebody who means harm; their address, and their paths."""
    site, text = Site(Workdir(tmp_path_factory.mktemp("hostile") / "work")), "\n".join(HOSTILE)
    states = {node: ("failed" if number % 2 else "running", 1.0, text) for number, node in enumerate(HOSTILE)}
    nodes: dict[str, list[str]] = {node: [] for node in HOSTILE}
    result = Result(text, False, "", text)
    site.write_run(RUNS["failed"], upstream=nodes, states=states, end="failed", pipeline=text, results=(result,))
    for node in HOSTILE:
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have
            site.write_log(RUNS["failed"], node, text)
    site.publish(documentation=f"# Module piecehub/digits/1\n\n{text}\n\n## Overview\n\n{text}\n")
    store = Store.open(site.workdir.store)
    yank(store, Handle("piecehub", "digits", 1), by=HOSTILE[1], why=" ".join(HOSTILE[:6]))
    with served(site.workdir.root) as address:
        yield address, ["/", "/runs", f"/runs/{RUNS['failed']}", "/models?show=all", "/models/piecehub/digits/1"]


@pytest.mark.parametrize("query", ["", "hostile"])
def test_nothing_that_a_text_holds_runs_or_reaches_another_host(
    opened: Opened, hostile: tuple[str, list[str]], query: str
) -> None:
    address, paths = hostile
    asked = "?q=" + quote(HOSTILE[1]) if query else ""
    watched = opened(address)
    for path in ["/models" + asked] if query else paths:
        page = watched.open(path)
        for details in page.locator("details").all():
            details.evaluate("e => e.open = true")
        assert page.title() != "ran"
        found = page.evaluate("document.querySelectorAll('img[src=x], main script, svg[onload], [onerror]').length")
        odd = page.evaluate("[...document.links].filter(a => !/^https?:/.test(a.href)).map(a => a.href)")
        assert (found, odd, watched.outside, watched.said) == (0, [], [], []), path


# Hebrew behind an override and an isolate that do not end; of our own words none has such letters.
TURNED = "\u202eשלום\u2066 קובץ"
# Elements in which such a text may turn ours round: the nearest ones around it that keep their own direction.
_REACHED = r"""() => {
  const turned = /[\u0590-\u05ff\u202e]/, found = [];
  const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.replace(/\u2068[^\u2066\u2069\u202a-\u202e]*\u2069/g, '');
    if (!turned.test(text)) continue;
    let around = texts.currentNode.parentElement;
    const keeps = (style) => style.display !== 'inline' || /isolate|plaintext/.test(style.unicodeBidi);
    while (!keeps(getComputedStyle(around))) around = around.parentElement;
    const path = /artifacts\/digits\//g;  // is one text, whoever called its last folder so
    if (/[A-Za-z]/.test(around.textContent.replace(path, ''))) found.push(around.outerHTML.slice(0, 300));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Pages whose every name and text would turn the writing round; their address, and their paths."""
    site, node = Site(Workdir(tmp_path_factory.mktemp("turning") / "work")), f"{TURNED}ב"
    result = Result(TURNED, False, "", TURNED)
    nodes = {TURNED: [], node: [TURNED]}
    states = {TURNED: ("done", 1.0, TURNED), node: ("failed", 1.0, TURNED)}
    told: dict[str, Any] = {"upstream": nodes, "pipeline": TURNED, "results": (result, result)}
    site.write_run(RUNS["failed"], states=states, end="failed", **told)
    site.write_run(RUNS["refused"], states={TURNED: states[TURNED]}, end="done", **told)
    site.write_run(RUNS["running"], states={node: ("running", 1.0, TURNED)}, **told)
    changes = (Change("parameter", TURNED, TURNED, f"{TURNED}ב"), Change("code", TURNED, [], [], TURNED))
    plan = replace(PLAN, pipeline=TURNED, changes=changes, components=(Component(TURNED, "run", (TURNED,)),))
    write_plan(site.workdir, RUNS["running"], plan)
    site.write_log(RUNS["failed"], node, TURNED)
    made = site.workdir.artifacts / "digits" / TURNED
    made.mkdir(parents=True)
    curves = {"x": TURNED, "series": {TURNED: [0.9, 0.4]}}
    (made / "preview.json").write_text(json.dumps({"kind": "curves", "title": TURNED, "data": curves}))
    site.publish(evidence={**site.evidence, "task": TURNED})
    yank(Store.open(site.workdir.store), Handle("piecehub", "digits", 1), by=TURNED, why=TURNED)
    runs_of = [f"/runs/{RUNS[state]}" for state in ("failed", "refused", "running")]
    inside = [f"{runs_of[0]}/log/{quote(node)}", f"{runs_of[0]}/outputs/{quote(TURNED)}/evidence"]
    with served(site.workdir.root) as address:
        yield address, ["/", "/runs", *runs_of, *inside, f"/pipelines/{quote(TURNED)}", "/models/piecehub/digits/1"]


def test_a_text_that_turns_the_writing_round_turns_nothing_of_ours(
    opened: Opened, turning: tuple[str, list[str]]
) -> None:
    address, paths = turning
    watched = opened(address)
    reached: dict[str, list[str]] = {}
    for path in paths:
        page = watched.open(path)
        assert "שלום" in page.content() and "\u202e" not in page.title(), path
        reached[path] = page.evaluate(_REACHED)
    assert not any(reached.values()), reached
