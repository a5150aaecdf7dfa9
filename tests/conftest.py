"""Skips where CI=true, the light run, which tests share a process, and what all processes of a session share.

A test that is skipped proves nothing: where CI=true, every skip is a failure that states its reason.

`--light`, which `make test-fast` gives, collects what needs no TensorFlow, and refuses its import.

What takes long to make is made once a session, by the process that needs it first; the others wait for it and read it.
Nobody writes into it. Whatever is heavy is imported by the fixture that needs it: light tests stay light.
"""

import fcntl
import gc
import os
import sys
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
# Those that take longest, which start first: what starts last should be short.
_LONGEST = (
    *sorted(_READ_THE_TINY_RUN),
    "tests/conformance/test_conformance.py",
    "tests/conformance/test_check_branches.py",
    "tests/pipelines/test_cost.py",
    "tests/training/test_options.py",
    "tests/training/test_resume.py",
    "tests/pipelines/test_kinds_of_features.py",
    "tests/cli/test_evaluate.py",
    "tests/consume/test_kinds_consumed.py",
    "tests/transfer/test_trials.py",
    "tests/conformance/test_check_command.py",
    "tests/publishing/test_offered.py",
    "tests/exporting/test_model_kinds.py",
    "tests/transfer/test_evidence.py",
    "tests/transfer/test_guidance.py",
    "tests/exporting/test_reusable_rnn.py",
    "tests/transfer/test_on_beam.py",
    "tests/training/test_full_model.py",
)


# Files and folders of the light run, and those in them that start TensorFlow in another process or take long.
_LIGHT = (
    *(
        "benchmarks/test_record.py",
        "browser",
        "cli/test_main.py",
        "cli/test_store.py",
        "cli/test_trust.py",
        "containers",
    ),
    *("documentation", "facts", "lineage", "pipelines/test_kubeflow_mend.py", "pipelines/test_recipe.py", "signing"),
    *("store", "tooling", "training/test_recipe_modules.py", "transfer/test_gate.py", "transfer/test_kinds.py"),
    *("transfer/test_protocol.py", "transfer/test_statistics.py", "transfer/test_tasks.py", "ui"),
)
_HEAVY = ("store/conformance", "store/faults", "store/test_hub_client.py")
_HOUR_S = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --light`."""
    parser.addoption("--light", action="store_true", help="Only tests that need no TensorFlow; its import fails.")


def pytest_configure(config: pytest.Config) -> None:
    """In a light run, whoever imports TensorFlow fails where it does."""
    if config.getoption("--light"):
        sys.addaudithook(_refuse_tensorflow)


def _refuse_tensorflow(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "import" and arguments[0] == "tensorflow":
        raise AssertionError("Expected a light run to import no TensorFlow; take the file out of _LIGHT, or mend it.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In a light run, all but what is light, and the folders above that."""
    if not config.getoption("--light"):
        return None
    path = collection_path.relative_to(Path(__file__).parent)
    within = {path.as_posix(), *(parent.as_posix() for parent in path.parents)}
    above = any(path in Path(light).parents for light in _LIGHT)
    return True if within & set(_HEAVY) or not (above or within & set(_LIGHT)) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is known to take long may; where processes share the tests, the longest files come first."""
    if hasattr(config, "workerinput"):
        order = {file: place for place, file in enumerate(_LONGEST)}
        items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_HOUR_S))


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


@pytest.fixture(scope="module", autouse=True)
def unwatched() -> None:
    """What there is before a file's first test is kept from the garbage collector.

    Keras collects whenever its session is cleared, and D26 does to measure. With TensorFlow, Keras and TFX imported
    each collection would look through more than a million objects, which was a third of the time of all tests.
    """
    gc.collect()
    gc.freeze()


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
