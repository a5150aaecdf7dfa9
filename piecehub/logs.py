"""What libraries print, sent into a file or read: absl, Keras' bars, TensorFlow's C++ lines, which heed no level."""

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def to_file(path: Path) -> Generator[None]:
    """Sends the descriptors 1 and 2 of this process, and so of its children, to the end of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    saved = [os.dup(1), os.dup(2)]
    with path.open("ab") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            _flush()
            for target, source in enumerate(saved, start=1):
                os.dup2(source, target)
                os.close(source)


def _flush() -> None:
    with contextlib.suppress(OSError):  # on a full disk a log ends early; that must not hide what the person is told
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()


def away() -> contextlib.AbstractContextManager[None]:
    """Sends them nowhere: what TensorFlow and TFX print while they load tells a person nothing; errors are raised."""
    return to_file(Path(os.devnull))


def last_words(printed: str, code: int) -> str:
    """The line that says why a process of Python ended with the exit code `code`; empty if nothing was printed.

    With 1 that is the exception of the last traceback: it may have many lines, the last of which may say anything. Else
    it is the last line.
    """
    lines = [line for line in printed.splitlines() if line.strip()]
    tracebacks = [place for place, line in enumerate(lines) if line.startswith("Traceback ")] if code == 1 else []
    raised = [line for line in lines[tracebacks[-1] + 1 :] if not line.startswith(" ")] if tracebacks else []
    return (raised or lines[-1:] or [""])[0].strip()
