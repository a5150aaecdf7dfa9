"""`cache doctor`: what would break the hub client, or is not what was published."""

import os
import time
from pathlib import Path

import pytest

from piecehub.errors import EnvironmentProblem
from piecehub.facts.content import list_files
from piecehub.signing.hub_cache import Kind, cache_folder, check_cache, descriptor_path, entry_name, purge

HANDLE = "http://127.0.0.1:1/acme/tiny/1"


def _entry(cache: Path, handle: str = HANDLE, *, files: bool = True) -> Path:
    """An entry as the client leaves it."""
    entry = cache / entry_name(handle)
    entry.mkdir(parents=True)
    descriptor_path(entry).write_text(f"Module: {handle}\nDownload Time: 2026-01-01\nDownloader Hostname: h (PID:1)")
    if files:
        (entry / "variables").mkdir()
        (entry / "variables" / "variables.index").write_bytes(b"index")
        (entry / "saved_model.pb").write_bytes(b"graph")
    return entry


def test_the_client_and_we_name_entries_and_the_cache_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert entry_name("https://tfhub.dev/a/b/1") == __import__("hashlib").sha1(b"https://tfhub.dev/a/b/1").hexdigest()
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("TFHUB_CACHE_DIR", "gs://bucket/cache")
    with pytest.raises(EnvironmentProblem, match="gs://bucket"):
        cache_folder()
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    assert cache_folder().name == "tfhub_modules"


def test_a_sound_cache_and_a_missing_one_have_nothing_wrong(tmp_path: Path) -> None:
    entry = _entry(tmp_path)
    (tmp_path / "notes.txt").write_text("not the client's")
    assert check_cache(tmp_path) == check_cache(tmp_path / "absent") == []
    assert check_cache(tmp_path, lambda handle: tuple(list_files(entry)) if handle == HANDLE else None) == []
    assert check_cache(tmp_path, lambda handle: None) == []


def test_each_thing_that_can_be_wrong_is_named_and_purged(tmp_path: Path) -> None:
    empty = _entry(tmp_path, "http://h/a/empty/1", files=False)
    cut = _entry(tmp_path, "http://h/a/cut/1")
    (cut / "saved_model.pb").unlink()
    orphan = descriptor_path(tmp_path / entry_name("http://h/a/orphan/1"))
    orphan.write_text("Module: http://h/a/orphan/1\n")
    secret = _entry(tmp_path, "http://h/a/private/1?token=very-secret")
    lock = tmp_path / f"{entry_name('http://h/a/killed/1')}.lock"
    lock.write_text("host.1.uid")
    partial = tmp_path / f"{entry_name('http://h/a/killed/1')}.uid.tmp"
    (partial / "variables").mkdir(parents=True)
    ours = tmp_path / f".{entry_name('http://h/a/killed/2')}.uid.tmp.xyz"
    ours.mkdir()
    long_ago = time.time() - 3600
    for path in (lock, partial / "variables", partial, ours):
        os.utime(path, (long_ago, long_ago))
    sound = _entry(tmp_path, "http://h/a/sound/1")
    found = {(f.kind, f.paths[0]): f for f in check_cache(tmp_path)}
    assert set(found) == {
        (Kind.NO_MODEL, empty),
        (Kind.NO_MODEL, cut),
        (Kind.ORPHAN, orphan),
        (Kind.TOKEN, secret),
        (Kind.LEFTOVER, lock),
        (Kind.LEFTOVER, partial),
        (Kind.LEFTOVER, ours),
    }
    assert found[Kind.NO_MODEL, cut].handle == "http://h/a/cut/1"
    assert not any("very-secret" in finding.handle + finding.sentence for finding in found.values())
    for finding in found.values():
        purge(finding)
    assert sorted(tmp_path.iterdir()) == sorted([sound, descriptor_path(sound)])


def test_a_download_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"{entry_name(HANDLE)}.lock").write_text("host.1.uid")
    growing = tmp_path / f"{entry_name(HANDLE)}.uid.tmp"
    growing.mkdir()
    os.utime(growing, (0, 0))
    (growing / "saved_model.pb").write_bytes(b"new bytes")
    assert check_cache(tmp_path) == []


@pytest.mark.parametrize("how", ["change", "add", "remove", "link"])
def test_files_that_are_not_the_published_ones_are_named(tmp_path: Path, how: str) -> None:
    entry = _entry(tmp_path)
    promised = tuple(list_files(entry))
    match how:
        case "change":
            (entry / "variables" / "variables.index").write_bytes(b"inder")
        case "add":
            (entry / "more").write_bytes(b"")
        case "remove":
            (entry / "variables" / "variables.index").unlink()
        case _:
            (entry / "link").symlink_to("/etc/hostname")
    (finding,) = check_cache(tmp_path, lambda _: promised)
    assert finding.kind is Kind.DIFFERS
    assert {"add": "more", "link": "link"}.get(how, "variables.index") in finding.sentence


def test_a_purge_never_follows_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / entry_name(HANDLE)).symlink_to(precious)
    (finding,) = check_cache(cache)
    purge(finding)
    assert (precious / "file").read_text() == "keep"
    assert not (cache / entry_name(HANDLE)).is_symlink()
