"""Archives that nobody should trust: one sentence, and nothing left behind."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from piecehub.errors import ArchiveError
from piecehub.store import archive, members

Tar = tarfile.TarFile


def _file(tar: Tar, name: str, data: bytes = b"x") -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _special(tar: Tar, name: str, kind: bytes, target: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    tar.addfile(info)


def _extended(tar: Tar, headers: dict[str, str]) -> None:
    info = tarfile.TarInfo("variables/data")
    info.pax_headers, info.size = headers, 1
    tar.addfile(info, io.BytesIO(b"x"))


def _chain(tar: Tar) -> None:
    """Extended headers on extended headers: Python's reader calls itself for each."""
    header = tarfile.TarInfo("pax")
    header.type = tarfile.XHDTYPE
    for _ in range(1500):
        tar.fileobj.write(header.tobuf(tarfile.USTAR_FORMAT))  # type: ignore[union-attr]


HOSTILE: dict[str, Callable[[Tar], object]] = {
    "parent": lambda tar: _file(tar, "../escaped"),
    "parent inside": lambda tar: _file(tar, "assets/../../escaped"),
    "backslash": lambda tar: _file(tar, "..\\escaped"),
    "absolute": lambda tar: _file(tar, "/tmp/escaped-of-piecehub"),
    "symlink": lambda tar: _special(tar, "link", tarfile.SYMTYPE, "/etc/passwd"),
    "hardlink": lambda tar: _special(tar, "link", tarfile.LNKTYPE, "saved_model.pb"),
    "fifo": lambda tar: _special(tar, "pipe", tarfile.FIFOTYPE),
    "device": lambda tar: _special(tar, "null", tarfile.CHRTYPE),
    "unknown kind": lambda tar: _special(tar, "what", b"Z"),
    "duplicate": lambda tar: _file(tar, "saved_model.pb"),
    "same by another spelling": lambda tar: _file(tar, "./saved_model.pb"),
    "other case": lambda tar: _file(tar, "Saved_Model.pb"),
    "other normal form": lambda tar: (_file(tar, "\u00e9"), _file(tar, "e\u0301")),
    "below a file": lambda tar: _file(tar, "saved_model.pb/inside"),
    "file over a folder": lambda tar: (_file(tar, "assets/a"), _file(tar, "assets")),
    "folder twice": lambda tar: (_special(tar, "d", tarfile.DIRTYPE), _special(tar, "d", tarfile.DIRTYPE)),
    "the root as a file": lambda tar: _file(tar, "."),
    "newline": lambda tar: _file(tar, "a\nb"),
    "no utf-8": lambda tar: _file(tar, "a\udcffb"),
    "long segment": lambda tar: _file(tar, "a" * 256),
    "long path": lambda tar: _file(tar, "/".join(["abcdefg"] * 200)),
    "bomb": lambda tar: _file(tar, "zeros", bytes(3_000_000)),
    "bomb in a header": lambda tar: _extended(tar, {"comment": "z" * 3_000_000}),
    "sparse bomb": lambda tar: _extended(
        tar, {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    ),
    "small sparse file": lambda tar: _extended(
        tar, {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1", "GNU.sparse.size": "100"}
    ),
    "size below 0": lambda tar: _extended(tar, {"size": "-512"}),
    "size beyond all bounds": lambda tar: _extended(tar, {"size": str(1 << 60)}),
    "chain of headers": _chain,
}


def _make(path: Path, write: Callable[[Tar], object], *, model: str = "saved_model.pb") -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, encoding="utf-8", compresslevel=1) as tar:
        _file(tar, model)
        write(tar)
    return path


def _refused(path: Path, tmp_path: Path, **bounds: int) -> str:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        archive.unpack(path, tmp_path / "model", **bounds)
    assert sorted(tmp_path.rglob("*")) == before
    return caught.value.sentence


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_leaves_nothing(kind, tmp_path):
    path = _make(tmp_path / "a.tar.gz", HOSTILE[kind])
    sentence = _refused(path, tmp_path, max_bytes=1_000_000)
    assert sentence.startswith("Expected") and "Received:" in sentence and len(sentence) < 500
    assert not Path("/tmp/escaped-of-piecehub").exists() and not (tmp_path.parent / "escaped").exists()


def test_the_same_archive_without_hostility_unpacks(tmp_path):
    path = _make(tmp_path / "a.tar.gz", lambda tar: (_file(tar, "./assets/a"), _special(tar, "./", tarfile.DIRTYPE)))
    archive.unpack(path, tmp_path / "model")
    assert (tmp_path / "model" / "assets" / "a").read_bytes() == b"x"


def test_bounds_are_exact(tmp_path):
    path = _make(tmp_path / "a.tar.gz", lambda tar: _file(tar, "ten", b"0123456789"))
    assert "beyond" in _refused(path, tmp_path, max_bytes=10)
    archive.unpack(path, tmp_path / "model", max_bytes=11)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    path = _make(tmp_path / "a.tar.gz", lambda tar: [_file(tar, f"f{number}") for number in range(10)])
    monkeypatch.setattr(members, "MAX_MEMBERS", 10)
    assert "'f9' beyond" in _refused(path, tmp_path)
    monkeypatch.setattr(members, "MAX_MEMBERS", 11)
    archive.unpack(path, tmp_path / "model")


def test_an_archive_without_a_model_is_refused(tmp_path):
    path = _make(tmp_path / "a.tar.gz", lambda tar: None, model="wrapped/saved_model.pb")
    assert "no 'saved_model.pb'" in _refused(path, tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>not found</html>" * 50, gzip.compress(b"no tar" * 300, mtime=0), bytes(2000)],
    ids=["nothing", "html", "gzip of no tar", "zeros"],
)
def test_what_is_no_archive_is_refused(data, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(data)
    assert "cannot be read" in _refused(tmp_path / "a.tar.gz", tmp_path)


def test_every_truncation_is_refused(make_model, tmp_path):
    archive.pack(make_model(), tmp_path / "whole.gz")
    whole = (tmp_path / "whole.gz").read_bytes()
    for length in [*range(0, len(whole), 25), len(whole) - 1, len(whole) - 8]:
        (tmp_path / "cut.gz").write_bytes(whole[:length])
        _refused(tmp_path / "cut.gz", tmp_path)


def test_a_wrong_checksum_or_trailing_bytes_are_refused(make_model, tmp_path):
    archive.pack(make_model(), tmp_path / "a.gz")
    whole = (tmp_path / "a.gz").read_bytes()
    for data in (whole[:-8] + bytes(4) + whole[-4:], whole + b"garbage"):
        (tmp_path / "b.gz").write_bytes(data)
        _refused(tmp_path / "b.gz", tmp_path)


def test_the_checksum_is_read_even_far_behind_the_last_member(tmp_path):
    plain = gzip.decompress(_make(tmp_path / "a.tar.gz", lambda tar: None).read_bytes()) + bytes(1_500_000)
    whole = gzip.compress(plain, 1)
    (tmp_path / "a.tar.gz").write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    _refused(tmp_path / "a.tar.gz", tmp_path)
    (tmp_path / "a.tar.gz").write_bytes(whole)
    archive.unpack(tmp_path / "a.tar.gz", tmp_path / "model")


def test_a_bomb_behind_the_last_member_is_refused(tmp_path):
    """200 KB that become 200 MB of zeros after the archive's end."""
    plain = gzip.decompress(_make(tmp_path / "a.tar.gz", lambda tar: None).read_bytes())
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(plain + bytes(200_000_000), 1))
    _refused(tmp_path / "a.tar.gz", tmp_path)


def test_members_of_gzip_that_follow_each_other_are_bounded_too(tmp_path):
    whole = _make(tmp_path / "a.tar.gz", lambda tar: None).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole + gzip.compress(bytes(100_000_000), 1))
    _refused(tmp_path / "a.tar.gz", tmp_path)
