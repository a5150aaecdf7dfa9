"""The command line as a person meets it: exit codes, sentences, and a light start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import piecehub

HEAVY = ("tensorflow", "keras", "tf_keras", "tfx", "apache_beam", "matplotlib", "sklearn", "pandas")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["plan", "--help"],
        ["kubeflow", "compile", "--help"],
        ["workdir", "gc", "--help"],
        ["recipe", "--help"],
        ["export", "--help"],
        ["page", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {arguments!r}\nfrom piecehub.cli.main import main\ntry: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('|' + ' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage:")
    loaded = done.stderr.rpartition("|")[2].split()
    assert "click" in loaded
    assert not set(HEAVY) & set(loaded)


def test_a_gc_of_the_working_folder_answers_at_once(tmp_path: Path) -> None:
    (tmp_path / ".piecehub-workdir").touch()
    code = (
        f"import sys; sys.argv[1:] = ['workdir', 'gc', '--workdir', {str(tmp_path)!r}]\n"
        "from piecehub.cli.main import main\ntry: main()\nexcept SystemExit as end: assert not end.code\n"
        f"assert 'pipelines.gc' in sys.modules and not {set(HEAVY)!r} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"freed 0 bytes in '{tmp_path}'; 0 bytes stay\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "nothing-like-this"]])
def test_e2_where_the_program_ends_nothing_is_looked_through_for_garbage(arguments: list[str]) -> None:
    """With TensorFlow and TFX loaded that took ten seconds, between the last line and the prompt."""
    code = (
        f"import atexit, gc, sys; sys.argv[1:] = {arguments!r}\nfrom piecehub.cli.main import main\n"
        "atexit.register(lambda: print('|', gc.get_freeze_count(), len(gc.get_objects())))\nmain()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    frozen, others = map(int, done.stdout.rpartition("|")[2].split())
    assert frozen > 100 * others


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nothing-like-this"], 2, "Expected a folder with a 'recipe.toml'"),
        (["run", "digits", "--set", "train.epoch=1"], 2, "did you mean 'train.epochs'"),
        (["lineage", "piecehub/none/1"], 1, "piecehub/none"),
        (["lineage", "nonsense"], 2, "publisher/name"),
        (["models", "--nope"], 2, "No such option"),
    ],
)
def test_a_wrong_call_is_one_sentence_with_its_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = piecehub(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_models_of_an_empty_folder_is_an_empty_list(tmp_path: Path) -> None:
    done = piecehub("models", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nothing", 2, "Expected a folder, an archive"),
        ("piecehub/digits/1", 1, "piecehub/digits/1"),
        ("cut.tar.gz", 1, "Expected"),
        ("page.html", 1, "Expected"),
    ],
)
def test_checking_what_is_no_model_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, name: str, code: int, words: str
) -> None:
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut off")
    (tmp_path / "page.html").write_text("<html>not found</html>")
    done = piecehub("check", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.tar.gz", "page.html"]
