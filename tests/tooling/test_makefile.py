import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TOOLS = ["bash", "cat", "cksum", "cut", "make"]


@pytest.fixture
def bare_machine(tmp_path):
    """A checkout whose PATH holds make and a few tools, but no Python and no compiler."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(_ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in _TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    return tmp_path


def _put(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!{folder}/bin/bash\n{script}\n")
    path.chmod(0o755)


def _make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(folder / "bin")}
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True)


def _sentence(folder: Path, target: str = "test") -> str:
    result = _make(folder, target)
    assert result.returncode != 0
    assert not (folder / ".venv").exists()
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    return said[0]


def test_a_machine_without_python_is_told_what_to_install(bare_machine):
    assert "Received: no python3; install" in _sentence(bare_machine)


def test_another_python_is_named(bare_machine):
    _put(bare_machine, "python3", '[ "$1" = --version ] && echo "Python 3.13.1" || exit 1')
    assert "Received: Python 3.13.1; install" in _sentence(bare_machine)


def test_missing_headers_are_named(bare_machine):
    _put(bare_machine, "python3", '[[ "$2" != *Python.h* ]]')
    assert "no Python.h" in _sentence(bare_machine)


def test_a_missing_compiler_is_named(bare_machine):
    _put(bare_machine, "python3", "exit 0")
    assert "C++ compiler" in _sentence(bare_machine)


def test_python_3_11_is_found_where_python3_is_another_version(bare_machine):
    _put(bare_machine, "python3", '[ "$1" = --version ] && echo "Python 3.13.1" || exit 1')
    _put(bare_machine, "python3.11", "exit 0")
    assert "C++ compiler" in _sentence(bare_machine)


def test_installing_alone_needs_the_same_and_runs_nothing(bare_machine):
    assert "Received: no python3; install" in _sentence(bare_machine, ".venv")
    _put(bare_machine, "python3", '[ "$1" != --version ] || echo "Python 3.11.2"')
    planned = _make(bare_machine, "--dry-run", ".venv").stdout
    assert "pip sync" in planned and "bin/pytest" not in planned and "bin/ruff" not in planned
