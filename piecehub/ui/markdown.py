"""Documentation pages as safe HTML: Markdown by markdown-it-py, cleaned by nh3.

TensorFlow Hub's metadata header, the lines `<!-- key: value -->`, becomes a list of pairs. Everything else that is
HTML in the source is shown as text, never run.
"""

import re
from dataclasses import dataclass

import nh3
from markdown_it import MarkdownIt

_COMMENT = re.compile(r"^<!--\s*([a-z][a-z-]*)\s*:\s*(.*?)\s*-->\s*$", re.MULTILINE)
_TITLE = re.compile(r"\A\s*#[^\n]*\n")
_TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Documentation:
    """A documentation page: its metadata, its opening words and its body as clean HTML."""

    metadata: tuple[tuple[str, str], ...]
    description: str
    html: str


def render(text: str) -> Documentation:
    """Reads a documentation page; the title is left out, for the page around it has one."""
    metadata = tuple(_COMMENT.findall(text))
    body = _TITLE.sub("", _COMMENT.sub("", text)).strip()
    opening, heading, rest = body.partition("\n## ")
    description = " ".join(opening.split()) if not opening.lstrip().startswith("#") else ""
    shown = f"{heading.strip()} {rest}" if description else body
    return Documentation(metadata, description, clean(_MARKDOWN.render(shown)))


def clean(html: str) -> str:
    """`html` with the tags of a document and nothing that runs, loads or styles; tables can scroll by themselves."""
    safe = nh3.clean(html, tags=_TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"})
    return safe.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")
