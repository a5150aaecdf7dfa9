"""An image's name, as docker reads it: REGISTRY/NAME:TAG@DIGEST, of which all but the name may be left out."""

from dataclasses import dataclass

HUB = "docker.io"


@dataclass(frozen=True)
class Image:
    """An image by its parts.

    Attributes:
        registry: where it lies; `docker.io` if it does not say so.
        name: below /v2/.
        tag: empty if it has none.
        digest: the same; pods pull by it where there is one.
    """

    registry: str
    name: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        """What stands before tag and digest."""
        return f"{self.registry}/{self.name}"


def parse(image: str) -> Image:
    """The parts of an image's name."""
    whole, _, digest = image.partition("@")
    before, colon, tag = whole.rpartition(":")
    named, tag = (before, tag) if colon and "/" not in tag else (whole, "")
    host, slash, rest = named.partition("/")
    if _is_host(host, slash):
        return Image(host, rest, tag, digest)
    return Image(HUB, named if slash else f"library/{named}", tag, digest)


def without_registry(image: str) -> str:
    """What an image is, without where it lies."""
    host, slash, rest = image.partition("/")
    return rest if _is_host(host, slash) else image


def _is_host(before: str, slash: str) -> bool:
    return bool(slash) and (before == "localhost" or bool({".", ":"} & set(before)))
