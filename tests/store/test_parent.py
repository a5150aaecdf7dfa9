"""The parent that a recipe starts from comes out of the store as it was published, or not at all."""

from pathlib import Path

import pytest

from piecehub.errors import StoreError
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine, yank
from piecehub.store.parent import SAVED_MODEL, look_up_parent, write_parent
from piecehub.store.publish import publish
from piecehub.store.source import keep_unpacked


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, str]:
    """A store with `acme/thing/1`, and the digest of its content."""
    model = tmp_path / "model"
    (model / "assets").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    (model / "assets" / "words.txt").write_text("a\nb\n")
    done = publish(Store.create(tmp_path / "store"), model, "acme", "thing", blobs={}, facts={})
    return tmp_path / "store", done.digest


def test_the_parent_is_unpacked_as_it_was_published(published: tuple[Path, str], tmp_path: Path) -> None:
    store, digest = published
    write_parent(store, "acme/thing/1", digest, tmp_path / "parent")
    assert content_digest(list_files(tmp_path / "parent" / SAVED_MODEL)) == digest


def test_other_content_under_the_handle_is_refused(published: tuple[Path, str], tmp_path: Path) -> None:
    store, _ = published
    with pytest.raises(StoreError, match="Expected the content sha256:0 of acme/thing/1"):
        write_parent(store, "acme/thing/1", "sha256:0", tmp_path / "parent")


def test_an_unknown_version_is_refused(published: tuple[Path, str], tmp_path: Path) -> None:
    store, digest = published
    with pytest.raises(StoreError, match="acme/thing/2"):
        write_parent(store, "acme/thing/2", digest, tmp_path / "parent")


def test_a3_a_quarantined_version_is_no_parent_and_is_not_loaded_by_its_handle(
    published: tuple[Path, str], tmp_path: Path
) -> None:
    store, digest = published
    quarantine(Store.open(store), Handle("acme", "thing", 1), by="anna", why="It runs code of others.")
    for take in (
        lambda: write_parent(store, "acme/thing/1", digest, tmp_path / "parent"),
        lambda: keep_unpacked("acme/thing/1", Workdir(tmp_path)),
    ):
        said = "it was taken"
        try:
            take()
        except StoreError as error:
            said = error.sentence
        assert "'acme/thing/1', quarantined on " in said and said.endswith(": It runs code of others.")


def test_the_look_up_tells_the_digest_as_long_as_the_version_may_be_used(
    published: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    place, digest = published
    store, handle = Store.open(place), Handle("acme", "thing", 1)
    assert look_up_parent("acme/thing/1", digest, str(place)) == {"digest": digest}
    yank(store, handle, by="anna", why="There is a better one.")
    assert look_up_parent("acme/thing/1", digest, str(place)) == {"digest": digest}
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Parent: acme/thing/1"
    assert second.startswith("Parent: acme/thing/1, yanked on 2") and second.endswith(": There is a better one.")
    with pytest.raises(StoreError, match="Expected the content sha256:0 of acme/thing/1"):
        look_up_parent("acme/thing/1", "sha256:0", str(place))
    quarantine(store, handle, by="anna", why="It runs code of others.")
    with pytest.raises(StoreError, match=r"quarantined on .*: It runs code of others\."):
        look_up_parent("acme/thing/1", digest, str(place))
