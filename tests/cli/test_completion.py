"""What a shell offers, asked of the shell."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.command_line import piecehub

GOLDEN = Path(__file__).parents[1] / "golden" / "workdir.tar.gz"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a working folder in it, with one published version."""
    folder = tmp_path_factory.mktemp("here")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _offered(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = (
        'eval "$(piecehub completion bash)"\n'
        'compopt() { echo "files"; }\n'  # which bash knows only while it completes
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _piecehub_completion piecehub\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", "piecehub", *words],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["run", "runs"]),
        (["store", "yan"], ["yank"]),
        (["run", "--dr"], ["--dry-run"]),
        (["run", "di"], ["digits"]),
        (["recipe", "check", ""], ["digits", "docstrings", "nuclei", "pictograms"]),
        (["evaluate", "x", "--recipe", "pi"], ["pictograms"]),
        (["run", "./"], ["files"]),
        (["lineage", "pie"], ["piecehub/digits/1"]),
        (["check", "pie"], ["piecehub/digits/1"]),
        (["check", "my_mo"], ["files"]),
        (["store", "yank", "piecehub/d"], ["piecehub/digits/1"]),
        (["lineage", "--workdir", "elsewhere", "pie"], []),
        (["store", "yank", "--store", "s3://bucket", "pie"], []),
        (["completion", "f"], ["fish"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_offers_commands_options_recipes_and_versions(here: Path, words: list[str], offered: list[str]) -> None:
    assert _offered(here, *words) == offered


def test_what_is_offered_comes_without_heavy_packages(here: Path) -> None:
    code = (
        "import os, sys; sys.argv = ['piecehub']\n"
        "os.environ |= {'_PIECEHUB_COMPLETE': 'bash_complete', 'COMP_WORDS': 'piecehub\\nrun\\nd', 'COMP_CWORD': '2'}\n"
        "from piecehub.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'pydantic', 'numpy', 'tensorflow', 'importlib.metadata'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,digits\nplain,docstrings\n", done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_lines(shell: str) -> None:
    done = piecehub("completion", shell)
    assert done.returncode == 0 and f"_PIECEHUB_COMPLETE={shell}_complete" in done.stdout


def test_another_shell_is_refused() -> None:
    done = piecehub("completion", "csh")
    assert done.returncode == 2 and "'csh' is not one of" in done.stderr
