from html.parser import HTMLParser

import pytest

from piecehub.ui.markdown import render

XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "![picture](https://example.org/pixel.png)",
    "<!-- <script>alert(1)</script> -->",
    '<a href="https://example.org" onclick="alert(1)" style="position:fixed">x</a>',
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "<svg><style><img src=x onerror=alert(1)>",
    "| a |\n|---|\n| <iframe src=//example.org> |",
]


class Elements(HTMLParser):
    """The elements of a page as a browser would see them."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", XSS)
def test_nothing_in_a_page_runs_loads_or_styles(text):
    found = Elements(render(f"# Module a/b/1\n\nWords.\n\n## More\n\n{text}\n").html).found
    assert ("h2", {}) in found
    assert not {tag for tag, _ in found} & {"script", "img", "iframe", "svg", "style"}
    for _, attributes in found:
        assert set(attributes) <= {"href", "rel", "class", "tabindex"}
        assert attributes.get("href", "https:").startswith("https:")


def test_the_header_becomes_pairs_and_the_title_is_left_out():
    page = render(
        "# Module a/b/1\n\nSome words\nhere.\n\n<!-- task: x -->\n<!-- format: saved_model_2 -->\n\n## Usage\n\n*now*"
    )
    assert page.metadata == (("task", "x"), ("format", "saved_model_2"))
    assert page.description == "Some words here."
    assert page.html == "<h2>Usage</h2>\n<p><em>now</em></p>\n"


def test_a_page_without_any_of_it_is_rendered_too():
    assert render("").html == ""
    assert render("## Only a heading").html == "<h2>Only a heading</h2>\n"


def test_wide_tables_scroll_by_themselves():
    assert '<div class="scroll" tabindex="0"><table>' in render("# t\n\n## a\n\n| a |\n|---|\n| b |").html


@pytest.mark.parametrize("heading", ["", "## Usage", "### Usage", "Usage\n-----"])
def test_e5_what_stands_before_the_first_heading_is_markdown_too(heading):
    page = render(
        "# Module a/b/1\n\nA **bold** word, `code` and [a link](https://example.org).\n\n"
        "<!-- task: x -->\n\n| a |\n|---|\n| b |\n\n- one\n- two\n\n"
        f"{heading}\n\n```\nx  =  1\n<!-- not: metadata -->\n```\n"
    )
    assert page.description == "A bold word, code and a link."
    assert page.lead.startswith("A <strong>bold</strong> word, <code>code</code> and <a href=")
    assert "<table>" in page.html and "<li>two</li>" in page.html
    assert "x  =  1\n&lt;!-- not: metadata --&gt;" in page.html
    assert page.metadata == (("task", "x"),)
    assert page.html.count("<h") - page.html.count("<hr") - page.html.count("<he") >= bool(heading)


def test_e5_a_page_that_opens_with_a_list_or_code_loses_nothing():
    assert render("# t\n\n- one\n- two").html == "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
    assert "<code>x\n" in render("```\nx\n```").html and render("```\nx\n```").description == ""
    assert "script" not in Elements(render("# t\n\nA <script>alert(1)</script> <b>b</b>").lead).found
