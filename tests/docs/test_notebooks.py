"""The notebooks of examples/: what they call, and that they run to their last cell, by a kernel of Jupyter's."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.test_docs_use_the_front_door import _strays

_NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def _cells(notebook: Path, kind: str = "code") -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def test_there_are_three() -> None:
    assert {path.stem for path in _NOTEBOOKS} == {"consume_and_fine_tune", "read_the_evidence", "share_a_keras_model"}


@pytest.mark.parametrize("notebook", _NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_the_front_door_and_holds_no_outputs(notebook: Path) -> None:
    """Outputs would be of somebody's machine, and change with every run; whoever reads them runs the notebook."""
    code = "\n".join("".join(cell["source"]) for cell in _cells(notebook))
    assert _strays(code) == [] and ast.parse(code).body
    assert [cell["outputs"] for cell in _cells(notebook) if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.long
@pytest.mark.parametrize("notebook", _NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    read = nbformat.read(notebook, as_version=4)
    nbformat.validate(read)
    done = NotebookClient(
        read, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    said = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert said, "a reader would see nothing"
