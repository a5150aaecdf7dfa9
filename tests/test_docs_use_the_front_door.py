"""What the pages and the shipped recipes show of ours is the front door: `piecehub` and `piecehub.errors`, no more."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import piecehub
from piecehub import errors

_ROOT = Path(__file__).parents[1]
_PAGES = [*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"), *_ROOT.glob("kubeflow/*.md")]
_RECIPES = [*_ROOT.glob("pipelines/recipes/**/*.py"), *_ROOT.glob("pipelines/starting/templates/*.py")]
_OURS = {"piecehub", "components", "pipelines", "benchmarks", "tests"}


def _blocks(text: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```(?:python|py)\b[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _strays(code: str) -> list[str]:
    """What some code takes of ours that no door offers."""
    nodes = list(ast.walk(ast.parse(code)))
    doors = {"piecehub"}  # what the code calls it
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "piecehub":
                    doors.add(alias.asname or alias.name)
                elif alias.name != "piecehub.errors" and _is_ours(alias.name):
                    found.append(alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module or ""):
            found += [f"{node.module}.{alias.name}" for alias in node.names if not _offered(node.module, alias.name)]
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in doors:
            found += [] if _offered("piecehub", node.attr) else [f"piecehub.{node.attr}"]
    return found


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS


def _offered(module: str | None, name: str) -> bool:
    """Whether that door has that name; nothing is imported for it."""
    if module == "piecehub.errors":
        return hasattr(errors, name)
    return module == "piecehub" and name in {*piecehub.__all__, *piecehub._MODULES, "errors"}


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_page_uses_the_front_door_only(page: Path) -> None:
    assert [stray for block in _blocks(page.read_text(encoding="utf-8")) for stray in _strays(block)] == []


@pytest.mark.parametrize("file", _RECIPES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_shipped_recipe_uses_the_front_door_only(file: Path) -> None:
    assert _strays(file.read_text(encoding="utf-8")) == []


def test_the_pages_that_show_code_are_among_those_that_are_read() -> None:
    shown = {page.relative_to(_ROOT).as_posix() for page in _PAGES if _blocks(page.read_text(encoding="utf-8"))}
    assert shown >= {"README.md", "docs/check.md", "docs/consume.md", "docs/guides.md"}
    assert len(_RECIPES) >= 6


@pytest.mark.parametrize(
    ("code", "strays"),
    [
        ("from piecehub.exporting.reusable import export", ["piecehub.exporting.reusable.export"]),
        ("from piecehub import cut_piece, cut_peace", ["piecehub.cut_peace"]),
        ("from piecehub.errors import PiecehubError, Nothing", ["piecehub.errors.Nothing"]),
        ("import piecehub.store.catalog", ["piecehub.store.catalog"]),
        ("import piecehub\npiecehub.exporting.reusable.export(model, 'a')", ["piecehub.exporting"]),
        ("import piecehub as door\ndoor.chekc('a')", ["piecehub.chekc"]),
        ("def write():\n    from pipelines.run import run", ["pipelines.run.run"]),
        ("import piecehub\nfrom piecehub import export, errors\nfrom . import corpus\npiecehub.check('a')", []),
    ],
)
def test_what_does_not_come_by_the_front_door_is_named(code: str, strays: list[str]) -> None:
    assert [_strays(block) for block in _blocks(f"Text.\n\n```python\n{code}\n```\n\nMore.\n")] == [strays]


@pytest.mark.parametrize("name", piecehub.__all__)
def test_every_name_of_the_front_door_is_defined_where_it_lives(name: str) -> None:
    spec = importlib.util.find_spec(piecehub._HOMES[name])
    assert spec is not None and spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_n12_the_first_screen_says_what_the_words_mean_who_takes_what_and_what_it_costs() -> None:
    screen = " ".join(_ROOT.joinpath("README.md").read_text("utf-8").splitlines()[:40])
    for words in (
        "A **piece** is",
        "A **Reusable SavedModel** is",
        "A **recipe** is",
        "--dry-run` says",
        "What it costs",
    ):
        assert words in screen
    for command in ("piecehub init", "piecehub run", "piecehub export", "publish", "piecehub.ReusableLayer"):
        assert command in screen
