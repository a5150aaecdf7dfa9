"""Asks a backend whether it keeps the one promise that everything rests on: a key that is taken stays as it is.

Servers exist that speak S3 and ignore `If-None-Match` (`rclone serve s3` 1.75, s3rver 3.7): there, every one of racing
publishers is told that it won, and all versions but the last are lost without a word.
"""

import uuid
from dataclasses import dataclass

from piecehub.errors import EnvironmentProblem
from piecehub.store import layout
from piecehub.store.backend import Backend


@dataclass(frozen=True)
class Probed:
    """What a backend did with two writes to one new key."""

    refuses_second: bool
    keeps_first: bool
    lists_and_deletes: bool

    @property
    def trustworthy(self) -> bool:
        """Whether versions can be published there."""
        return self.refuses_second and self.keeps_first and self.lists_and_deletes


def ask(backend: Backend) -> Probed:
    """Creates an object twice, with other bytes the second time, looks at it, and removes it.

    Raises:
        EnvironmentProblem: if the place cannot be reached or written.
    """
    key = f"{layout.PROBE}/{uuid.uuid4().hex}"
    first, second = b"first", b"second"
    created, refused = backend.create(key, first), not backend.create(key, second)
    keeps = backend.read(key) == first
    listed = key in {entry.key for entry in backend.list(layout.PROBE)}
    backend.delete(key)
    return Probed(created and refused, keeps, listed and backend.stat(key) is None)


def check(backend: Backend, found: Probed) -> None:
    """Raises EnvironmentProblem if versions cannot be published there."""
    if not found.trustworthy:
        said = "which overwrote an object that it was told to create" if not found.keeps_first else f"with {found}"
        raise EnvironmentProblem(
            f"Expected a backend that refuses a second write to a key. Received: '{backend.uri}', {said}; "
            "use one that honours If-None-Match, as S3, GCS, Azure and a local folder do."
        )
