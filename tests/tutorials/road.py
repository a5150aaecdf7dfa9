"""Follows a tutorial as a reader does: files are written, lines edited and commands run, in one folder, in order.

```python title="FILE"    is written to FILE
```python                 is run by Python
```bash                   is run by bash, and has to end with 0
```toml title="FILE"      each `key = …` takes the place of the line of that key in FILE
```text                   is shown, and not run
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.command_line import ROOT

TUTORIALS = ROOT / "docs" / "tutorials"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_REFUSED = 4


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, from top to bottom."""
    text = page.read_text("utf-8")
    fences = len(re.findall(r"^```", text, re.MULTILINE))
    found = list(_BLOCK.finditer(text))
    assert 2 * len(found) == fences, f"{page.name} has a block that is not understood"
    for one in found:
        yield Block(one[1], one[2] or "", one[3], text.count("\n", 0, one.start()) + 1)


def follow(page: Path, folder: Path, other: Mapping[str, str] | None = None) -> str:
    """Follows the page in `folder`, to its end or to a run that was judged and refused; returns what was said.

    Args:
        page: the tutorial.
        folder: empty.
        other: what a reader with other data has instead: files by title, any other text, in these files too, by what
            stands in its place. Only then a run may be refused.
    """
    told: list[str] = []
    for block in blocks(page):
        title, text = _read(block, other or {})
        place = f"{page.name}:{block.line}"
        if block.language == "toml":
            _lay_over(folder / title, text, place)
        elif title:
            (folder / title).write_text(text, "utf-8")
        elif block.language in ("python", "bash"):
            done = run(block.language, text, folder)
            told.append(done.stdout)
            if done.returncode == _REFUSED and other and "not published: " in done.stdout:
                break
            assert done.returncode == 0, f"{place} ended with {done.returncode}\n{text}\n{done.stdout[-5000:]}"
        else:
            assert block.language == "text", f"{place}: nobody knows what to do with {block.language}"
    return "\n".join(told)


def _read(block: Block, other: Mapping[str, str]) -> tuple[str, str]:
    title, text = block.title, other.get(block.title, block.text)
    words = {mine: theirs for mine, theirs in other.items() if not mine.endswith(".py")}
    for mine, theirs in words.items():
        title, text = title.replace(mine, theirs), text.replace(mine, theirs)
    return title, text


def _lay_over(file: Path, lines: str, place: str) -> None:
    """Each line takes the place of the one line that begins with the same key."""
    text = file.read_text("utf-8")
    for line in lines.splitlines():
        key = line.partition(" = ")[0]
        text, count = re.subn(rf"^{re.escape(key)} = .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        assert count == 1, f"{place}: {file.name} has {count} lines of {key}"
    file.write_text(text, "utf-8")


def run(language: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A block in a process of its own, by the commands of this environment; what it says in the order it is said."""
    words = [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
