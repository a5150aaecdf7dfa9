"""The examples in docstrings: each is run by a test."""

import ast
from pathlib import Path

import pytest

import piecehub
from piecehub.facts.pointers import pointer
from tests.docs.blocks import ROOT
from tests.docstring_examples import run_docstring

# By tests/test_front_door.py and tests/pipelines/test_published.py, by tests/test_images.py, and below.
_RUN = {
    *piecehub.__all__,
    *("read", "check", "shrink", "resize", "random_crop", "random_flip", "random_color"),
    "pointer",
}


def _with_examples() -> set[str]:
    """The names of all that has an example in its docstring."""
    files = [path for room in ("piecehub", "components", "pipelines") for path in (ROOT / room).rglob("*.py")]
    texts = [text for text in (path.read_text(encoding="utf-8") for path in files) if ">>> " in text]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    named = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module)]
    return {getattr(node, "name", "a module") for node in named if ">>> " in (ast.get_docstring(node) or "")}


def test_every_example_is_run_by_a_test() -> None:
    assert _with_examples() - _RUN == set()
    assert len(_with_examples()) > 20


def test_the_example_of_a_pointer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    monkeypatch.chdir(tmp_path)
    run_docstring(pointer, pointer=pointer)
