"""The examples in the docstrings of the front door, run as a user would who stands in a folder."""

import doctest
from pathlib import Path
from typing import Any

import pytest

import piecehub


def run_example(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **others: Any) -> None:
    """Runs the `>>>` lines of `piecehub.<name>`; `others` are what they may use beside `piecehub`."""
    monkeypatch.chdir(folder)
    run_docstring(getattr(piecehub, name), piecehub=piecehub, **others)


def run_docstring(function: Any, **names: Any) -> None:
    """Runs the `>>>` lines of a function's docstring, which may use `names`."""
    name = function.__name__
    example = doctest.DocTestParser().get_doctest(function.__doc__, names, name, None, None)
    assert example.examples, f"Expected an example in the docstring of {name}."
    said: list[str] = []
    failed = doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed
    assert not failed, "".join(said)
