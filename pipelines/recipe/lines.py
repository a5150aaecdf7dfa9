"""On which line of a TOML text each entry stands, which Python's own reader does not tell.

It reads texts that `tomllib` has taken, so it looks for what stands where, and not for what is wrong:

    [[task]]                  ("task", 0)
    name = "a"                ("task", 0, "name")
    "my key".x = {y = [1]}    ("task", 0, "my key"), (…, "x"), (…, "x", "y"), (…, "x", "y", 0)
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TOKENS = re.compile(
    r'''(?P<gap>[ \t\r]+|\#[^\n]*)
    |(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<mark>[\[\]{}=.,\n])
    |(?P<bare>[^\s\[\]{}=.,\#"']+)''',
    re.VERBOSE | re.DOTALL,
)


def lines_of(text: str) -> dict[Path, int]:
    """The line of each table, entry and element of a list, from 1; of one that is written in parts, of the first."""
    reader = _Reader(list(_tokens(text)))
    reader.document()
    return reader.lines


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKENS.finditer(text):
        if match.lastgroup != "gap":
            yield _Token(match.lastgroup or "", match[0], line)
        line += match[0].count("\n")


@dataclass
class _Reader:
    """Goes once over the tokens, from `place`.

    Attributes:
        tables: how many elements each list of tables has so far.
    """

    tokens: list[_Token]
    place: int = 0
    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    tables: dict[Path, int] = field(default_factory=dict[Path, int])

    def document(self) -> None:
        table: Path = ()
        while self.place < len(self.tokens):
            if self._takes("\n"):
                continue
            if self._takes("["):
                table = self._header()
            else:
                self._entry(table)

    def _header(self) -> Path:
        """A table, or the next one of a list of tables."""
        is_list, line = self._takes("["), self.tokens[self.place].line
        *outer, last = self._key()
        table: Path = ()
        for part in outer:
            table = self._note((*table, part), line)
            if table in self.tables:
                table = (*table, self.tables[table] - 1)
        table = self._note((*table, last), line)
        if is_list:
            number = self.tables.get(table, 0)
            self.tables[table] = number + 1
            table = self._note((*table, number), line)
        while self._takes("]"):
            pass
        return table

    def _entry(self, table: Path) -> None:
        line = self.tokens[self.place].line
        for part in self._key():
            table = self._note((*table, part), line)
        self._takes("=")
        self._value(table)

    def _key(self) -> list[str]:
        parts = [self._part()]
        while self._takes("."):
            parts.append(self._part())
        return parts

    def _part(self) -> str:
        token = self.tokens[self.place]
        self.place += 1
        return tomllib.loads(f"key = {token.text}")["key"] if token.kind == "text" else token.text

    def _value(self, path: Path) -> None:
        if self._takes("{"):
            while not self._takes("}"):
                if not (self._takes(",") or self._takes("\n")):
                    self._entry(path)
        elif self._takes("["):
            self._elements(path)
        else:  # a text, or a number or time of several tokens
            while self.place < len(self.tokens) and self.tokens[self.place].text not in ("\n", ",", "]", "}"):
                self.place += 1

    def _elements(self, path: Path) -> None:
        number = 0
        while not self._takes("]"):
            if not (self._takes(",") or self._takes("\n")):
                self._value(self._note((*path, number), self.tokens[self.place].line))
                number += 1

    def _takes(self, mark: str) -> bool:
        """Goes past a mark, if it is the next token."""
        found = self.place < len(self.tokens) and self.tokens[self.place].text == mark
        self.place += found
        return found

    def _note(self, path: Path, line: int) -> Path:
        self.lines.setdefault(path, line)
        return path
