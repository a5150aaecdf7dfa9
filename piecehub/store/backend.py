"""Where a store's objects lie: a folder, or a bucket. Both keep the same few promises, and the rest builds on them.

    create      exactly one of many callers gets True for a key, and what it wrote stands there for ever
    put         for objects named by their own bytes: writing them twice changes nothing
    read …      sees a whole object or none

An object is durable when `create` or `put` returns. A key is a relative path with '/', made of checked parts only.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, order=True)
class Entry:
    """One object: its key, its size, and when it was written (UTC); a bucket also tells a tag of its bytes."""

    key: str
    size_bytes: int
    modified: datetime
    etag: str = field(default="", compare=False)


class Backend(Protocol):
    """What a store needs of the place it lies in; every method raises EnvironmentProblem if that cannot be reached."""

    @property
    def uri(self) -> str:
        """What a person calls the place."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Writes a small object if there is none of that key; False if there is."""
        ...

    def put(self, key: str, source: Path) -> None:
        """Writes a file of `staging`, of any size; what stood there is replaced as a whole. `source` stays."""
        ...

    def read(self, key: str) -> bytes | None:
        """A small object, or None."""
        ...

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, in blocks; raises StoreError if there is no such object."""
        ...

    def stat(self, key: str) -> Entry | None:
        """Size and age of an object, or None."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object below the folder `prefix`, in no order."""
        ...

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """The names of the folders directly in the folder `prefix`, sorted, without what lies in them."""
        ...

    def move(self, key: str, target: str) -> bool:
        """Gives an object another key; False if it is gone. It is never nowhere, and may be at both for a moment."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object; one that is gone is no error."""
        ...

    def local_path(self, key: str) -> Path | None:
        """The file on this machine that is the object, or None if objects are no files here."""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """A folder of one's own on this machine, to prepare objects in; gone at the end whatever happens."""
        ...
