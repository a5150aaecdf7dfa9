"""Each tutorial, followed to its end: with the data that it shows, and again with others that it does not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Once
from tests.loopback import served
from tests.tutorials.road import TUTORIALS, blocks, follow, run

_PAGES = sorted(page.stem for page in TUTORIALS.glob("*.md"))


@dataclass(frozen=True)
class Reader:
    """Who follows a page with what the page does not show.

    Attributes:
        page: the tutorial.
        instead: what he has in place of what it shows: files of `others/` by their titles, any other text by a text.
        before: the commands that he ran before he came to the page.
    """

    page: str
    instead: dict[str, str]
    before: str = ":"

    def other(self, address: str = "") -> dict[str, str]:
        """What `follow` takes; `address` is that of a piece which somebody serves."""
        return {
            mine: (_OTHERS / f"{theirs}.py").read_text("utf-8") if mine.endswith(".py") else theirs.format(address)
            for mine, theirs in self.instead.items()
        }


_OTHERS = Path(__file__).with_name("others")
# A piece that another team serves takes the place of the one that the page has just made.
_SERVED = {"piecehub run digits": ":", "ADDRESS": "{}", "piecehub/digits/1": "{}"}
_READERS = {
    "images: shapes": Reader("images", {"draw.py": "shapes", "signs": "shapes"}),
    "csv: wine": Reader("csv", {"write.py": "wine", "--label substance": "--label target"}),
    "text: sentences": Reader("text", {"write.py": "sentences"}),
    "tfrecords: signals": Reader(
        "tfrecords", {"write.py": "signals", "records.tfrecord.gz": "signals", "--label substance": "--label kind"}
    ),
    "keras: .h5 and a table": Reader(
        "keras", {"train.py": "cells", "keras mine.keras": "keras mine.h5", "images pictures/": "csv cells.csv"}
    ),
    "consume: words": Reader(
        "consume",
        {
            "use.py": "words_use",
            "by_hub.py": "words_by_hub",
            "http://127.0.0.1:8479/piecehub/digits/1": "{}",
            **_SERVED,
        },
    ),
    "share: words": Reader(
        "share",
        {"tune.py": "words_tune", "answers.py": "words_answers", "tuned-digits": "tuned-words", **_SERVED},
    ),
    "coming-from: a vocabulary": Reader(
        "coming-from", {"somebody.py": "found_of_words", "keras_2.py": "series_of_keras_2"}
    ),
    "coming-from: for serving": Reader(
        "coming-from",
        {
            "somebody.py": "found_for_serving",
            "keras_2.py": "series_of_keras_2",
            "--name acme/embedding | head -20": "--name acme/doubler && exit 1 || true",
        },
    ),
    "tfx: tones": Reader(
        "tfx",
        {" digits": " tones"},
        before=f"python {_OTHERS}/signals.py; piecehub init tones --from tfrecord signals --label kind",
    ),
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
@pytest.mark.parametrize("reader", sorted(_READERS))
def test_a_tutorial_can_be_followed_with_other_data(tmp_path: Path, once: Once, reader: str) -> None:
    one = _READERS[reader]
    before = run("bash", one.before, tmp_path)
    assert before.returncode == 0, before.stdout
    page = TUTORIALS / f"{one.page}.md"
    if "ADDRESS" not in one.instead:
        follow(page, tmp_path, one.other())
        return
    with served(once("tutorials of a served piece", _published) / "store") as url:
        told = follow(page, tmp_path, one.other(f"{url}/acme/words/1"))
    assert "acme/words/1" in told


def _published(folder: Path) -> None:
    """A store in `folder` that holds acme/words/1, a piece that takes lines of words."""
    folder.mkdir()
    page = "piecehub page words --name acme/words > page.md"
    publish = "piecehub publish words --name acme/words --documentation page.md --store store"
    for command in (f"python {_OTHERS}/words.py", page, f"python {_OTHERS}/words_answers.py", publish):
        done = run("bash", command, folder)
        assert done.returncode == 0, done.stdout
