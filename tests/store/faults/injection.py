"""Makes one call of this process to the disk fail, tear, or be its last.

The calls that change a disk are counted from 0: each raw write of a file that was opened for writing, fsync, link,
rename, mkdir, unlink, sendfile. The one with the number `at` meets the fault, before anything of it is done.

    kill     SIGKILL to this process
    torn     half of the bytes are written, then SIGKILL (of other calls: after they were done)
    EIO, ENOSPC, EDQUOT    the call raises it; `lasting`: every later one does so too, as on a disk that stays full
"""

import builtins
import errno
import io
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

CALLS = ("fsync", "link", "rename", "replace", "mkdir", "unlink", "sendfile", "utime")
KILLS = ("kill", "torn")
ERRORS = ("EIO", "ENOSPC", "EDQUOT")


class Injection:
    """Counts, and strikes once; `seen` is the kind of each call, in order."""

    def __init__(self, kind: str = "", at: int = -1, lasting: bool = False) -> None:
        self.seen: list[str] = []
        self._kind, self._at, self._lasting = kind, at, lasting
        self._lock = threading.Lock()

    def install(self) -> None:
        """Puts itself between this process and its disk; there is no way back, so only in a process of its own."""
        for name in CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        opened = io.open
        injection = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                return injection.strike("write", lambda part: io.FileIO.write(self, part), data)

        def open_faulty(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
            if set(mode) & set("wxa+") and "b" in mode and "opener" not in more:
                raw = Raw(file, mode.replace("b", ""))
                return raw if buffering == 0 else io.BufferedWriter(raw)
            return opened(file, mode, buffering, *rest, **more)

        io.open = open_faulty
        builtins.open = open_faulty

    def strike(self, call: str, do: Callable[[Any], Any], data: Any) -> Any:
        """Does the call, unless it is its turn to fail."""
        with self._lock:
            number = len(self.seen)
            self.seen.append(call)
        if self._kind in KILLS and number == self._at:
            try:
                if self._kind == "torn":
                    do(memoryview(data)[: len(data) // 2] if call == "write" else data)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        if self._kind in ERRORS and (number == self._at or (self._lasting and number > self._at)):
            raise OSError(getattr(errno, self._kind), os.strerror(getattr(errno, self._kind)))
        return do(data)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            return self.strike(name, lambda _: real(*arguments, **more), None)

        return call
