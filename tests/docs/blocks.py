"""The blocks of code of README.md and docs/, as their Markdown has them, and how a reader would run them.

A block is Python or commands: a fence says which; an indented block is commands if a line begins with a program.
Everything else (drawings, what a command prints, TOML) is no block.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
_LANGUAGES = {
    **dict.fromkeys(("python", "py", "pycon"), "python"),
    **dict.fromkeys(("bash", "console", "sh", "shell"), "commands"),
}
_PROGRAMS = {
    *("$EDITOR", ".venv/bin/piecehub", "apt-get", "cosign", "curl", "docker", "git", "head", "kubectl", "make"),
    *("openssl", "piecehub", "pip", "pytest", "python", "python3", "sha256sum", "uv"),
}
_PROMPT = re.compile(r"^\$ (?=\S)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block: `page` is its file below the repository, `line` where it begins."""

    page: str
    line: int
    kind: Literal["python", "commands"]
    text: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.first}"


def pages() -> list[Path]:
    """README.md and all of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    return list(_blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()))


def commands(text: str) -> list[str]:
    """The commands of a block, one after the other: lines that end in a backslash go on, comments are left out.

    In a block with prompts (`$ `) only what stands behind one is a command; the rest is what it prints.
    """
    prompted = bool(_PROMPT.search(text))
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line.startswith("$ ") or not prompted]
    found = [line.removeprefix("$ ").strip() for line in lines]
    return [line for line in found if line and not line.startswith("#")]


def words(command: str) -> list[str]:
    """The words of a command as a shell has them, without what is for the shell itself."""
    split = shlex.split(command, comments=True)
    end = next((n for n, word in enumerate(split) if word[0:1] in "|>;&" or word.startswith("2>")), len(split))
    return split[:end]


def _blocks(text: str, page: str) -> Iterator[Block]:
    for token in MarkdownIt("commonmark").parse(text):
        if token.type not in ("fence", "code_block") or not token.content.strip():
            continue
        language = (token.info.split() or [""])[0]
        kind = _LANGUAGES.get(language) or ("commands" if not language and _is_commands(token.content) else None)
        if kind:
            line = token.map[0] + (2 if token.type == "fence" else 1)
            yield Block(page, line, "python" if kind == "python" else "commands", token.content.rstrip("\n"))


def _is_commands(text: str) -> bool:
    return any(line.removeprefix("$ ").split(" ")[0] in _PROGRAMS for line in text.splitlines())
