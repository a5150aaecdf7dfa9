"""X3: a SavedModel travels as a .tar.gz that the unmodified client of TensorFlow Hub unpacks from a web server.

The client checks nothing: it takes links for errors, needs every folder as a member before its files, and keeps
whatever it unpacked for ever (measured on tensorflow_hub 0.16.1).
"""

import os
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

from piecehub.conformance.loaded import STRANGERS, Loaded
from piecehub.conformance.verdict import Verdict, held, short
from piecehub.errors import ArchiveError
from piecehub.facts.conformance_report import Finding
from piecehub.facts.content import FileEntry, list_files
from piecehub.store.archive import MAX_UNPACKED_BYTES, pack
from piecehub.store.members import one_sentence, read_members
from piecehub.store.proxies import directly_here

_ARCHIVE = "model.tar.gz"
_REMEDY = "pack it with piecehub"


def travels(loaded: Loaded) -> Verdict:
    """X3 for a folder: packed twice it gives equal bytes, and the client gets its files back."""
    with tempfile.TemporaryDirectory(prefix="piecehub-archive-") as scratch:
        first, second = Path(scratch, _ARCHIVE), Path(os.devnull)  # of the second its digest is enough
        digests = {pack(loaded.folder, path).sha256 for path in (first, second)}
        if len(digests) != 1:
            return short("equal bytes from equal files", "two archives that differ", "report it to piecehub")
        return _arrives(first, list_files(loaded.folder))


def archive_finding(archive: Path) -> Finding:
    """X3 for an archive that somebody else packed."""
    verdict = archive_travels(archive)
    return Finding("X3", "travels as an archive", "fail", verdict.passed, verdict.sentence)


def archive_travels(archive: Path) -> Verdict:
    """X3 for an archive: it keeps the rules for its members, and the client unpacks it."""
    try:
        fault = _fault(archive)
    except ArchiveError as error:
        return Verdict(False, error.sentence)
    return fault or _arrives(archive, None)


def _fault(archive: Path) -> Verdict | None:
    """What breaks a rule for members; raises ArchiveError for what the reader refuses by itself (links, damage)."""
    folders, files = {"."}, set[str]()
    with one_sentence(archive):
        for member in read_members(archive, max_bytes=MAX_UNPACKED_BYTES):
            if member.data is None:
                folders.add(member.path)
                continue
            files.add(member.path)
            if (parent := str(PurePosixPath(member.path).parent)) not in folders:
                return short("every folder as a member, before its files", f"none for '{parent}'", _REMEDY)
    if "saved_model.pb" not in files:
        return short("'saved_model.pb' at the archive's root", "none there", "pack what the folder holds")
    return None


def _arrives(archive: Path, files: list[FileEntry] | None) -> Verdict:
    """The unmodified client gets the archive over loopback; `files` is what it must find in it, if known."""
    import tensorflow_hub as hub

    with tempfile.TemporaryDirectory(prefix="piecehub-client-") as cache, _served(archive) as url:
        with _environment(TFHUB_CACHE_DIR=cache, TFHUB_MODEL_LOAD_FORMAT="COMPRESSED"), directly_here(url):
            try:
                folder = Path(hub.resolve(url))
            except STRANGERS as error:
                what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
                return short("an archive that the client of TensorFlow Hub unpacks", what, _REMEDY)
        got = list_files(folder)
        if files is not None and got != files:
            return short("the files that were packed", "other ones in the client's cache", _REMEDY)
    return held(f"The client of TensorFlow Hub unpacks it: {archive.stat().st_size} bytes from a web server.")


@contextmanager
def _served(archive: Path) -> Generator[str, None, None]:
    """The address on this machine at which the archive is served."""
    handler = partial(_Silent, directory=str(archive.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{archive.name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _environment(**values: str) -> Generator[None, None, None]:
    """The client's own variables, for as long as it is called: it has no other settings."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
