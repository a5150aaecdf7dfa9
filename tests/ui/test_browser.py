"""The page of a run that goes on, in Debian's Chromium: what a reader has in hand stays, whatever changes around it.

No release of ours needs playwright; where it is installed (`pip install playwright`) these run with `make test-long`.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from piecehub.facts import runs
from piecehub.facts.heartbeat import beating
from piecehub.facts.progress import Count, Progress
from piecehub.facts.runs import Event, Result

CHROMIUM = Path("/usr/bin/chromium")
RUN = "20261124-014400-001"
UPDATES = 10
# The reader opens two components, focuses one, scrolls, and selects a part of a parameter.
READ = """() => {
  document.querySelector("#of-FullModelTrainer").open = document.querySelector("#of-UpstreamExamples").open = true;
  window.held = document.querySelector("#of-UpstreamExamples summary");
  held.focus();
  scrollTo(0, 300);
  const text = document.querySelector("#UpstreamExamples code").firstChild, range = document.createRange();
  range.setStart(text, 0);
  range.setEnd(text, 2);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  window.main = document.querySelector("main");
  window.marks = new Set();
  new MutationObserver(() => marks.add(main.dataset.mark)).observe(main, { attributes: true });
}"""
HELD = """() => [document.activeElement === held, scrollY, getSelection().toString().length,
  document.querySelector("main") === main, document.querySelector("#of-FullModelTrainer").open, marks.size]"""


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"needs Debian's chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def url(site):
    """The pages, as a person serves them."""
    command = [sys.executable, "-m", "piecehub.cli", "serve", "--port", "0", "--workdir", str(site.workdir.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        yield process.stderr.readline().split()[1]
        process.kill()


def train(site, ended):
    """A component at work, an epoch every half second, until it is told to end; then the run publishes."""
    with beating(site.workdir, RUN):
        epoch = 0
        while not ended.wait(0.5):
            epoch += 1
            progress = Progress(counts=(Count("epoch", min(epoch, 100), 100),), numbers={"loss": 1 / epoch})
            event = Event(runs.now(), "FullModelTrainer", "running", message=progress.text, progress=progress)
            runs.append_event(site.workdir, RUN, event)
            site.write_log(RUN, "FullModelTrainer", "".join(f"epoch {n}\n" for n in range(epoch)))
        results = (Result("digits", True, "piecehub/digits/1"),)
        runs.append_event(site.workdir, RUN, Event(runs.now(), "", "done", results=results))


@pytest.mark.long
def test_e4_ten_updates_leave_focus_scroll_selection_and_what_is_open(site, url, browser):
    site.publish()
    site.write_run(RUN, states={"UpstreamExamples": ("done", 1, "")})
    ended, hosts, said = threading.Event(), set(), []
    worker = threading.Thread(target=train, args=(site, ended))
    worker.start()
    page = browser.new_page(viewport={"width": 1280, "height": 700})
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(f"{url}runs/{RUN}")
        page.evaluate(READ)
        until = time.monotonic() + 60
        while page.evaluate("() => marks.size") < UPDATES and time.monotonic() < until:
            page.wait_for_timeout(200)
        assert page.evaluate("() => marks.size") >= UPDATES
        assert page.evaluate(HELD)[:5] == [True, 300, 2, True, True]
        assert float(page.locator("progress").first.get_attribute("value")) > 5
    finally:
        ended.set()
        worker.join()
    page.wait_for_selector("#outcome >> text=Published as", timeout=10_000)
    assert page.locator("main").get_attribute("data-live") is None
    assert "The run has ended" in page.locator("#said").inner_text()
    assert (hosts, said) == ({url.split("/")[2]}, [])


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_of_a_run_are_whole_without_scripts_and_as_wide_as_the_window(site, url, browser, scheme, width):
    site.write_run(RUN, states=site.failed, end="failed")
    site.write_log(RUN, "ReusabilityValidator", f"{'x' * 400}\nTraceback (most recent call last):\nValueError: odd\n")
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=False
    )
    page = context.new_page()
    for path, seen in ((f"runs/{RUN}", "Where the time went"), (f"runs/{RUN}/log/ReusabilityValidator", "Traceback")):
        page.goto(f"{url}{path}")
        assert page.get_by_role("heading", name=seen).is_visible()
        box = page.locator("html").bounding_box()
        assert box and page.locator("main").bounding_box()["width"] <= width == box["width"]
