"""X3: a SavedModel that travels as an archive, and archives that do not."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from piecehub.conformance.archive_rules import archive_finding
from piecehub.store.archive import pack
from tests.conformance.broken_models import of, plain

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of(plain)(tmp_path_factory.mktemp("saved") / "model")


def _members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return [(info, b"" if info.isdir() else tar.extractfile(info).read()) for info in tar]


def _written(members: Members, path: Path) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(raw.getvalue()))
    return path


def _without_folders(members: Members) -> Members:
    return [(info, data) for info, data in members if not info.isdir()]


def _folders_last(members: Members) -> Members:
    return sorted(members, key=lambda member: member[0].isdir())


def _in_a_folder(members: Members) -> Members:
    folder = tarfile.TarInfo("model")
    folder.type = tarfile.DIRTYPE
    for info, _ in members:
        info.name = f"model/{info.name}"
    return [(folder, b""), *members]


def _with_link(members: Members) -> Members:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "saved_model.pb"
    return [*members, (link, b"")]


def _leaving(members: Members) -> Members:
    return [*members, (tarfile.TarInfo("../outside"), b"")]


def test_what_piecehub_packs_travels(saved: Path, tmp_path: Path) -> None:
    pack(saved, tmp_path / "model.tar.gz")
    found = archive_finding(tmp_path / "model.tar.gz")
    assert (found.check, found.level, found.passed) == ("X3", "fail", True), found.sentence


def test_what_tar_packs_as_the_guide_says_travels(saved: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:  # as `tar -cz -f model.tar.gz -C dir .`
        tar.add(saved, arcname=".")
    assert archive_finding(tmp_path / "model.tar.gz").passed is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_folders, "every folder as a member"),
        (_folders_last, "every folder as a member"),
        (_in_a_folder, "at the archive's root"),
        (_with_link, "regular files"),
        (_leaving, "plain path"),
    ],
)
def test_an_archive_that_breaks_a_rule_falls_short(
    change: Callable[[Members], Members], words: str, saved: Path, tmp_path: Path
) -> None:
    pack(saved, tmp_path / "good.tar.gz")
    found = archive_finding(_written(change(_members(tmp_path / "good.tar.gz")), tmp_path / "model.tar.gz"))
    assert found.passed is False
    assert words in found.sentence and found.sentence.startswith("Expected ")


def test_a_damaged_archive_falls_short(saved: Path, tmp_path: Path) -> None:
    pack(saved, tmp_path / "model.tar.gz")
    whole = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(whole[: len(whole) // 2])
    found = archive_finding(tmp_path / "model.tar.gz")
    assert found.passed is False and "cannot be read" in found.sentence
