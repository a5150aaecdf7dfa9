"""The door to TFX's `@component` refuses each silent trap, and keeps what TFX would drop."""

import importlib.util
import sys
from pathlib import Path

import pytest

from piecehub.containers import code
from piecehub.errors import EnvironmentProblem
from piecehub.facts import provenance

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


def test_a_door_does_not_run_with_other_code_than_the_pipeline_was_compiled_with(tmp_path: Path) -> None:
    """An image that holds other code would write a provenance that lies."""
    from components.artifacts import Incumbent
    from components.incumbent_resolver import IncumbentResolver

    # What TFX and Kubeflow call: the function behind the component's executor.
    door = IncumbentResolver.EXECUTOR_SPEC.executor_class._FUNCTION
    incumbent = Incumbent()
    incumbent.uri = str(tmp_path / "incumbent")
    store = tmp_path / "store"
    store.mkdir()
    arguments = {"incumbent": incumbent, "publisher": "acme", "name": "tiny", "store_folder": str(store)}
    with pytest.raises(EnvironmentProblem, match="code of IncumbentResolver that the pipeline was compiled with"):
        door(**arguments, code_digest="sha256:of-other-code", lock_digest="sha256:0")
    assert not Path(incumbent.uri).exists()
    digest = code.code_digest("components.incumbent_resolver")
    door(**arguments, code_digest=digest, lock_digest="sha256:0")
    written = provenance.read(Path(incumbent.uri))
    assert written is not None and written.statement["code_digest"] == digest
