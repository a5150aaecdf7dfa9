"""Skips where CI=true, and which tests share a process.

A test that is skipped proves nothing: where CI=true, every skip is a failure that states its reason.
"""

import os
from collections.abc import Generator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"Expected every test to run where CI=true. Received: {reason}"
