"""The page docs/guides.md, read by its numbers: what it shows as code is what the tests here run.

### G7 · Cut it out afterwards
text, and fenced blocks of code
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides.md"
NUMBERS = range(1, 33)
# What the page says where a reader's own store stands.
STORE = "http://127.0.0.1:8470"


@cache
def sections() -> dict[int, str]:
    """The text of each number's section."""
    parts = re.split(r"^### G(\d+) · ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def blocks(number: int, language: str = "python") -> list[str]:
    """The blocks in that language of a number's section, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", sections()[number], flags=re.MULTILINE | re.DOTALL)


def run(number: int, names: dict[str, Any], *, block: int = 0, replace: dict[str, str] | None = None) -> dict[str, Any]:
    """Runs one block as it stands on the page.

    Args:
        number: of the section.
        names: what the block may use; it writes there too.
        block: which of the section's blocks.
        replace: texts of the page that a test must replace: addresses and folders.
    """
    code = blocks(number)[block]
    for old, new in (replace or {}).items():
        assert old in code, f"docs/guides.md, G{number}: '{old}' is gone"
        code = code.replace(old, new)
    exec(compile(code, f"docs/guides.md, G{number}", "exec"), names)
    return names
