"""Archives: equal bytes, the rules of the hub client, and a way back."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from piecehub.errors import ArchiveError, EnvironmentProblem
from piecehub.facts.content import FileEntry, list_files
from piecehub.store import archive


def _members(path: Path) -> list[tarfile.TarInfo]:
    """The members as Python's own tarfile and zlib read them."""
    with tarfile.open(path, "r:gz") as tar:
        return tar.getmembers()


def test_equal_files_give_equal_bytes_for_any_number_of_threads(make_model, tmp_path):
    one, two = make_model("weights", "one"), make_model("weights", "two")
    big = bytes(range(256)) * 4096 * 5
    for folder in (one, two):
        (folder / "variables" / "big").write_bytes(big)
    (two / "empty").mkdir()  # a folder without files is no content
    (two / "saved_model.pb").chmod(0o600)
    packed = [archive.pack(folder, tmp_path / f"{n}.gz", threads=n) for n, folder in [(1, one), (2, two), (3, one)]]
    assert packed[0] == packed[1] == packed[2]
    assert packed[0].sha256 == hashlib.sha256((tmp_path / "2.gz").read_bytes()).hexdigest()
    assert packed[0].size_bytes == (tmp_path / "2.gz").stat().st_size


def test_another_process_writes_the_same_bytes(make_model, tmp_path):
    model = make_model()
    here = archive.pack(model, tmp_path / "here.gz")
    program = "import sys; from pathlib import Path; from piecehub.store.archive import pack; "
    program += "print(pack(Path(sys.argv[1]), Path(sys.argv[2])).sha256)"
    command = [sys.executable, "-P", "-c", program, str(model), str(tmp_path / "there.gz")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == here.sha256


def test_another_byte_gives_another_archive(make_model, tmp_path):
    assert archive.pack(make_model("a"), tmp_path / "a.gz") != archive.pack(make_model("b"), tmp_path / "b.gz")


def test_folders_come_first_and_the_model_last(make_model, tmp_path):
    archive.pack(make_model(), tmp_path / "a.gz")
    assert [m.name for m in _members(tmp_path / "a.gz")] == [
        "assets",
        "variables",
        "assets/vocabulary.txt",
        "fingerprint.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
        "saved_model.pb",
    ]


def test_members_tell_no_time_owner_or_mode(make_model, tmp_path):
    archive.pack(make_model(), tmp_path / "a.gz")
    for member in _members(tmp_path / "a.gz"):
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == (0o755 if member.isdir() else 0o644)
    header = (tmp_path / "a.gz").read_bytes()[:10]
    assert header[3] == 0 and header[4:8] == bytes(4)  # no extra fields, no time
    assert gzip.decompress((tmp_path / "a.gz").read_bytes())[257:265] == b"ustar\x0000"


def test_long_names_and_folders_in_folders_survive(make_model, tmp_path):
    model = make_model()
    long = model / "assets" / ("d" * 120) / ("f" * 150)
    long.parent.mkdir()
    long.write_bytes(b"long")
    (model / "assets" / "größe.txt").write_bytes(b"1")
    archive.pack(model, tmp_path / "a.gz")
    archive.verify(tmp_path / "a.gz", list_files(model))
    archive.unpack(tmp_path / "a.gz", tmp_path / "back")
    assert list_files(tmp_path / "back") == list_files(model)


def test_members_over_8_gib_get_an_extended_header():
    header = archive._header("big", tarfile.REGTYPE, 0o644, 9 << 30)
    assert archive._fits_ustar(archive._header("big", tarfile.REGTYPE, 0o644, (8 << 30) - 1))
    assert not archive._fits_ustar(header)
    assert tarfile.TarInfo.frombuf(header.tobuf(tarfile.PAX_FORMAT)[:512], "utf-8", "strict").type == tarfile.XHDTYPE


def test_packing_needs_a_model_without_links(make_model, tmp_path):
    with pytest.raises(ArchiveError, match=r"holds no 'saved_model\.pb'"):
        archive.pack(tmp_path, tmp_path / "a.gz")
    model = make_model()
    (model / "link").symlink_to("saved_model.pb")
    with pytest.raises(ArchiveError, match="Expected only regular files"):
        archive.pack(model, tmp_path / "a.gz")


def test_verify_asks_for_the_model_as_the_last_member(make_model, tmp_path):
    """Clients take a folder with saved_model.pb for whole, so a download that was cut must not have it yet."""
    model = make_model()
    for name, names in {
        "right": ["variables", "assets", "fingerprint.pb", "saved_model.pb"],
        "wrong": ["saved_model.pb", "variables", "assets", "fingerprint.pb"],
    }.items():
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for entry in names:
                tar.add(model / entry, entry)
    archive.verify(tmp_path / "right", list_files(model))
    with pytest.raises(
        ArchiveError, match=r"and 'saved_model\.pb' last\. Received: \['fingerprint\.pb'\], without \[\]"
    ):
        archive.verify(tmp_path / "wrong", list_files(model))


def test_verify_names_the_file_that_differs(make_model, tmp_path):
    model = make_model()
    archive.pack(model, tmp_path / "a.gz")
    files = list_files(model)
    archive.verify(tmp_path / "a.gz", files)
    for changed in (
        [*files[1:]],
        [*files, FileEntry("more", 0, hashlib.sha256().hexdigest())],
        [FileEntry(files[0].path, files[0].size_bytes, "0" * 64), *files[1:]],
    ):
        with pytest.raises(ArchiveError):
            archive.verify(tmp_path / "a.gz", changed)


def test_no_flipped_bit_changes_a_file_unseen(make_model, tmp_path):
    model = make_model()
    archive.pack(model, tmp_path / "a.gz")
    whole, files = (tmp_path / "a.gz").read_bytes(), list_files(model)
    unseen = 0
    for position in range(10, len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        (tmp_path / "b.gz").write_bytes(flipped)
        try:
            archive.verify(tmp_path / "b.gz", files)
        except ArchiveError:
            continue
        # Deflate has bits without meaning, such as the length of a code that is never used.
        assert gzip.decompress(flipped) == gzip.decompress(whole)
        unseen += 1
    assert unseen < len(whole) / 10


def test_an_existing_folder_is_not_replaced(make_model, tmp_path):
    archive.pack(make_model(), tmp_path / "a.gz")
    (tmp_path / "back").mkdir()
    with pytest.raises(EnvironmentProblem, match="File exists"):
        archive.unpack(tmp_path / "a.gz", tmp_path / "back")
    with pytest.raises(EnvironmentProblem, match="No such file"):
        archive.unpack(tmp_path / "a.gz", tmp_path / "nowhere" / "back")


def test_system_tar_reads_what_we_pack(make_model, tmp_path):
    if shutil.which("tar") is None:
        pytest.skip("this machine has no tar")
    model = make_model()
    archive.pack(model, tmp_path / "a.gz")
    (tmp_path / "back").mkdir()
    subprocess.run(["tar", "-xzf", str(tmp_path / "a.gz"), "-C", str(tmp_path / "back")], check=True)
    assert list_files(tmp_path / "back") == list_files(model)
