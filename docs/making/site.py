"""What `mkdocs build` takes from elsewhere: pages of the project, the notebooks, and the tutorials that there are.

    CHANGELOG.md, benchmarks/RESULTS.md, …    pages below project/; links to these files lead there
    examples/*.ipynb                          pages below examples/, with the notebook itself beside each
    docs/tutorials/*.md                       in the order of _TUTORIALS, others after them

It is a hook of mkdocs.yml.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_TUTORIALS = ("index", "images", "csv", "text", "tfrecords", "keras", "consume", "share", "coming-from", "tfx")
_NOTEBOOKS = ("consume_and_fine_tune", "share_a_keras_model", "read_the_evidence")
_PROJECT = {
    "CHANGELOG.md": "project/changes.md",
    "benchmarks/RESULTS.md": "project/benchmarks.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "kubeflow/README.md": "project/kubeflow.md",
}
_MOVED = {
    **_PROJECT,
    "README.md": "index.md",
    **{f"examples/{name}.ipynb": f"examples/{name}.md" for name in _NOTEBOOKS},
}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills the two sections of the navigation whose pages are not all written in docs/."""
    filled = {"tutorials": [*_tutorials(), *(f"examples/{name}.md" for name in _NOTEBOOKS)]}
    filled["project"] = list(_PROJECT.values())
    for section in config.nav or []:
        if isinstance(section, dict):
            for title, pages in section.items():
                section[title] = filled.get(pages[0], pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of other folders."""
    for source, path in _PROJECT.items():
        files.append(File.generated(config, path, content=(ROOT / source).read_text(encoding="utf-8")))
    for name in _NOTEBOOKS:
        notebook = ROOT / "examples" / f"{name}.ipynb"
        files.append(File.generated(config, f"examples/{name}.md", content=notebook_page(notebook)))
        files.append(File.generated(config, f"examples/{name}.ipynb", content=notebook.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to files of the repository, as one follows them there, to where their pages stand in the site."""
    path = page.file.src_uri
    source = next((file for file, there in _PROJECT.items() if there == path), f"docs/{path}")
    return _LINK.sub(lambda link: link[1] + _led(link[2], source, path) + link[3], markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leaves out the defaults of options that have none: mkdocs-click 0.9 writes click's word for that."""
    return html.replace("<code>Sentinel.UNSET</code>", "") if page.file.src_uri == "reference/commands.md" else html


def notebook_page(notebook: Path) -> str:
    """A notebook as Markdown: its texts, and its code as blocks."""
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    texts.insert(1, f"[This notebook as a file]({notebook.name})")
    return "\n\n".join(texts) + "\n"


def _cell(kind: str, text: str) -> str:
    return f"```python\n{text}\n```" if kind == "code" else text


def _tutorials() -> list[str]:
    """The pages in docs/tutorials, the known ones first."""
    found = {path.stem for path in (ROOT / "docs" / "tutorials").glob("*.md")}
    order = [name for name in _TUTORIALS if name in found] + sorted(found.difference(_TUTORIALS))
    return [f"tutorials/{name}.md" for name in order]


def _led(link: str, source: str, path: str) -> str:
    """A link of the file `source` of the repository, as the page `path` of the site has it."""
    if "://" in link:
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    there = _MOVED.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
    return link if there is None else posixpath.relpath(there, posixpath.dirname(path))
