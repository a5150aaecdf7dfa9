"""A user's repository with folders named `pipelines` and `components`, as most TFX projects have them."""

import subprocess
import sys
from pathlib import Path

import pytest

THEIRS = {
    "pipelines/__init__.py": "",
    "pipelines/taxi.py": "FARE = 3\n",
    "components/__init__.py": "SHADE = 'theirs'\n",
}
IN_THE_WAY = "in the way; rename what is in the way, or start Python where it is not on the path"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Packages of those names, which hold other things than ours."""
    for name, text in THEIRS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _start(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


SCRIPT = str(Path(sys.executable).with_name("piecehub"))


@pytest.mark.parametrize("words", [[SCRIPT], ["-m", "piecehub"]], ids=["command", "module"])
@pytest.mark.parametrize("path", ["", "."])
def test_the_command_takes_its_own_packages(repository: Path, words: list[str], path: str) -> None:
    variables = {"PYTHONPATH": path} if path else {}
    done = _start(repository, *words, "recipe", "check", "digits", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("piecehub/digits: no fault")


def test_the_command_takes_its_own_components_too(repository: Path) -> None:
    code = (
        "import sys; sys.argv = ['piecehub', 'models']\n"
        "from piecehub.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "from piecehub.containers.code import code_digest\n"
        "import components, pipelines.taxi\n"  # what is theirs alone is found beside what is ours
        "print(len(components.__all__), pipelines.taxi.FARE, len(code_digest('components.publish_gate')))\n"
    )
    done = _start(repository, "-c", code)
    assert done.stdout == f"8 3 {len('sha256:') + 64}\n", done.stderr


@pytest.mark.parametrize("name", ["run", "evaluate"])
def test_a_program_is_told_which_folder_is_in_the_way(repository: Path, name: str) -> None:
    (repository / "components" / "__init__.py").unlink()
    code = f"import piecehub, pipelines.taxi\ntry: piecehub.{name}\nexcept ImportError as error: print(error)\n"
    done = _start(repository, "-c", code)
    assert done.stdout == (
        f"Expected piecehub's own 'pipelines' to be imported. Received: '{repository / 'pipelines'}', {IN_THE_WAY} "
        "(the command `piecehub` works here all the same).\n"
    ), done.stderr


def test_the_rest_of_the_front_door_minds_no_folder(repository: Path) -> None:
    code = (
        "import piecehub, pipelines.taxi, components\n"
        "for name in ('check', 'open_store', 'publish'): getattr(piecehub, name)\n"
        "print(pipelines.taxi.FARE, components.SHADE)\n"
    )
    assert _start(repository, "-c", code).stdout == "3 theirs\n"


def test_a_file_of_that_name_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "components.py").write_text("")
    done = _start(tmp_path, "-c", "import piecehub\ntry: piecehub.run\nexcept ImportError as error: print(error)\n")
    assert f"'components' to be imported. Received: '{tmp_path / 'components.py'}', {IN_THE_WAY}" in done.stdout


def test_pytest_in_that_repository_is_told_too(repository: Path) -> None:
    (repository / "conftest.py").write_text("")
    (repository / "test_theirs.py").write_text(
        "import pipelines.taxi, piecehub\n"
        "def test_theirs(): assert pipelines.taxi.FARE == 3\n"
        "def test_ours(): piecehub.run('digits')\n"
    )
    done = _start(repository, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={repository}")
    assert "1 failed, 1 passed" in done.stdout
    both = f"'{repository / 'components'}' and '{repository / 'pipelines'}'"
    assert f"'components' and 'pipelines' to be imported. Received: {both}, {IN_THE_WAY}" in done.stdout


def test_folders_without_an_init_are_in_nobodys_way(repository: Path) -> None:
    """Python takes a package before such a folder, so their modules would be lost to them."""
    for name in ("pipelines", "components"):
        (repository / name / "__init__.py").unlink()
    (repository / "components" / "layers.py").write_text("UNITS = 7\n")
    code = (
        "import sys, pipelines.taxi, components.layers, piecehub\n"
        "assert not {'tfx', 'tensorflow'} & set(sys.modules)\n"
        "print(pipelines.taxi.FARE, components.layers.UNITS, piecehub.run.__module__)\n"
    )
    done = _start(repository, "-c", code)
    assert done.stdout == "3 7 pipelines.run\n", done.stderr


def test_a_clone_beside_a_script_does_not_hide_the_package(tmp_path: Path) -> None:
    """Its folder has the package's name, and no `__init__.py`."""
    (tmp_path / "piecehub").symlink_to(Path(__file__).parents[1])
    done = _start(tmp_path, "-c", "from piecehub import check, run; print(check.__module__, run.__module__)")
    assert done.stdout == "piecehub.conformance.check pipelines.run\n", done.stderr
    assert _start(tmp_path, "-m", "piecehub", "--version").stdout.startswith("piecehub 0.1.0\nPython 3.11")
