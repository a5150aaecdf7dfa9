"""The site that `make docs` builds: strictly, with all that can be called, and without another host."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest

import piecehub
from piecehub import errors
from piecehub.cli.main import cli
from piecehub.facts.workdir import Workdir
from piecehub.ui.app import create_app
from pipelines.recipe.reference import table_classes
from tests.conftest import Once
from tests.docs.blocks import ROOT

_MOST_BYTES_OF_A_PICTURE = 150_000


class _Page(HTMLParser):
    """What a page asks for by itself, where it leads to, and the places in it that can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.places |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a":
            self.links += [given["href"]] if "href" in given else []
        else:
            self.asked += [
                given[key] for key in ("src", "href", "data", "srcset", "poster", "action") if given.get(key)
            ]
            self.asked += re.findall(r"url\(([^)]*)\)", given.get("style", ""))


@pytest.fixture(scope="module")
def site(once: Once) -> Path:
    """The built site."""

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return once("site", build)


@pytest.fixture(scope="module")
def html(site: Path) -> dict[str, _Page]:
    """Its pages by their paths."""
    found = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    assert len(found) > 25
    return {name: _Page(path.read_text(encoding="utf-8")) for name, path in found.items()}


def test_no_page_asks_another_host_for_anything(site: Path, html: dict[str, _Page]) -> None:
    outside = {(name, one) for name, page in html.items() for one in page.asked if _is_outside(one)}
    assert outside == set()
    styles = {(path.name, one) for path in site.rglob("*.css") for one in _urls(path.read_text(encoding="utf-8"))}
    assert {one for one in styles if _is_outside(one[1])} == set()


def test_what_asks_another_host_is_found() -> None:
    page = _Page('<link href="https://a.org/x.css"><script src="//b.org/y.js"></script><a href="https://c.org">c</a>')
    assert [one for one in page.asked if _is_outside(one)] == ["https://a.org/x.css", "//b.org/y.js"]
    assert _urls("a { src: url('https://d.org/z.woff2') }") == ["https://d.org/z.woff2"]


def test_every_link_within_the_site_leads_to_a_page_and_a_place_on_it(site: Path, html: dict[str, _Page]) -> None:
    assert {(name, one) for name, page in html.items() for one in _broken(site, html, name, page)} == set()


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").touch()
    pages = {
        "a.html": _Page('<a href="#x">x</a><a href="b.html">b</a><a id="y" href="a.html#y">y</a><img src="c.png">')
    }
    assert _broken(tmp_path, pages, "a.html", pages["a.html"]) == ["#x", "b.html", "c.png"]


def test_every_name_of_the_front_door_is_in_the_reference(html: dict[str, _Page]) -> None:
    places = html["reference/python.html"].places
    names = [*piecehub.__all__, *(f"images.{name}" for name in _functions_of(ROOT / "piecehub" / "images.py"))]
    names += [f"errors.{name}" for name, one in vars(errors).items() if _is_error(one)]
    assert len(names) > 35
    assert [name for name in names if f"piecehub.{name}" not in places] == []


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", " ", text)
    told = [(path, name) for path, command in _walked("piecehub", cli) for name in (path, *_options(command))]
    assert len(told) > 150
    assert [one for one in told if not re.search(rf"(?<![\w-]){re.escape(one[1])}(?![\w-])", shown)] == []


def test_every_key_of_a_recipe_is_in_the_reference(site: Path) -> None:
    text = (site / "recipe.html").read_text(encoding="utf-8")
    keys = [entry.name for table in table_classes().values() for entry in fields(table) if entry.init]
    assert len(keys) > 60
    assert [key for key in keys if f"<code>{key}</code>" not in text] == []


