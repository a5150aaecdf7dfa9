"""The pages as a browser has them: rules of accessibility, questions answered by a click, keyboard, no JavaScript."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe

from piecehub.facts import runs
from piecehub.facts.handle import Handle
from piecehub.facts.heartbeat import beating
from piecehub.facts.progress import Count, Progress
from piecehub.facts.runs import Result
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import yank
from tests.browser.conftest import REFUSED, RUNS, Opened, served
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
_SHORT = {("failed", "dark", "narrow"), ("published", "light", "wide"), ("models", "light", "narrow")}


@pytest.mark.parametrize(
    ("page", "look", "width"),
    [pytest.param(*one, id="-".join(one), marks=() if one in _SHORT else pytest.mark.long) for one in EVERY],
)
def test_a_page_breaks_no_rule_of_accessibility_asks_nobody_else_and_fits(
    opened: Opened, page: str, look: str, width: str
) -> None:
    watched = opened(**LOOKS[look], viewport={"width": WIDTHS[width], "height": 900})
    found = Axe().run(watched.open(PAGES[page], STATUS.get(page, 200)))
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
