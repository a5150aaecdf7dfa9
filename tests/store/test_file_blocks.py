"""Blocks of a file for the server's event loop: all of its bytes, however they are read, and turns for other tasks."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from piecehub.errors import EnvironmentProblem
from piecehub.store import file_blocks

_BLOCK = file_blocks._BLOCK_BYTES


@pytest.mark.parametrize("size_bytes", [0, 1, _BLOCK - 1, _BLOCK, _BLOCK + 1, 3 * _BLOCK + 7])
@pytest.mark.parametrize("memory", ["system", "holds nothing", "cannot tell"])
def test_the_blocks_are_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, memory: str):
    if memory == "holds nothing":
        _refuse(monkeypatch, errno.EAGAIN)
    elif memory == "cannot tell":
        monkeypatch.setattr(file_blocks, "_NO_WAIT", None)
    path = tmp_path / "blob"
    path.write_bytes(data := os.urandom(size_bytes))
    blocks = asyncio.run(_all(path))
    assert b"".join(blocks) == data
    assert max(map(len, blocks), default=0) <= _BLOCK


def test_a_block_that_the_system_does_not_hold_is_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else one slow disk would hold up everybody."""
    (tmp_path / "blob").write_bytes(b"x" * (_BLOCK + 1))
    loops = _refuse(monkeypatch, errno.EOPNOTSUPP)
    asyncio.run(_all(tmp_path / "blob"))
    assert loops == [False, False, False]  # two blocks, and the end


def test_other_tasks_take_their_turn(tmp_path: Path):
    """A client that takes bytes as fast as they come never makes the server wait."""
    (tmp_path / "blob").write_bytes(b"x" * (8 * _BLOCK))
    turns = []

    async def other() -> None:
        while True:
            turns.append(None)
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        await _all(tmp_path / "blob")
        task.cancel()

    asyncio.run(main())
    assert len(turns) >= 8


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "blob").write_bytes(b"x")

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(EnvironmentProblem, match=r"Expected a store that can be read\. Received: .*Input/output error"):
        asyncio.run(_all(tmp_path / "blob"))


async def _all(path: Path) -> list[bytes]:
    return [bytes(block) async for block in file_blocks.file_blocks(path)]


def _refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> list[bool]:
    """Reading without waiting fails; for each other reading, whether it was done in the event loop's thread."""
    read, in_loop = os.preadv, []

    def preadv(file: int, buffers: list[memoryview], start: int, flags: int = 0) -> int:
        if flags:
            raise OSError(code, os.strerror(code))
        try:
            asyncio.get_running_loop()
            in_loop.append(True)
        except RuntimeError:
            in_loop.append(False)
        return read(file, buffers, start)

    monkeypatch.setattr(os, "preadv", preadv)
    return in_loop
