import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import obstore
import pytest
from packaging.utils import canonicalize_name

from tests.command_line import ROOT
from tests.kubeflow import pods

_DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"


def _hadolint(dockerfile: Path) -> list[str]:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "--no-color", dockerfile], capture_output=True, text=True, check=False)
    return re.findall(r":\d+ (\w+) ", done.stdout) if done.returncode else []


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


@pytest.fixture(scope="module")
def trim() -> ModuleType:
    """kubeflow/trim.py, which is no module of ours."""
    spec = importlib.util.spec_from_file_location("trim", ROOT / "kubeflow" / "trim.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hadolint_has_nothing_against_the_image(tmp_path: Path):
    assert _hadolint(_DOCKERFILE) == []
    (tmp_path / "Dockerfile").write_text("FROM python\nWORKDIR tmp\n")
    assert _hadolint(tmp_path / "Dockerfile") == ["DL3006", "DL3000"]


def test_the_build_is_given_what_it_copies_and_no_more():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    names = {name for line in copied for name in line.replace("${LOCK}", "requirements.lock").split()}
    ignored = (ROOT / "kubeflow" / "Dockerfile.dockerignore").read_text("utf-8")
    given = set(re.findall(r"^!(.+)$", ignored, re.MULTILINE))
    assert given - names == {"requirements-gpu.lock"} and names <= given
    assert names - {"kubeflow/trim.py"} == set(pods.IMAGE)


def test_the_lock_for_gpus_differs_by_cuda_only_and_by_what_is_for_development(trim: ModuleType):
    gpu, all_of_it = _pins("requirements-gpu.lock"), _pins("requirements.lock")
    added = {name for name in gpu if name not in all_of_it}
    assert {name: all_of_it[name] for name in gpu.keys() - added} == {n: v for n, v in gpu.items() if n not in added}
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"} <= added
    assert all(name.startswith("nvidia-") for name in added)
    # Two ways to tell what only development needs: what uv resolves without it, and what the packages here say.
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    only_dev = trim.for_development_only(ROOT / "pyproject.toml", installed)
    assert set(only_dev) == all_of_it.keys() - gpu.keys()
    assert "pytest" in only_dev and "numpy" not in only_dev


def test_headers_tests_and_symbols_go_and_what_is_left_loads(trim: ModuleType, tmp_path: Path):
    library = next(Path(obstore.__file__).parent.glob("*.so"))
    kept = ("numpy/core.py", "numpy.libs/libx.so", "tensorflow/core.py", "piecehub/tests/a.py")
    gone = ("numpy/tests/a.py", "numpy/ma/tests/a/tests/b.py", "tensorflow/include/a.h", "x.dist-info/uv_cache.json")
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * (2 << 20 if name.endswith(".so") else 1))
    shutil.copy(_with_symbols(tmp_path), tmp_path / "large.so")
    shutil.copy(library, tmp_path / "obstore.so")
    before = (tmp_path / "large.so").stat().st_size
    trim.trim(tmp_path)
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert [name for name in gone if (tmp_path / name).exists()] == []
    assert (tmp_path / "large.so").stat().st_size < before - 1000
    assert ctypes.CDLL(str(tmp_path / "large.so")).answer() == 42
    ctypes.CDLL(str(tmp_path / "obstore.so"))


def _with_symbols(folder: Path) -> Path:
    """A shared library of more than a megabyte, with names that only a debugger reads."""
    source = folder / "large.c"
    names = "".join(f"static int unseen_{n}(void) {{ return {n}; }}\n" for n in range(200))
    calls = "+".join(f"unseen_{n}()" for n in range(200))
    source.write_text(
        f"char room[2 << 20] = {{1}};\n{names}int all(void) {{ return {calls}; }}\nint answer(void) {{ return 42; }}\n"
    )
    command = ["g++", "-x", "c", "-g", "-O0", "-shared", "-fPIC", "-o", folder / "large", source]
    subprocess.run(command, check=True)
    return folder / "large"
