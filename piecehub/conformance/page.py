"""A model page, taken apart: Markdown with TensorFlow Hub's metadata header (tensorflow/hub, writing_documentation.md).

# Module <publisher>/<name>/<version>
<description, one line or more>
<!-- key: value -->             and empty lines only, up to the first heading
## …
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HEAD = re.compile(r"# Module [a-z\d-]+/[\w.-]+(/[\w.-]+)*/\d+")
_METADATA = re.compile(r"<!--(?P<key>[\w\s-]+):(?P<value>.+)-->")


@dataclass(frozen=True)
class Page:
    """A model page, taken apart: what its metadata say, and the text from the first heading on."""

    metadata: Mapping[str, list[str]]
    body: str


def parse(text: str) -> Page | str:
    """The page taken apart, or the sentence that says where it leaves TensorFlow Hub's form."""
    lines = text.split("\n")
    if not _HEAD.fullmatch(lines[0].replace("&zwnj;", "")):
        return sentence("the first line '# Module <publisher>/<name>/<version>'", f"{lines[0][:80]!a}", "write it so")
    place = 2 if len(lines) > 1 and not lines[1] else 1
    start = place
    while place < len(lines) and lines[place] and not lines[place].startswith("<!--"):
        place += 1
    if place == start or lines[start].startswith("#"):
        return sentence("a description under the first line", "none", "write a sentence")
    metadata: dict[str, list[str]] = {}
    while place < len(lines) and not lines[place].startswith("#"):
        if lines[place]:
            match = _METADATA.fullmatch(lines[place])
            if not match:
                what = f"{lines[place][:80]!a}"
                return sentence("only metadata up to the first heading", what, "move it below a heading")
            values = metadata.setdefault(match["key"].strip(), [])
            values.append(match["value"].strip())
        place += 1
    return Page(metadata, "\n".join(lines[place:]))


def sentence(expected: str, received: str, remedy: str) -> str:
    """What a person reads of a page that falls short."""
    return f"Expected {expected}. Received: {received}; {remedy}."
