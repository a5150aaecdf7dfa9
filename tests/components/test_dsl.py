"""The door to TFX's `@component` refuses each silent trap, and keeps what TFX would drop."""

import importlib.util
import sys
from pathlib import Path

import pytest

tfx = pytest.importorskip("tfx")

_HEAD = """
from components.artifacts import Piece
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Transform, component

"""


def _load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "made.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("made", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made"] = module  # TFX puts the executor's class into the module
    spec.loader.exec_module(module)
    return module


def _component(arguments: str, docstring: str = '"""Does it."""') -> str:
    digests = "code_digest: Parameter[str], lock_digest: Parameter[str]"
    return f"{_HEAD}@component(Transform)\ndef Door({digests}, {arguments}) -> None:\n    {docstring}\n"


def test_a_plain_component_keeps_its_docstring_and_parameters(tmp_path: Path) -> None:
    module = _load(tmp_path, _component("piece: OutputArtifact[Piece], size: Parameter[int]"))
    door = module.Door  # type: ignore[attr-defined]
    assert door.__doc__ == "Does it."
    assert set(door.SPEC_CLASS.PARAMETERS) == {"code_digest", "lock_digest", "size"}


def test_only_an_input_may_be_left_out(tmp_path: Path) -> None:
    text = _component("piece: OutputArtifact[Piece], parent: OptionalInput[Piece] = None")
    door = _load(tmp_path, text).Door  # type: ignore[attr-defined]
    assert door.SPEC_CLASS.INPUTS["parent"].optional
    assert not door.SPEC_CLASS.OUTPUTS["piece"].optional


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from __future__ import annotations\n" + _component("a: Parameter[int]"), "evaluated annotations"),
        (_component("*, a: Parameter[int]"), "which TFX would drop"),
        (_component("a: Parameter[int] = 3"), "no defaults"),
        (_component("a: Parameter[str] = None"), "no defaults"),
        (_component("a: Parameter[bool]"), "Expected int, float or str"),
        (_component("a: Parameter[dict[str, int]]"), "Expected int, float or str"),
        (_component("a: Parameter[int]", "pass"), "Expected a docstring"),
        (f"{_HEAD}@component(Transform)\ndef Door(a: Parameter[int]) -> None:\n    'Does it.'\n", "code_digest"),
    ],
)
def test_each_trap_is_loud(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        _load(tmp_path, text)
