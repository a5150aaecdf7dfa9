"""A blob as an answer: its digest as ETag, parts of it, and never a wrong one to its end.

A whole blob is sent in chunks, without a Content-Length. The client of tensorflow_hub 0.16.1 does not compare lengths:
a body cut between two members would stand in its cache for ever, even once the server is well again (2.5 % of all
cuts, measured). A chunked body that is cut raises IncompleteRead, and the cache stays clean.

That is also how a damaged blob is kept from clients that check nothing: the bytes are hashed on their way, and the last
of them are sent only if the digest is right; else the connection breaks off. A file that was found right is not hashed
again until it changes. Requests for a Range, and HEAD, get the length, and no such check.
"""

import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Send

from piecehub.errors import PiecehubError, StoreError
from piecehub.facts.manifest import Blob
from piecehub.store import layout
from piecehub.store.backend import Backend, Entry
from piecehub.store.file_blocks import file_blocks

_BLOCK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)
_log = logging.getLogger(__name__)


class SoundFiles:
    """The files whose bytes had their digest when they were last read, as they stood then."""

    def __init__(self) -> None:
        self._seen: dict[str, Entry] = {}

    def holds(self, standing: Entry) -> bool:
        """Whether this file, of this size and time, was found right."""
        return self._seen.get(standing.key) == standing

    def note(self, standing: Entry) -> None:
        """Remembers it."""
        self._seen[standing.key] = standing


def blob_response(
    request: Request, backend: Backend, blob: Blob, headers: dict[str, str], sound: SoundFiles
) -> Response:
    """The blob, the part of it that was asked for, or that the client has it already.

    Raises:
        StoreError: if there is no such blob, or one of another size.
        HTTPException: 416 for a part beyond its end.
    """
    key = layout.blob_key(blob.digest)
    standing = backend.stat(key)
    if standing is None or standing.size_bytes != blob.size_bytes:
        raise StoreError(f"Expected {blob.size_bytes} bytes of {blob.digest}. Received: {standing}; restore it.")
    headers = headers | {"ETag": f'"{blob.digest}"'}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers |= {"Accept-Ranges": "bytes", "Repr-Digest": _repr_digest(blob.digest)}
    path = backend.local_path(key)
    if request.method != "HEAD" and "range" not in request.headers:
        known = path if sound.holds(standing) else None
        blocks = _counted(known, blob) if known else _checked(backend.stream(key), blob, standing, sound)
        return _ChunkedResponse(blocks, headers=headers, media_type=blob.media_type)
    if path is not None:
        return _BlockFileResponse(path, headers=headers, media_type=blob.media_type)
    return _part_of_bucket(request, backend, blob, headers)


def is_known(request: Request, etag: str) -> bool:
    """Whether the client holds these bytes already (RFC 9110, 13.1.2: weak comparison, a list, or '*')."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def _checked(blocks: Iterable[bytes], blob: Blob, standing: Entry, sound: SoundFiles) -> Iterator[bytes]:
    """Hands the bytes on, the last block only if all of them have the digest."""
    sha256, held = hashlib.sha256(), b""
    for block in blocks:
        sha256.update(block)
        if held:
            yield held
        held = block
    if f"sha256:{sha256.hexdigest()}" != blob.digest:
        raise StoreError(
            f"Expected the bytes of {blob.digest}. Received: others (sha256:{sha256.hexdigest()}); the answer was "
            "broken off, run `piecehub store repair`."
        )
    sound.note(standing)
    yield held


async def _counted(path: Path, blob: Blob) -> AsyncIterator[memoryview]:
    """Hands a file's bytes on; one that was cut meanwhile does not look like a whole one."""
    left = blob.size_bytes
    async for block in file_blocks(path):
        left -= len(block)
        yield block
    if left:
        raise StoreError(f"Expected {blob.size_bytes} bytes of {blob.digest}. Received: {left} fewer; restore it.")


class _ChunkedResponse(StreamingResponse):
    """Sends blocks; if they end in an error, the last chunk is never sent, so the client knows that it was cut."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except PiecehubError as error:
            _log.error(error.sentence)


class _BlockFileResponse(FileResponse):
    chunk_size = _BLOCK_BYTES


def _part_of_bucket(request: Request, backend: Backend, blob: Blob, headers: dict[str, str]) -> Response:
    """What a HEAD, or a Range `bytes=a-b` or `bytes=a-`, asks for; all for any other Range (RFC 9110, 14.2)."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        start, end, status = 0, blob.size_bytes, 200
    else:
        start, end, status = int(asked[1]), min(int(asked[2] or blob.size_bytes) + 1, blob.size_bytes), 206
        headers |= {"Content-Range": f"bytes {start}-{end - 1}/{blob.size_bytes}"}
        if start >= end:
            unmet = {"Content-Range": f"bytes */{blob.size_bytes}"}
            raise HTTPException(416, "Expected a part of the file. Received: one beyond its end.", unmet)
    headers |= {"Content-Length": str(end - start)}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=blob.media_type)
    body = backend.stream(layout.blob_key(blob.digest), start, end)
    return _ChunkedResponse(body, status, headers, blob.media_type)


def _repr_digest(digest: str) -> str:
    """The digest as the field of RFC 9530 has it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest.partition(':')[2])).decode()}:"
