"""Every number of the guides has a section on the page, and a test that the section names."""

import ast
import re
from pathlib import Path

from tests.guides import book

_HERE = Path(__file__).parent


def _numbers_tested(path: Path) -> set[int]:
    """The numbers in the names of the test functions of a file: test_g07_…, test_g28_g31_…"""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {int(number) for name in names for number in re.findall(r"_g(\d\d)(?=_)", name)}


def test_every_number_has_a_section_in_order() -> None:
    assert list(book.sections()) == list(book.NUMBERS)


def test_every_section_names_a_test_of_its_number() -> None:
    for number, text in book.sections().items():
        named = [book.ROOT / path for path in re.findall(r"`(tests/[\w/]+\.py)`", text)]
        assert [path for path in named if not path.is_file()] == [], f"G{number} names files that are gone"
        here = [path for path in named if path.parent == _HERE]
        assert number in set().union(*map(_numbers_tested, here)), f"G{number}: none of {here} tests it"


def test_no_test_is_of_a_number_that_the_guides_lack() -> None:
    found = set().union(*map(_numbers_tested, _HERE.glob("test_*.py")))
    assert found == set(book.NUMBERS)


def test_every_python_block_of_the_page_is_run_by_a_test() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _HERE.glob("test_*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    run = {_block(call) for call in calls if ast.unparse(call.func) == "book.run"}
    assert run == {(number, block) for number in book.NUMBERS for block in range(len(book.blocks(number)))}


def _block(call: ast.Call) -> tuple[int, int]:
    """Number and block of a call of `book.run`."""
    block = next((keyword.value for keyword in call.keywords if keyword.arg == "block"), ast.Constant(0))
    return ast.literal_eval(call.args[0]), ast.literal_eval(block)
