"""Handles: `publisher/name/version`, the last part of what `hub.load` takes."""

import re
from dataclasses import dataclass
from typing import Self

from piecehub.errors import RecipeError

# Publisher and name as TensorFlow Hub's documentation validator takes them (tfhub.dev, tools/validator.py).
_PUBLISHER = re.compile(r"[a-z\d][a-z\d-]*")
_SEGMENT = re.compile(r"[a-z\d][a-z\d._-]*")
_VERSION = re.compile(r"\d{1,18}", re.ASCII)
# The one bound for versions, and the one spelling: what reads a version out of a path or a key reads nothing else, so a
# version beyond it could be written and never be seen again. (Python refuses to read numbers of thousands of digits.)
MAX_VERSION = 10**18 - 1
# File systems end at 255 bytes, and what is made of a name is a little longer.
_LONGEST = 200
VERSION_PATTERN = r"[1-9][0-9]{0,17}"
# Routes of our own server, and words of the store's layout, that a handle must not collide with.
RESERVED_PUBLISHERS = frozenset(
    {"models", "runs", "artifacts", "lineage", "metrics", "pipelines", "api", "healthz", "static", "store"}
)
RESERVED_SEGMENTS = frozenset({"aliases"})


def _check_length(what: str, part: str) -> None:
    if len(part) > _LONGEST:
        raise RecipeError(
            f"Expected {what} of at most {_LONGEST} characters between slashes, for each is a folder. Received: "
            f"{len(part)} ('{part[:20]}…'); shorten it."
        )


def check_publisher(publisher: str) -> str:
    """Returns `publisher`; raises RecipeError if it is not one, or is a route of the server."""
    _check_length("a publisher", publisher)
    if not _PUBLISHER.fullmatch(publisher):
        raise RecipeError(f"Expected a publisher of lower-case letters, digits and '-'. Received: '{publisher}'.")
    if publisher in RESERVED_PUBLISHERS:
        raise RecipeError(
            f"Expected a publisher that is not a route of the server. Received: '{publisher}'; choose another."
        )
    return publisher


def check_name(name: str) -> str:
    """Returns `name` (`segment` or `segment/segment…`); raises RecipeError if a segment is not allowed."""
    for segment in name.split("/"):
        _check_length("a model name", segment)
        if not _SEGMENT.fullmatch(segment) or segment.isdigit() or segment in RESERVED_SEGMENTS:
            raise RecipeError(
                "Expected a model name of lower-case letters, digits, '.', '_' and '-', in segments that are no "
                f"plain number and not 'aliases'. Received: '{name}'."
            )
    return name


@dataclass(frozen=True, order=True)
class Handle:
    """One immutable published version."""

    publisher: str
    name: str
    version: int

    def __post_init__(self) -> None:
        check_publisher(self.publisher)
        check_name(self.name)
        if type(self.version) is not int or not 1 <= self.version <= MAX_VERSION:
            raise RecipeError(f"Expected a whole version from 1 to {MAX_VERSION}. Received: {self.version!r}.")

    def __str__(self) -> str:
        return f"{self.publisher}/{self.name}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `publisher/name/version`; raises RecipeError for anything else."""
        publisher, _, rest = text.strip("/").partition("/")
        name, _, version = rest.rpartition("/")
        if not name or not _VERSION.fullmatch(version):
            raise RecipeError(f"Expected 'publisher/name/version' with a whole version. Received: '{text}'.")
        return cls(publisher, name, int(version))

    def url(self, store_url: str) -> str:
        """What `hub.load` takes, for a store served at `store_url`."""
        return f"{store_url.rstrip('/')}/{self}"
