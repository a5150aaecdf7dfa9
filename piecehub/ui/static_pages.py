"""The pages of an export: whole files, with their style inside and no script, for any web server to hand out."""

from pathlib import Path

import jinja2

from piecehub.facts.manifest import Manifest
from piecehub.store.catalog import Store
from piecehub.store.describe import API
from piecehub.store.export import Pages
from piecehub.ui import words
from piecehub.ui.model_pages import model_page

_HERE = Path(__file__).parent


def static_pages(url: str) -> Pages:
    """Draws the pages of an export that will be served at `url` ('' if nobody knows yet)."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = {"words": words, "style": (_HERE / "static" / "style.css").read_text(encoding="utf-8")}

    def version(store: Store, manifest: Manifest, archive: str) -> str:
        page = model_page(store, manifest, url, archive)
        blobs_at = f"{API}/{manifest.handle}/blobs"
        return templates.get_template("static_model.html", globals=shared).render(page=page, blobs_at=blobs_at)

    def index(rows: list[tuple[Manifest, str]]) -> str:
        return templates.get_template("static_index.html", globals=shared).render(rows=rows)

    return Pages(version, index)
