"""What reaches the disk, and in which order: a crash shows it only where the machine loses its power."""

import os
from pathlib import Path
from typing import Any

import pytest

from piecehub.store import layout
from piecehub.store.posix import PosixBackend
from piecehub.store.publish import publish

Call = tuple[str, str]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Each fsync, link and rename of this process from now on, in order, with the path that it makes durable or gives.

    Paths are relative to `tmp_path`; folders of staging, whose names are drawn, are called `*`.
    """
    seen: list[Call] = []

    def note(call: str, path: Any) -> None:
        parts = list(Path(path).relative_to(tmp_path).parts)
        seen.append((call, "/".join("*" if parts[i - 1 : i] == ["tmp"] else part for i, part in enumerate(parts))))

    fsync, link, replace, rename = os.fsync, os.link, os.replace, os.rename

    def noted_fsync(descriptor: int) -> None:
        note("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def noted_link(source: Any, target: Any, **more: Any) -> None:
        note("link", target)
        link(source, target, **more)

    def noted_replace(source: Any, target: Any) -> None:
        note("replace", target)
        replace(source, target)

    def noted_rename(source: Any, target: Any) -> None:
        note("rename", target)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(os, "rename", noted_rename)
    return seen


def test_an_object_is_on_the_disk_before_its_name_and_its_name_before_anything_later(
    tmp_path: Path, calls: list[Call]
) -> None:
    backend = PosixBackend(tmp_path / "store")
    assert backend.create("m/acme/manifest.json", b"{}")
    assert calls == [
        ("fsync", "store/tmp/*/draft"),
        ("fsync", "store/m"),
        ("fsync", "store"),
        ("link", "store/m/acme/manifest.json"),
        ("fsync", "store/m/acme"),
    ]


def test_a_blob_is_on_the_disk_before_its_name_and_its_name_before_anything_later(
    tmp_path: Path, calls: list[Call]
) -> None:
    backend = PosixBackend(tmp_path / "store")
    with backend.staging() as staging:
        (staging / "archive").write_bytes(b"archive")
        backend.put("blobs/ab", staging / "archive")
        assert calls == [
            ("fsync", "store/tmp/*/archive"),
            ("link", "store/tmp/*/archive.twin"),
            ("fsync", "store"),
            ("replace", "store/blobs/ab"),
            ("fsync", "store/blobs"),
        ]


def test_every_blob_of_a_version_is_durable_before_its_manifest_has_a_name(
    store: Any, make_model: Any, calls: list[Call]
) -> None:
    handle = publish(store, make_model(), "acme", "tiny", blobs={"a.json": b"[1]"}, facts={}).handle
    manifest = store.manifest(handle)
    commit = calls.index(("link", f"store/{layout.manifest_key(handle)}"))
    for blob in (manifest.archive, *manifest.blobs):
        place = f"store/{layout.blob_key(blob.digest)}"
        named = calls.index(("replace", place))
        twin = max(i for i, (call, _) in enumerate(calls[:named]) if call == "link")
        draft = calls[twin][1].removesuffix(".twin")
        synced = calls.index(("fsync", draft))
        folder = calls.index(("fsync", place.rpartition("/")[0]), named)
        assert synced < twin < named < folder < commit
    # The manifest's own bytes, too; and its name before the publisher is told.
    assert calls[commit - 1][0] == "fsync" and ("fsync", "store/tmp/*/draft") in calls[folder:commit]
    assert calls[commit + 1] == ("fsync", f"store/{layout.manifest_key(handle).rpartition('/')[0]}")
