import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.errors import PiecehubError, RecipeError
from piecehub.logs import last_words
from piecehub.tensors.fresh import run_fresh


def test_the_value_comes_back() -> None:
    assert run_fresh("piecehub.facts.handle:check_publisher", {"publisher": "someone"}) == "someone"


def test_the_process_works_in_the_folder_it_was_given_and_finds_piecehub_there(tmp_path: Path) -> None:
    (tmp_path / "piecehub").mkdir()
    (tmp_path / "piecehub" / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    assert run_fresh("os:getcwd", {}, cwd=tmp_path) == str(tmp_path)


def test_our_errors_keep_class_and_sentence() -> None:
    with pytest.raises(RecipeError, match=r"^Expected a publisher .* Received: 'A'\.$"):
        run_fresh("piecehub.facts.handle:check_publisher", {"publisher": "A"})


def test_another_error_gives_its_last_line() -> None:
    with pytest.raises(PiecehubError, match=r"FileNotFoundError.*nowhere.*\(exit code 1\)"):
        run_fresh("os:listdir", {"path": "/nowhere"})


def test_e14_an_exception_of_many_lines_is_told_by_its_first() -> None:
    text = "{'no': 'number',\n 'of': 'lines'}"
    with pytest.raises(PiecehubError, match=r"Received: json\.decoder\.JSONDecodeError: .* \(exit code 1\)"):
        run_fresh("json:loads", {"s": text})
    said = "Traceback (most recent call last):\n  File …\nValueError: not one\nKeyword arguments: {}\n"
    assert last_words(said, 1) == "ValueError: not one"
    assert last_words(said + "it took more than 9 s\n", -9) == "it took more than 9 s"


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(PiecehubError, match="signal 6"):
        run_fresh("os:abort", {})


def test_n5_a_clone_beside_the_script_does_not_hide_the_package_from_a_fresh_process(tmp_path: Path) -> None:
    (tmp_path / "piecehub").symlink_to(Path(__file__).parents[2])
    code = (
        "from piecehub.tensors.fresh import run_fresh\n"
        "print(run_fresh('piecehub.facts.handle:check_publisher', {'publisher': 'someone'}))\n"
    )
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "someone\n", done.stderr
