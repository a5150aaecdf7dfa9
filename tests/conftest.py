"""Skips where CI=true, which tests share a process, and what all processes of a session share.

A test that is skipped proves nothing: where CI=true, every skip is a failure that states its reason.

What takes long to make is made once a session, by the process that needs it first; the others wait for it and read it.
Nobody writes into it. Whatever is heavy is imported by the fixture that needs it: light tests stay light.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from tests.made import Made

Once = Callable[[str, Callable[[Path], Any]], Path]
_SKIPS_FAIL = os.environ.get("CI") == "true"
_READ_THE_TINY_RUN = {f"tests/pipelines/test_{name}.py" for name in ("local_runner", "published", "signed_run")}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns the report of a skipped test into a failure."""
    report = yield
    if _SKIPS_FAIL and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turns the report of a module that skips itself into a failure."""
    report = yield
    if _SKIPS_FAIL and report.skipped:
        _fail(report)
    return report


class _ByFile(LoadFileScheduling):
    """A file's tests go to one process, and the files that read the tiny run of the pipeline to the same one.

    Each process would else make that run for itself, which takes minutes.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the tiny run" if file in _READ_THE_TINY_RUN else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Takes the place of `--dist loadfile`."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder of that name once a session, by `make(folder)`, whichever process asks first."""
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"

    def made_once(name: str, make: Callable[[Path], Any]) -> Path:
        root.mkdir(exist_ok=True)
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made_once


@pytest.fixture(scope="session")
def made(once: Once) -> "Made":
    """The journey of a small recipe, from its code to a SavedModel."""
    from tests import made

    return made.read(once("made", made.make))


@pytest.fixture(scope="session")
def recipe(made: "Made") -> Path:
    """The folder of that recipe, of two files."""
    return made.recipe


@pytest.fixture(scope="session")
def exported_kind(once: Once) -> Callable[[str], Path]:
    """The SavedModel of a kind of tests/exporting/model_kinds.py."""
    from tests.made import export_kind

    return lambda name: once(f"kind-{name}", lambda folder: export_kind(name, folder))


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"Expected every test to run where CI=true. Received: {reason}"
