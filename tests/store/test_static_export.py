"""The store as files: whole, incremental, no room taken, and nothing left of what was quarantined."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from piecehub.errors import ArchiveError, EnvironmentProblem, RecipeError, StoreError
from piecehub.facts.content import sha256_file
from piecehub.facts.handle import Handle
from piecehub.store import curate, layout
from piecehub.store.catalog import Store
from piecehub.store.export import LAYOUTS, export
from piecehub.store.publish import publish
from piecehub.ui.static_pages import static_pages
from tests.cli.test_store import _run

TWO = Handle("acme", "vision/tiny", 2)


@pytest.fixture(params=["nginx", "plain"])
def where(request):
    return LAYOUTS[request.param]


@pytest.fixture
def filled(anywhere, make_model) -> Store:
    for number in (1, 2):
        blobs = {
            "documentation.md": b"# Module acme/vision/tiny/1\n\nIt sees.\n",
            "evidence/digits/plot.svg": b"<svg/>",
        }
        publish(anywhere, make_model(f"model {number}"), "acme", "vision/tiny", blobs=blobs, facts={})
    publish(anywhere, make_model("other"), "beta", "tiny", blobs={}, facts={})
    return anywhere


def _export(store, to, where, **more):
    return export(store, to, where, static_pages(more.get("url", "")), **more)


def _tree(to: Path) -> dict[str, str]:
    return {p.relative_to(to).as_posix(): sha256_file(p) for p in to.rglob("*") if p.is_file() and p.name != ".lock"}


def test_every_version_stands_there_with_all_that_was_published(filled, where, tmp_path):
    done = _export(filled, tmp_path / "out", where, url="https://models.example")
    tree = _tree(tmp_path / "out")
    assert done.versions == 3 and done.written == len(tree) and done.removed == 0
    for manifest in filled.models():
        handle, about = manifest.handle, f"api/v1/models/{manifest.handle}"
        assert tree[where.archive(handle)] == manifest.archive.digest.removeprefix("sha256:")
        for blob in (manifest.archive, *manifest.blobs):
            for name in (blob.digest, blob.title):
                assert f"sha256:{tree[f'{about}/blobs/{name}']}" == blob.digest
        text = (tmp_path / "out" / about / "manifest").read_bytes()
        assert text == filled.backend.read(layout.manifest_key(handle))
        version = json.loads((tmp_path / "out" / about / "version").read_text())
        assert version["handle"] == f"https://models.example/{handle}"
    page = (tmp_path / "out" / where.page(TWO)).read_text()
    assert "It sees." in page and "https://models.example/acme/vision/tiny/2" in page and "<script" not in page
    assert "acme/vision/tiny" in (tmp_path / "out" / "index.html").read_text()
    assert ("acme/vision/tiny/_newest/model.tar.gz" in tree) == where.has_newest


def test_exporting_again_writes_nothing_and_later_only_what_is_new(filled, where, tmp_path, make_model):
    to = tmp_path / "out"
    _export(filled, to, where)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in to.rglob("*") if path.is_file()}
    again = _export(filled, to, where)
    assert (again.written, again.removed) == (0, 0)
    assert before == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in to.rglob("*") if path.is_file()}
    publish(filled, make_model("model 3"), "acme", "vision/tiny", blobs={}, facts={})
    assert 5 <= _export(filled, to, where).written < 20
    untouched = [path for path in before if "/tiny/1" in str(path) and path.suffix != ".html"]
    assert untouched and all((path.stat().st_ino, path.stat().st_mtime_ns) == before[path] for path in untouched)


def test_blobs_take_no_room_beside_the_store(store, make_model, where, tmp_path):
    publish(store, make_model(), "acme", "tiny", blobs={"documentation.md": b"# Page"}, facts={})
    _export(store, tmp_path / "out", where)
    manifest = store.newest("acme", "tiny")
    for name in (where.archive(manifest.handle), f"api/v1/models/acme/tiny/1/blobs/{manifest.archive.digest}"):
        assert (tmp_path / "out" / name).samefile(store.blob_path(manifest.archive.digest))


def test_where_links_cannot_be_made_it_copies(store, make_model, where, tmp_path, monkeypatch):
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    _export(store, tmp_path / "out", where)
    found = tmp_path / "out" / where.archive(Handle("acme", "tiny", 1))
    manifest = store.newest("acme", "tiny")
    assert not found.samefile(store.blob_path(manifest.archive.digest))
    assert f"sha256:{sha256_file(found)}" == manifest.archive.digest and found.stat().st_mode & 0o777 == 0o644
    assert _export(store, tmp_path / "out", where).written == 0


def test_what_is_quarantined_leaves_and_comes_back_when_it_is_released(filled, where, tmp_path):
    to = tmp_path / "out"
    _export(filled, to, where)
    digest = filled.find(TWO).archive.digest.removeprefix("sha256:")
    assert digest in _tree(to).values()
    curate.quarantine(filled, TWO, by="anna", why="leaks größe")
    assert _export(filled, to, where).removed > 3
    tree = _tree(to)
    assert digest not in tree.values() and where.page(TWO) not in tree
    versions = json.loads((to / "api/v1/models/acme/vision/tiny/_versions").read_text())["versions"]
    assert versions[1] == {"version": 2, "status": "quarantined", "why": "leaks größe"}
    if where.name == "nginx":
        assert (to / f"{TWO}/gone").read_text().strip().endswith(": leaks größe")
        one = filled.find(Handle("acme", "vision/tiny", 1)).archive.digest
        assert f"sha256:{tree['acme/vision/tiny/_newest/model.tar.gz']}" == one
    curate.release(filled, TWO, by="anna", why="it does not")
    _export(filled, to, where)
    assert digest in _tree(to).values() and f"{TWO}/gone" not in _tree(to)


def test_what_is_yanked_stays_and_says_so(filled, where, tmp_path):
    curate.yank(filled, TWO, by="anna", why="labels were swapped")
    _export(filled, tmp_path / "out", where)
    assert where.archive(TWO) in _tree(tmp_path / "out")
    assert "labels were swapped" in (tmp_path / "out" / where.page(TWO)).read_text()
    rows = json.loads((tmp_path / "out/api/v1/models/_models").read_text())
    assert {row["name"] for row in rows} == {"acme/vision/tiny/1", "beta/tiny/1"}


def test_publishers_can_be_left_out(filled, where, tmp_path):
    _export(filled, tmp_path / "out", where, publishers=["beta"])
    assert not any("acme" in path for path in _tree(tmp_path / "out"))
    assert "acme" not in (tmp_path / "out" / "index.html").read_text()


def test_a_damaged_file_of_the_export_is_written_again(filled, where, tmp_path):
    _export(filled, tmp_path / "out", where)
    whole = _tree(tmp_path / "out")
    for name in (where.archive(TWO), where.page(TWO), f"api/v1/models/{TWO}/manifest"):
        (tmp_path / "out" / name).unlink()  # it may be the store's own file
        (tmp_path / "out" / name).write_bytes(b"damaged")
    _export(filled, tmp_path / "out", where)
    assert _tree(tmp_path / "out") == whole


def test_a_damaged_blob_is_not_exported(filled, where, tmp_path):
    key = layout.blob_key(filled.find(TWO).archive.digest)
    with filled.backend.staging() as staging:
        (staging / "x").write_bytes(b"damaged")
        filled.backend.put(key, staging / "x")
    with pytest.raises(StoreError, match="Expected the bytes of sha256"):
        _export(filled, tmp_path / "out", where)
    assert where.archive(TWO) not in _tree(tmp_path / "out")


def test_another_s_folder_is_left_alone(filled, where, tmp_path):
    other = LAYOUTS["plain" if where.name == "nginx" else "nginx"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    _export(filled, tmp_path / "theirs", other)
    before = _tree(tmp_path)
    for folder in ("mine", "theirs"):
        with pytest.raises(RecipeError, match="Expected a new folder"):
            _export(filled, tmp_path / folder, where)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="give another --to"):
        _export(filled, tmp_path / "file" / "below", where)
    (tmp_path / "file").unlink()
    assert _tree(tmp_path) == before


def test_a_title_cannot_leave_the_folder(store, make_model, where, tmp_path):
    publish(store, make_model(), "acme", "tiny", blobs={"../../../../../../evil": b"x"}, facts={})
    with pytest.raises(ArchiveError, match="Expected a plain path"):
        _export(store, tmp_path / "deep" / "out", where)
    assert not list(tmp_path.rglob("evil"))


KILLED = """
import sys
from pathlib import Path
from piecehub.store.catalog import Store
from piecehub.store import export_tree
from piecehub.store.export import LAYOUTS, export
from piecehub.ui.static_pages import static_pages
import os, signal
left = int(sys.argv[4])
real = Path.replace
def replace(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
Path.replace = replace
export(Store.open(Path(sys.argv[1])), Path(sys.argv[2]), LAYOUTS[sys.argv[3]], static_pages(""))
"""


def test_a_killed_export_leaves_whole_files_and_the_next_one_finishes(store, make_model, where, tmp_path):
    for text in ("a", "b"):
        publish(store, make_model(text), "acme", "tiny", blobs={"documentation.md": b"# Page"}, facts={})
    _export(store, tmp_path / "whole", where)
    whole, to = _tree(tmp_path / "whole"), tmp_path / "out"
    for step in range(0, 40, 7):
        command = [sys.executable, "-P", "-c", KILLED, str(store.root), str(to), where.name, str(step)]
        assert subprocess.run(command, check=False).returncode in (-signal.SIGKILL, 0)
        found = {path: sha256 for path, sha256 in _tree(to).items() if not Path(path).name.startswith(".")}
        assert found.items() <= whole.items()
    _export(store, to, where)
    assert _tree(to) == whole


def test_of_two_exports_at_once_one_is_refused(filled, where, tmp_path):
    to, started, go_on = tmp_path / "out", threading.Event(), threading.Event()
    pages = static_pages("")

    def wait(*arguments):
        started.set()
        go_on.wait(20)
        return pages.version(*arguments)

    slow = threading.Thread(target=lambda: export(filled, to, where, type(pages)(wait, pages.index)))
    slow.start()
    started.wait(20)
    with pytest.raises(EnvironmentProblem, match="Expected to be the only export"):
        _export(filled, to, where)
    go_on.set()
    slow.join(30)
    assert _export(filled, to, where).written == 0


def test_a_person_exports_and_expands(store, make_model, tmp_path):
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    place = ["--store", str(store.root)]
    assert "1 versions" in _run("export", "--to", str(tmp_path / "a"), *place).stderr
    assert (tmp_path / "a" / "acme" / "tiny" / "1" / "model.tar.gz").is_file()
    _run("export", "--to", str(tmp_path / "b"), "--layout", "plain", *place)
    assert (tmp_path / "b" / "acme" / "tiny" / "1").is_file()
    _run("export", "--to", str(tmp_path / "a"), "--layout", "plain", *place, expected=2)
    _run("expand", "acme/tiny/1", *place, expected=2)
    assert not (tmp_path / "b" / "acme" / "tiny" / "1").is_dir()
