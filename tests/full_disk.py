"""A disk that is full, for what Python writes into one folder; TensorFlow's own writers need a real one."""

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def full(folder: Path, room: int = 0) -> Iterator[None]:
    """Inside, files that are opened for writing below `folder` take `room` bytes together, and no more."""
    opened, left = io.open, [room]

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            taken = min(len(data), left[0])
            left[0] -= taken
            if not taken and len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(data)[:taken])

    def open_full(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *rest: Any, **more: Any
    ) -> Any:
        place = Path(f"/proc/self/fd/{file}").resolve() if isinstance(file, int) else Path(os.fsdecode(file)).resolve()
        if "opener" in more or not set(mode) & set("wxa+") or not place.is_relative_to(folder.resolve()):
            return opened(file, mode, buffering, encoding, *rest, **more)
        raw = Raw(file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8")

    io.open = builtins.open = open_full
    try:
        yield
    finally:
        io.open = builtins.open = opened
