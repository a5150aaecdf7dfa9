"""Each tutorial, followed to its end: with the data that it shows, and again with others that it does not."""

from pathlib import Path

import pytest

from tests.tutorials.road import TUTORIALS, blocks, follow

_PAGES = sorted(page.stem for page in TUTORIALS.glob("*.md"))


# What readers with other data have in place of what a page shows: files of `others/` by their titles, and words.
_OTHERS: dict[str, dict[str, str]] = {
    "images": {
        "draw.py": "shapes",
        "signs": "shapes",
    },
    "csv": {"write.py": "wine", "--label substance": "--label target"},
    "text": {"write.py": "sentences"},
    "tfrecords": {"write.py": "signals", "records.tfrecord.gz": "signals", "--label substance": "--label kind"},
    "keras": {"train.py": "cells", "keras mine.keras": "keras mine.h5", "images pictures/": "csv cells.csv"},
}


def _other(page: str) -> dict[str, str]:
    files = Path(__file__).with_name("others")
    return {
        mine: (files / f"{theirs}.py").read_text("utf-8") if mine.endswith(".py") else theirs
        for mine, theirs in _OTHERS[page].items()
    }


@pytest.mark.parametrize("page", _PAGES)
def test_a_tutorial_is_made_of_blocks_that_can_be_followed(page: str) -> None:
    found = list(blocks(TUTORIALS / f"{page}.md"))
    assert {block.language for block in found} <= {"bash", "python", "text", "toml"}
    for block in found:
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec")
        assert block.language != "toml" or block.title


@pytest.mark.parametrize("page", ["coming-from"])
def test_a_tutorial_that_trains_nothing_can_be_followed(tmp_path: Path, page: str) -> None:
    follow(TUTORIALS / f"{page}.md", tmp_path)


def test_a_page_with_a_command_that_fails_or_a_line_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\npiecehub models --no-such-option | cat\n```\n", "utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:1 ended with 2"):
        follow(page, tmp_path)
    (tmp_path / "recipe.toml").write_text('license = ""\n', "utf-8")
    page.write_text('```toml title="recipe.toml"\nlicence = "mit"\n```\n', "utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:1: recipe\.toml has 0 lines of licence"):
        follow(page, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in _PAGES if page not in ("coming-from", "index")])
def test_a_tutorial_can_be_followed_as_it_stands(tmp_path: Path, page: str) -> None:
    follow(TUTORIALS / f"{page}.md", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("page", sorted(_OTHERS))
def test_a_tutorial_can_be_followed_with_other_data(tmp_path: Path, page: str) -> None:
    follow(TUTORIALS / f"{page}.md", tmp_path, _other(page))
