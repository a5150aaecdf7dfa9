"""Deflated and stored archives: equal bytes from any number of threads, any feeding, and little memory."""

import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import zlib

import pytest

from piecehub.facts.content import list_files
from piecehub.facts.progress import Count, progress_to
from piecehub.store import archive
from piecehub.store.archive import Compression
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.store.stored import StoredGzip

KINDS = list(Compression)


@pytest.mark.parametrize("compression", KINDS)
def test_any_number_of_threads_gives_equal_bytes(compression, make_model, tmp_path):
    model = make_model()
    noise = random.Random(3).randbytes(3_000_001)
    (model / "variables" / "noise").write_bytes(noise + bytes(4_000_000) + noise[:999_999])
    packed = [archive.pack(model, tmp_path / f"{n}.gz", threads=n, compression=compression) for n in (1, 2, 3, 4, 8)]
    assert len(set(packed)) == 1
    data = (tmp_path / "1.gz").read_bytes()
    assert packed[0].sha256 == hashlib.sha256(data).hexdigest() and packed[0].size_bytes == len(data)
    archive.verify(tmp_path / "8.gz", list_files(model))


def test_both_kinds_hold_the_same_tar(make_model, tmp_path):
    model = make_model()
    for kind in KINDS:
        archive.pack(model, tmp_path / kind, compression=kind)
    deflated, stored = ((tmp_path / kind).read_bytes() for kind in KINDS)
    assert gzip.decompress(deflated) == gzip.decompress(stored) and len(deflated) < len(stored) / 2
    archive.unpack(tmp_path / Compression.STORE, tmp_path / "back")
    assert list_files(tmp_path / "back") == list_files(model)


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 131_070, 1_000_003])
def test_stored_bytes_are_a_gzip_for_other_readers_however_they_are_fed(size):
    data = random.Random(size).randbytes(size)
    written: set[bytes] = set()
    for step in (1 << 20, 65_535, 1000 if size > 1 else 1):
        sink = io.BytesIO()
        with StoredGzip(sink) as packed:
            for start in range(0, size, step):
                packed.write(data[start : start + step])
        written.add(sink.getvalue())
    (found,) = written
    assert gzip.decompress(found) == data and zlib.decompress(found, 31) == data
    assert found[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    assert len(found) == 10 + size + 5 * -(-size // 65_535) + 5 + 8


def test_no_flipped_bit_of_a_stored_archive_goes_unseen(make_model, tmp_path):
    """Nothing in it is without meaning, except what no reader reads: the header's flags of time and system."""
    model = make_model("x")
    archive.pack(model, tmp_path / "a.gz", compression=Compression.STORE)
    whole, files = (tmp_path / "a.gz").read_bytes(), list_files(model)
    generator = random.Random(1)
    for position in [
        *range(10, 30),
        *generator.sample(range(30, len(whole)), 150),
        *range(len(whole) - 13, len(whole)),
    ]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << generator.randrange(8)
        (tmp_path / "b.gz").write_bytes(flipped)
        try:
            archive.verify(tmp_path / "b.gz", files)
        except archive.ArchiveError:
            continue
        assert gzip.decompress(flipped) == gzip.decompress(whole), position


def test_the_manifest_says_how_and_the_content_is_the_same_version(store: Store, make_model):
    first = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}, compression=Compression.STORE)
    assert store.manifest(first.handle).compression == "gzip, stored"
    again = publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    assert not again.created and again.digest == first.digest
    other = publish(store, make_model("other"), "acme", "tiny", blobs={}, facts={})
    assert store.manifest(other.handle).compression.startswith("gzip, ISA-L level 2 (isal ")


PEAK = """
import sys
from pathlib import Path
from piecehub.facts.content import list_files
from piecehub.facts.progress import Count, progress_to
from piecehub.store import archive
model, to = Path(sys.argv[1]), Path(sys.argv[2])
def peak_mb():  # of this program; getrusage's would be that of the process that it was forked from
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
before = peak_mb()
archive.pack(model, to, compression=archive.Compression(sys.argv[3]))
archive.verify(to, list_files(model))
print(before, peak_mb())
"""


@pytest.mark.parametrize("compression", KINDS)
def test_packing_and_reading_back_300_mb_takes_less_than_200_mb(compression, tmp_path):
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    block = os.urandom(1 << 20)
    with (tmp_path / "model" / "variables" / "data").open("wb") as file:
        for number in range(300):
            file.write(block[number:] + block[:number])
    command = [sys.executable, "-P", "-c", PEAK, tmp_path / "model", tmp_path / "a.gz", compression]
    before_mb, peak_mb = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert 10 < before_mb < peak_mb < 200


def test_packing_and_reading_back_tell_how_many_bytes_went_through(make_model, tmp_path):
    model, told = make_model(), []
    (model / "variables" / "noise").write_bytes(random.Random(3).randbytes(3_000_001))
    total = sum(file.size_bytes for file in list_files(model))
    with progress_to(told.append):
        archive.pack(model, tmp_path / "a.gz")
        archive.verify(tmp_path / "a.gz", list_files(model))
    for phase in ("packing", "reading back"):
        counts = [value.counts[0] for value in told if value.phase == phase and value.counts]
        assert counts[-1].text == Count("bytes", total, total).text
