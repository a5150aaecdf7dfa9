"""A file's bytes for an event loop: at once where the system holds them in memory, from a thread where it does not.

Going to a thread and back for every block takes longer than the bytes do: an archive of 50 MB came half as fast.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from piecehub.store import disk

_BLOCK_BYTES = 1 << 19
# preadv(2): fails rather than wait for the disk. Linux has it; elsewhere every block is read in a thread.
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)


async def file_blocks(path: Path) -> AsyncIterator[memoryview]:
    """The file's bytes, half a MiB at a time; other tasks take their turn between two blocks.

    A block is overwritten by the next one, so that memory is not asked for, and cleared, for each of them: whoever
    wants to keep it copies it. A server that sends chunks does so, as it puts a length before the block.

    Raises:
        EnvironmentProblem: if the file cannot be read.
    """
    block = memoryview(bytearray(_BLOCK_BYTES))
    with disk.reading_from(path), path.open("rb", buffering=0) as file:
        start = 0
        while read := await _read(file.fileno(), block, start):
            start += read
            yield block[:read]
            await asyncio.sleep(0)


async def _read(file: int, block: memoryview, start: int) -> int:
    """How many bytes there are for the block from `start` on; 0 at the file's end."""
    if _NO_WAIT is not None:
        try:
            return os.preadv(file, [block], start, _NO_WAIT)
        except OSError:
            pass  # not in memory, or the file system cannot tell; a real error comes again
    return await run_in_threadpool(os.preadv, file, [block], start)
