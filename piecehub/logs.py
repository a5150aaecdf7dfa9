"""Sends what libraries print into a file: absl, Keras' bars, and TensorFlow's C++ lines, which heed no log level."""

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def to_file(path: Path) -> Generator[None]:
    """Sends the descriptors 1 and 2 of this process, and so of its children, to the end of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with path.open("ab") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, source in enumerate(saved, start=1):
                os.dup2(source, target)
                os.close(source)


def away() -> contextlib.AbstractContextManager[None]:
    """Sends them nowhere: what TensorFlow and TFX print while they load tells a person nothing; errors are raised."""
    return to_file(Path(os.devnull))
