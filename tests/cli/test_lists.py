"""Lists on terminals of two widths, where digests are short, and through a pipe, where nothing is left out."""

import re

import pytest

from tests.command_line import piecehub
from tests.signing.conftest import World
from tests.terminals import piecehub_on_terminal

SHORT = re.compile(r"sha256:[0-9a-f]{12}…")


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_a_list_is_a_table_that_fits_with_short_digests(world: World, columns: int) -> None:
    seen = piecehub_on_terminal("store", "ls", "--store", world.store.uri, columns=columns, piped=False)
    titles, *rows = seen.screen
    assert titles.split() == ["model", "status", "digest", "published", "(UTC)"]
    assert len(rows) == len(world.store.models()) and all(SHORT.search(row) for row in rows)
    assert all(len(line) <= columns for line in seen.screen)
    assert re.fullmatch(r"acme/tiny/1  published  sha256:\w{12}…  \d{4}-\d\d-\d\d \d\d:\d\d", rows[-1])


def test_through_a_pipe_each_row_is_one_line_with_all_of_it(world: World) -> None:
    done = piecehub("store", "ls", "--store", world.store.uri)
    *_, last = done.stdout.splitlines()
    assert last.split() == ["acme/tiny/1", "published", world.manifest.digest, world.manifest.published_at]
    assert "\x1b" not in done.stdout and not SHORT.search(done.stdout)


def test_what_is_long_is_folded_within_its_column(world: World) -> None:
    seen = piecehub_on_terminal("store", "show", "acme/tiny/1", "--store", world.store.uri, columns=60, piped=False)
    assert all(len(line) <= 60 for line in seen.screen) and any(SHORT.search(line) for line in seen.screen)
    whole = piecehub("store", "show", "acme/tiny/1", "--store", world.store.uri).stdout
    assert world.manifest.archive.digest in whole and max(map(len, whole.splitlines())) > 80


def test_no_color_is_heeded(world: World) -> None:
    words = ("store", "ls", "--store", world.store.uri)
    coloured, plain = (piecehub_on_terminal(*words, piped=False, **more) for more in ({}, {"NO_COLOR": "1"}))
    assert b"\x1b[1m" in coloured.drawn and b"\x1b[" not in plain.drawn
    assert plain.screen == coloured.screen


def test_values_of_a_pages_key_are_a_table_whose_sentences_are_folded() -> None:
    seen = piecehub_on_terminal("page", "--values", "task", piped=False)
    assert all(len(line) <= 80 for line in seen.screen)
    assert any(line.startswith(" " * 20) for line in seen.screen)  # a second line of a sentence
