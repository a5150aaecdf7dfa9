"""Lists on standard output: on a terminal as a table that fits it, elsewhere as lines with every value in full.

On a terminal a digest is short, as `sha256:0a1b2c3d4e5f…`; through a pipe, or with `--json`, it is whole.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from textwrap import TextWrapper

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_DIGEST = re.compile(r"\b((?:sha256:)?[0-9a-f]{12})[0-9a-f]{52}\b")
# Where nothing says how wide the terminal is: wide enough for most sentences.
_WIDTH = 160


def print_list(titles: Sequence[str], rows: Iterable[Sequence[str]], lines: Iterable[str]) -> None:
    """Writes a table of the rows on a terminal, else the lines, which other programs may read.

    Args:
        titles: of the columns, of which the last ones may take several lines; none has no title if all are empty.
        rows: a cell a column.
        lines: the same as one line each, without anything left out.
    """
    if not sys.stdout.isatty():
        for line in lines:
            click.echo(line)
        return
    found = [[_shortened(cell) for cell in row] for row in rows]
    if found:
        print_drawn(_table(titles, found))


def print_text(text: str) -> None:
    """Writes a text, on a terminal with short digests, and with long lines broken between words."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    words = TextWrapper(shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)
    for line in _shortened(text).splitlines():
        words.subsequent_indent = line[: len(line) - len(line.lstrip())] + "  "
        click.echo("\n".join(words.wrap(line)))


def _shortened(text: str) -> str:
    return _DIGEST.sub(r"\1…", text)


def moment(at: str) -> str:
    """An ISO 8601 time in UTC as a narrow column has it: `2026-11-24 01:44`."""
    return at[:16].replace("T", " ")


def print_drawn(table: Table) -> None:
    """Writes a table to standard output: as wide as the terminal, in colours only there, and not with NO_COLOR."""
    is_terminal = sys.stdout.isatty()
    console = Console(
        highlight=False,
        emoji=False,
        width=None if is_terminal else _WIDTH,
        color_system="auto" if is_terminal and not os.environ.get("NO_COLOR") else None,
    )
    with console.capture() as drawn:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=any(titles), header_style="bold", padding=(0, 2, 0, 0))
    for place, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=place == 0 and len(titles) > 2)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
