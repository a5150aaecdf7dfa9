"""The wheel, built as a stranger builds it, and environments that hold it and nothing of this checkout."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.prefix) / "uv" / "bin" / "uv"  # the Makefile puts it there
PACKAGES = ("piecehub", "components", "pipelines")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "requirements.lock")
_BUILT_S, _INSTALLED_S = 300, 1800
# What uv and pip say where no index answers; anything else is a fault of ours.
_UNREACHABLE = ("error sending request", "dns error", "Could not connect", "NewConnectionError", "ProxyError")


def build(folder: Path) -> None:
    """Builds the wheel into a folder, by way of a source distribution, from a copy: setuptools writes beside it."""
    folder.mkdir()
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in _FILES:
        shutil.copy(ROOT / file, source)
    # Without isolation: setuptools is in the lock, so no index is asked.
    command = [UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder]
    done = subprocess.run([*command, source], capture_output=True, text=True, timeout=_BUILT_S, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)


def wheel_in(folder: Path) -> Path:
    """The wheel that was built there."""
    [wheel] = folder.glob("*.whl")
    return wheel


def uv(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`uv pip COMMAND` without this project's settings; the test is skipped where no index answers."""
    done = subprocess.run(
        [UV, "pip", command, "--quiet", "--no-config", *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=_INSTALLED_S,
        check=False,
    )
    _skip_if_unreachable(done)
    return done


def _skip_if_unreachable(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode and any(words in done.stderr for words in _UNREACHABLE):
        pytest.skip(f"needs a package index that answers: {done.stderr.strip().splitlines()[-1].strip()}")


@dataclass(frozen=True)
class Installed:
    """An environment, and a folder to work in."""

    bin: Path
    work: Path

    def run(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, which sees nothing of this checkout."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "PATH": f"{self.bin}{os.pathsep}{environment['PATH']}"} | variables
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd or self.work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALLED_S,
            check=False,
        )

    def pip_install(self, *words: str | Path) -> None:
        """Installs with pip, as a person does; the test is skipped where no index answers."""
        done = self.run("pip", "install", "--quiet", *words)
        _skip_if_unreachable(done)
        assert done.returncode == 0, done.stderr[-3000:]


def environment(root: Path, *, with_pip: bool = False) -> Installed:
    """An empty environment of this Python."""
    root.mkdir(parents=True, exist_ok=True)
    options = [] if with_pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, root / "venv"], check=True)
    (root / "work").mkdir()
    return Installed(root / "venv" / "bin", root / "work")
