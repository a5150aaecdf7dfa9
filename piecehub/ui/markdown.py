"""Documentation pages as safe HTML: Markdown by markdown-it-py, cleaned by nh3.

TensorFlow Hub's metadata header, the lines `<!-- key: value -->`, becomes a list of pairs. Everything else that is
HTML in the source is shown as text, never run.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

_COMMENT = re.compile(r"^<!--\s*([a-z][a-z-]*)\s*:\s*(.*?)\s*-->\s*$", re.MULTILINE)
_TITLE = re.compile(r"\A\s*#(?!#)[^\n]*(\n|\Z)")
# Metadata end where something else begins: what stands in a code block below is the block's.
_BODY = re.compile(r"^(#{1,6}\s|```|~~~)", re.MULTILINE)
_TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Documentation:
    """A documentation page: its metadata, its first paragraph as words and as clean HTML, the rest as clean HTML."""

    metadata: tuple[tuple[str, str], ...]
    description: str
    lead: str
    html: str


def render(text: str) -> Documentation:
    """Reads a documentation page; the title is left out, for the page around it has one."""
    text = _TITLE.sub("", text)
    begins = _BODY.search(text)
    head, rest = (text[: begins.start()], text[begins.start() :]) if begins else (text, "")
    tokens = _MARKDOWN.parse(f"{_COMMENT.sub('', head)}\n{rest}")
    first = tokens[:3] if tokens and tokens[0].type == "paragraph_open" else []
    words = first[1].children or [] if first else []
    lead = clean(_MARKDOWN.renderer.render(first[1:2], _MARKDOWN.options, {}))
    shown = clean(_MARKDOWN.renderer.render(tokens[len(first) :], _MARKDOWN.options, {}))
    return Documentation(tuple(_COMMENT.findall(head)), _plain(words), lead, shown)


def _plain(tokens: Sequence[Token]) -> str:
    """The words of a paragraph, without their marks."""
    parts = [" " if "break" in token.type else _plain(token.children or ()) or token.content for token in tokens]
    return " ".join("".join(parts).split())


def clean(html: str) -> str:
    """`html` with the tags of a document and nothing that runs, loads or styles; tables can scroll by themselves."""
    safe = nh3.clean(html, tags=_TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"})
    return safe.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")