def test_every_address_of_the_json_api_and_each_key_of_its_answers_is_in_the_reference(golden: Workdir) -> None:
    from starlette.testclient import TestClient

    page = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    client = TestClient(create_app(golden), base_url="http://127.0.0.1")
    run = client.get("/api/v1/runs").json()["runs"][0]["run"]
    model = "/api/v1/models/{publisher}/{name}"
    asked = {
        "/api/v1/models": "/api/v1/models",
        model: "/api/v1/models/piecehub/digits",
        f"{model}/{{N}}": "/api/v1/models/piecehub/digits/1",
        f"{model}/{{N}}/files": "/api/v1/models/piecehub/digits/1/files",
        "/api/v1/runs": "/api/v1/runs",
        "/api/v1/runs/{run}": f"/api/v1/runs/{run}",
        "/api/v1/runs/{run}/outputs/{component}/{output}": f"/api/v1/runs/{run}/outputs/PublishGate/blessing",
        "/healthz": "/healthz",
    }
    for address, one in asked.items():
        assert f"### `GET {address}`" in page
        answer = client.get(one)
        assert answer.status_code == 200
        assert [key for key in _keys(answer.json()) if f"`{key}`" not in page and f'"{key}"' not in page] == [], address
    assert f"### `GET {model}/{{N}}/manifest`" in page and f"### `GET {model}/{{N}}/blobs/" in page
    routes = {getattr(route, "path", "") for route in create_app(golden).routes}
    assert {path for path in routes if path.startswith("/api/")} == {
        *("/api/v1/runs", "/api/v1/runs/{run}", "/api/v1/models", "/api/v1/models/{path:path}"),
        *("/api/v1/openapi.json", "/api/v1/runs/{run}/outputs/{node}/{output}", "/api/v1/pipelines/{name}"),
    }
    assert "### `GET /api/v1/pipelines/{name}`" in page  # its keys are those of docs/plan.md
    assert "### `GET /api/v1/openapi.json`" in page


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A working folder with a run and a published version."""
    import tarfile

    root = tmp_path_factory.mktemp("golden")
    with tarfile.open(ROOT / "tests" / "golden" / "workdir.tar.gz") as archive:
        archive.extractall(root, filter="data")
    return Workdir(root / ".piecehub")


def test_pictures_are_small_and_each_is_shown() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > _MOST_BYTES_OF_A_PICTURE} == {}
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert [path.name for path in pictures if f"pictures/{path.name})" not in text] == []


def _is_error(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, errors.PiecehubError)


def _is_outside(address: str) -> bool:
    return bool(urlsplit(address).netloc) or address.startswith("//")


def _urls(style: str) -> list[str]:
    return [one.strip("'\"") for one in re.findall(r"url\(([^)]*)\)|@import +([^;]+)", style) for one in one if one]


def _broken(site: Path, pages: dict[str, _Page], name: str, page: _Page) -> list[str]:
    """The links of a page that lead to no file of the site, or to no place of its page."""
    found: list[str] = []
    for link in (*page.links, *page.asked):
        split = urlsplit(link)
        if split.scheme or split.netloc or link.startswith("data:"):
            continue
        folder = site if split.path.startswith("/") else (site / name).parent  # 404.html leads from the top
        target = folder / unquote(split.path).lstrip("/") if split.path else site / name
        there = target.resolve()
        place = unquote(split.fragment)
        other = (
            pages.get(there.relative_to(site.resolve()).as_posix()) if there.is_relative_to(site.resolve()) else None
        )
        if not there.exists() or (place and other and place not in other.places):
            found.append(link)
    return found


def _functions_of(module: Path) -> list[str]:
    """The public functions of a module that imports TensorFlow, by its text."""
    return re.findall(r"^def ([a-z]\w*)", module.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _walked(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _walked(f"{path} {name}", one)


def _options(command: click.Command) -> list[str]:
    return [
        name for one in command.params if isinstance(one, click.Option) for name in (*one.opts, *one.secondary_opts)
    ]


def _keys(value: Any) -> Iterator[str]:
    """The keys of an answer, but of what is the recipe's or the publisher's own: facts, parameters, counts."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            if key not in ("facts", "parameters", "counts", "aliases", "outputs", "results"):
                yield from _keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one)
