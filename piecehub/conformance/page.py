"""A model page, taken apart: Markdown with TensorFlow Hub's metadata header (tensorflow/hub, writing_documentation.md).

# Module <publisher>/<name>/<version>
<description, one line or more>
<!-- key: value -->             and empty lines only, up to the first heading
## …
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HEAD = "# Module "
# What a page has in place of an answer that only a person knows (piecehub/documentation).
QUESTION = re.compile(r"\bTODO\b")
_HEAD = re.compile(r"# Module [a-z\d-]+/[\w.-]+(/[\w.-]+)*/\d+")
_METADATA = re.compile(r"<!--(?P<key>[\w\s-]+):(?P<value>.+)-->")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a page, and in which line; a line that lacks belongs to the one that it should follow."""

    line: int
    sentence: str


@dataclass(frozen=True)
class Page:
    """A model page, taken apart.

    Attributes:
        metadata: what its metadata say, by key.
        text: what a reader is told: the description, and all from the first heading on.
        lines: where each key stands first.
        heading: the line of the first heading.
        faults: where it leaves TensorFlow Hub's form.
    """

    metadata: Mapping[str, list[str]]
    text: str
    lines: Mapping[str, int]
    heading: int
    faults: tuple[Fault, ...] = ()

    @property
    def last(self) -> int:
        """The line that more metadata should follow."""
        return max(self.lines.values(), default=1)


def parse(text: str) -> Page:
    """The page taken apart, with what is wrong with its form."""
    lines = text.split("\n")
    faults: list[Fault] = []
    if not _HEAD.fullmatch(lines[0].replace("&zwnj;", "")):
        said = sentence("the first line '# Module <publisher>/<name>/<version>'", f"{lines[0][:80]!a}", "write it so")
        faults.append(Fault(1, said))
    place = 2 if len(lines) > 1 and not lines[1] else 1
    start = place
    while place < len(lines) and lines[place] and not lines[place].startswith(("<!--", "#")):
        place += 1
    described = lines[start:place]
    if not described:
        faults.append(Fault(2, sentence("a description under the first line", "none", "write a sentence")))
    heading = next((n for n in range(place, len(lines)) if lines[n].startswith("#")), len(lines))
    metadata: dict[str, list[str]] = {}
    where: dict[str, int] = {}
    strays: list[int] = []
    for number in range(place, heading):
        if match := _METADATA.fullmatch(lines[number]):
            key = match["key"].strip()
            metadata.setdefault(key, []).append(match["value"].strip())
            where.setdefault(key, number + 1)
        elif lines[number]:
            strays.append(number)
    if strays:
        more = f" and {len(strays) - 1} lines more" if len(strays) > 1 else ""
        what = f"{lines[strays[0]][:80]!a}{more}"
        said = sentence("only metadata up to the first heading", what, "move it below a heading")
        faults.append(Fault(strays[0] + 1, said))
    return Page(metadata, "\n".join([*described, *lines[heading:]]), where, min(heading + 1, len(lines)), tuple(faults))


def sentence(expected: str, received: str, remedy: str) -> str:
    """What a person reads of a page that falls short."""
    return f"Expected {expected}. Received: {received}; {remedy}."
