"""`piecehub store`: what a person types, and what comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.store import layout
from piecehub.store.catalog import Store
from piecehub.store.publish import publish


def _run(*words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "piecehub.cli", "store", *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == expected, (result.stdout, result.stderr)
    if expected:
        assert result.stderr.count("piecehub: Expected") == 1 and "Traceback" not in result.stderr
    return result


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, make_model) -> str:
    """A store with acme/tiny 1 and 2."""
    place = str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_uri")
    for number in (1, 2):
        publish(Store.create(place), make_model(f"model {number}"), "acme", "tiny", blobs={}, facts={})
    return place


def test_a_day_with_a_store(place):
    """Every command once, each seen by the next one."""
    assert "keeps what it was told" in _run("probe", "--store", place).stderr
    assert json.loads(_run("probe", "--json", "--store", place).stdout)["refuses_second"] is True
    _run("yank", "acme/tiny/2", "--why", "labels were swapped", "--by", "anna", "--store", place)
    assert "was so before" in _run("yank", "acme/tiny/2", "--why", "again", "--store", place).stderr
    _run("alias", "champion", "acme/tiny/1", "--why", "best so far", "--by", "anna", "--store", place)
    rows = json.loads(_run("ls", "--json", "--store", place).stdout)
    assert [(row["name"], row["status"]) for row in rows] == [("acme/tiny/2", "yanked"), ("acme/tiny/1", "published")]
    model = json.loads(_run("show", "acme/tiny", "--json", "--store", place).stdout)
    assert model["newest"] == 1 and model["aliases"] == ["champion 1"] and len(model["log"]) == 2
    version = json.loads(_run("show", "acme/tiny/2", "--json", "--store", place).stdout)
    assert version["status"] == "yanked" and version["why"].startswith("labels were swapped (anna, ")
    assert "champion" in _run("show", "acme/tiny/1", "--store", place).stdout
    _run("unyank", "acme/tiny/2", "--why", "they were not", "--store", place)
    _run("quarantine", "acme/tiny/2", "--why", "leaks", "--store", place)
    _run("alias", "champion", "acme/tiny/2", "--why", "newer", "--store", place, expected=1)
    _run("release", "acme/tiny/2", "--why", "it does not", "--store", place)
    _run("alias", "champion", "acme/tiny/2", "--why", "newer", "--instead-of", "9", "--store", place, expected=1)
    _run("alias", "champion", "acme/tiny", "--drop", "--why", "none is", "--store", place)
    assert json.loads(_run("show", "acme/tiny", "--json", "--store", place).stdout)["aliases"] == []
    assert (
        _run("fsck", "--store", place).stdout == "" and _run("gc", "--grace-hours", "0", "--store", place).stdout == ""
    )


def test_n11_an_alias_names_a_version_in_every_command(place):
    _run("alias", "champion", "acme/tiny/1", "--why", "best so far", "--store", place)
    shown = json.loads(_run("show", "acme/tiny@champion", "--json", "--store", place).stdout)
    assert (shown["name"], shown["aliases"]) == ("acme/tiny/1", ["champion"])
    assert _run("yank", "acme/tiny@champion", "--why", "odd", "--store", place).stderr.startswith("acme/tiny/1: yank")
    assert "which means nothing" in _run("show", "acme/tiny@nobody", "--store", place, expected=1).stderr


def test_damage_is_named_and_mended(place, tmp_path):
    store = Store.open(place)
    digest = store.newest("acme", "tiny").archive.digest
    key = layout.blob_key(digest)
    (tmp_path / "kept.tar.gz").write_bytes(store.read_blob(digest))
    store.backend.delete(key)
    result = _run("fsck", "--store", place, expected=1)
    assert result.stdout == f"missing      {key} {digest} acme/tiny/2 names it.\n"
    (finding,) = json.loads(_run("fsck", "--json", "--store", place, expected=1).stdout)["findings"]
    assert (finding["kind"], finding["key"], finding["digest"], finding["damage"]) == ("missing", key, digest, True)
    assert f"lost    {key}" in _run("repair", "--store", place, expected=1).stdout
    assert _run("repair", "--from", tmp_path / "kept.tar.gz", "--store", place).stdout == f"mended  {key}\n"
    assert _run("fsck", "--store", place).stdout == ""


def test_gc_tells_what_it_would_remove_and_removes_it(place):
    store = Store.open(place)
    digest = store.newest("acme", "tiny").archive.digest
    store.backend.delete("m/acme/tiny/2/manifest.json")
    assert _run("gc", "--store", place).stdout == ""
    dry = _run("gc", "--dry-run", "--grace-hours", "0", "--store", place)
    assert dry.stdout.startswith(layout.blob_key(digest)) and store.backend.stat(layout.blob_key(digest))
    assert _run("gc", "--grace-hours", "0", "--store", place).stdout == f"removed   {digest}\n"
    assert store.backend.stat(layout.blob_key(digest)) is None


def test_without_a_store_the_working_folders_is_meant(tmp_path):
    _run("init", "--workdir", tmp_path / "work")
    assert (tmp_path / "work" / "store" / "store.json").is_file()
    assert json.loads(_run("ls", "--json", "--workdir", tmp_path / "work").stdout) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "--store", "ftp://host/x"], 2),
        (["yank", "acme/tiny", "--why", "x"], 2),
        (["yank", "acme/tiny/1", "--why", "x"], 1),
        (["alias", "latest", "acme/tiny/1", "--why", "x"], 2),
        (["show", "acme"], 2),
        (["init", "--store", "/proc/store"], 3),
        (["repair", "--from", "nowhere"], 2),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_its_code(words, code, tmp_path):
    if words[0] == "repair":
        words = [*words, "--workdir", str(tmp_path)]
    _run(*words, *([] if "--store" in words or "--workdir" in words else ["--workdir", str(tmp_path)]), expected=code)


def test_help_needs_no_library_of_a_cloud():
    code = "import sys; import piecehub.cli.main; sys.exit('obstore' in sys.modules or 'starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], cwd=Path.cwd(), check=False).returncode == 0
