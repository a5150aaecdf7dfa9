"""Debian's chromium on the pages of a working folder with a run in every state, served by the command."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from piecehub.facts.handle import Handle
from piecehub.facts.plan import Change, Component, File, MadeOf, Part, Plan, Took, write_plan
from piecehub.facts.runs import Result
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine, set_alias, yank
from tests.command_line import ROOT
from tests.ui.conftest import Site

RUNS = {
    "published": "20261124-014401-000",
    "refused": "20261124-014402-000",
    "failed": "20261124-014403-000",
    "stopped": "20261124-014404-000",
    "killed": "20261124-014405-000",
    "running": "20261124-014406-000",
}
BEFORE = "20261123-000000-000"
PLAN = Plan(
    "digits",
    "pipelines/recipes/digits",
    "2026-11-24T01:44:01.000+00:00",
    BEFORE,
    ("piecehub/digits/2",),
    (
        Change("parameter", "train.epochs", 20, 30),
        Change("code", "model.py", [], ["build_model"], "--- before/model.py\n+++ now/model.py\n-old\n+new"),
    ),
    (
        Component("FullModelTrainer", "run", ("train.epochs 20 → 30",)),
        Component("UpstreamExamples", "cache", (), BEFORE, took=Took(BEFORE, 9.0, 2 * 10**9, 4096)),
    ),
    MadeOf(
        parameters={"train.epochs": 30},
        lock="0" * 64,
        files={"model.py": File("1" * 64)},
        schemas={},
        piecehub={},
        data={"upstream": Part(True, {"train": 5340, "eval": 760})},
    ),
)
REFUSED = "Expected a gain of at least 3 points over training from scratch. Received: 1.2 [0.1, 2.3]; train longer."


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """A browser without a window; as long as there is one, its thread has an event loop that runs."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Runs of every state; of one model a version that stands, one yanked and one quarantined."""
    site = Site(Workdir(tmp_path_factory.mktemp("pages") / "work"))
    site.publish()
    site.publish(content=b"second")
    site.publish(content=b"third")
    site.publish("flowers")
    store = Store.open(site.workdir.store)
    first, second, third = (Handle("piecehub", "digits", version) for version in (1, 2, 3))
    yank(store, first, by="Ada", why="Its labels were shifted.")
    quarantine(store, second, by="Ada", why="Its training data hold a test example.")
    set_alias(store, third, "champion", by="Ada", why="It is the best.")
    some = dict(list(site.done.items())[:6])
    published = Result("piecehub/digits", True, "piecehub/digits/3", "")
    site.write_run(RUNS["published"], states=site.done, end="done", results=(published,))
    write_plan(site.workdir, RUNS["published"], PLAN)
    refused = Result("piecehub/digits", False, "", REFUSED)
    site.write_run(RUNS["refused"], states=site.done, end="done", results=(refused,))
    site.write_run(RUNS["failed"], states=site.failed, end="failed")
    site.write_log(RUNS["failed"], "ReusabilityValidator", "Traceback …\nNotReusableError: the last words\n")
    site.write_run(RUNS["stopped"], states=some, end="stopped")
    site.write_run(RUNS["killed"], states=some)
    site.kill(RUNS["killed"])
    site.write_run(RUNS["running"], states={**some, "FullModelTrainer": ("running", 0, "epoch 3 of 12")})
    return site


@contextmanager
def served(workdir: Path) -> Iterator[str]:
    """The address at which `piecehub serve` shows a working folder."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", "serve", "--workdir", str(workdir), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        told: list[str] = []
        for line in process.stdout:
            told.append(line)
            if found := re.search(r"http://[\w.:\[\]]+", line):
                break
        else:
            raise AssertionError("".join(told))
        try:
            yield found[0].rstrip("/")
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def address(filled: Site) -> Iterator[str]:
    """Where the pages are."""
    with served(filled.workdir.root) as url:
        yield url


class Watched:
    """A page, and all that it must not do.

    Attributes:
        page: the page.
        outside: what it asked of another host.
        said: what stood in its console, and the errors of its scripts and requests.
    """

    def __init__(self, page: Page, address: str):
        self.page, self._address = page, address
        self.outside: list[str] = []
        self.said: list[str] = []
        page.on("request", self._asked)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", self._dismissed)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._address, "data:")):
            self.outside.append(request.url)

    def _dismissed(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str, status: int = 200) -> Page:
        """Goes to a path, which must answer with that status; chromium tells of any but 200 in the console."""
        answer = self.page.goto(self._address + path, wait_until="load")
        assert answer is not None and answer.status == status, path
        if status != 200:
            told = self.said.pop()
            assert f"status of {status}" in told and not self.said, told
        return self.page

    @property
    def too_wide_by(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")


Opened = Callable[..., Watched]


@pytest.fixture
def opened(chromium: Browser, address: str) -> Iterator[Opened]:
    """Opens an empty page; takes what Playwright's `new_context` takes."""
    contexts: list[BrowserContext] = []

    def new(site: str = address, **how: Any) -> Watched:
        context = chromium.new_context(**how)
        contexts.append(context)
        return Watched(context.new_page(), site)

    yield new
    for context in contexts:
        context.close()
