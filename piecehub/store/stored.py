"""gzip without compression, for models that would not get smaller: RFC 1952 around the stored blocks of RFC 1951.

    1f 8b 08 00  00 00 00 00  00 ff                 header: no name, no time, no system
    (00 | length, 2 bytes | its complement | bytes)*    blocks of 65,535 bytes, the last one may be shorter
    01 00 00 ff ff                                  the last block, empty
    crc32, 4 bytes | length modulo 2**32, 4 bytes

Written here, because what zlib writes at level 0 depends on its release and on how it is fed.
"""

import struct
from collections.abc import Callable
from typing import Any, Protocol, Self, cast

from isal import isal_zlib

_crc32 = cast(Callable[[bytes, int], int], cast(Any, isal_zlib).crc32)

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST = b"\x01\x00\x00\xff\xff"
_BLOCK_BYTES = 0xFFFF


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int:
        """Takes bytes."""
        ...


class StoredGzip:
    """Writes what it is given as one gzip member; equal bytes however they are cut into writes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pending = bytearray()
        self._crc32 = 0
        self._size_bytes = 0
        sink.write(_HEADER)

    def write(self, data: bytes) -> int:
        """Takes the next bytes."""
        self._crc32 = _crc32(data, self._crc32)
        self._size_bytes += len(data)
        self._pending += data
        whole = len(self._pending) // _BLOCK_BYTES * _BLOCK_BYTES
        view = memoryview(self._pending)
        blocks = [_block(view[start : start + _BLOCK_BYTES]) for start in range(0, whole, _BLOCK_BYTES)]
        view.release()
        del self._pending[:whole]
        if blocks:
            self._sink.write(b"".join(blocks))
        return len(data)

    def close(self) -> None:
        """Writes what is left, and the trailer."""
        rest = _block(memoryview(self._pending)) if self._pending else b""
        self._sink.write(rest + _LAST + struct.pack("<II", self._crc32, self._size_bytes & 0xFFFFFFFF))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()


def _block(data: memoryview) -> bytes:
    return b"\x00" + struct.pack("<HH", len(data), len(data) ^ _BLOCK_BYTES) + data
