"""What a person who lacks a package is told to install: the truth for every package, on every Python."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from piecehub import extras

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = PROJECT["project"]["optional-dependencies"] | {"pipeline": PROJECT["dependency-groups"]["pipeline"]}


def _modules_of() -> dict[str, set[str]]:
    """The modules of each installed distribution."""
    found: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            found.setdefault(canonicalize_name(distribution), set()).add(module)
    return found


@pytest.mark.parametrize("extra", DECLARED)
def test_every_package_that_an_extra_brings_is_named_with_it(extra: str) -> None:
    modules = _modules_of()
    for text in DECLARED[extra]:
        brought = modules[canonicalize_name(Requirement(text).name)]
        assert brought & set(extras.MODULES[extra]), text


def test_no_module_belongs_to_two_extras_or_to_the_core() -> None:
    every = [module for modules in extras.MODULES.values() for module in modules]
    assert len(every) == len(set(every)) and set(extras.MODULES) == set(extras.MEANT_FOR) == set(DECLARED)
    modules = _modules_of()
    for text in PROJECT["project"]["dependencies"]:
        assert not modules[canonicalize_name(Requirement(text).name)] & set(every), text


def _lacking(monkeypatch: pytest.MonkeyPatch, extra: str, *missing: str) -> str:
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    found = extras.lacking(extra, "this command")
    return found.sentence if found else ""


def test_nothing_is_lacking_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [_lacking(monkeypatch, extra) for extra in DECLARED] == [""] * len(DECLARED)


def test_who_lacks_a_part_of_the_pipeline_is_told_of_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _lacking(monkeypatch, "pipeline", "tensorflow")  # which an extra alone would bring in another version
    assert said == (
        "Expected the package 'tensorflow' for this command. Received: none; call `pip install --no-deps -r "
        f"{ROOT / 'piecehub' / 'requirements.lock'}`."
    )


def test_a_newer_python_is_told_that_the_pipeline_needs_3_11_and_the_extras_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 4, "final", 0))
    monkeypatch.setattr("platform.python_version", lambda: "3.12.4")
    said = _lacking(monkeypatch, "pipeline", "tfx")
    assert said.startswith("Expected Python 3.11 for this command, for which the pipeline is locked. Received: ")
    assert "Received: Python 3.12.4; in an environment of Python 3.11 call `pip install --no-deps -r /" in said
    assert _lacking(monkeypatch, "tf", "tensorflow").endswith("call `pip install 'piecehub[tf]'`.")


def test_a_package_that_no_extra_brings_is_no_business_of_ours() -> None:
    assert extras.missing_extra(ModuleNotFoundError(name="nothing_of_the_kind"), "x") is None
    found = extras.missing_extra(ModuleNotFoundError(name="ml_metadata.proto"), "x")
    assert found is not None and found.exit_code == 3 and "requirements.lock" in found.sentence


def test_the_lock_is_read_whole() -> None:
    pins = extras.locked()
    assert pins["tfx"] == "1.21.0" and pins["tensorflow-hub"] == "0.16.1"
    assert len(pins) == sum(line[:1].isalnum() for line in extras.LOCK.read_text(encoding="utf-8").splitlines())
