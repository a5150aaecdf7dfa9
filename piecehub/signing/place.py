"""Where a run finds its key: said by who starts the run, never by a recipe.

A component's parameters stay in ML Metadata for ever, and those of the pusher would name the key. So the local runner
lays the place around the execution of a component, in the same thread, and on Kubeflow the container's entrypoint does,
if a secret is mounted. Who asks outside of that gets None, and publishes unsigned.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

LOCAL_BUILDER = "urn:piecehub:builder:local"
KUBEFLOW_BUILDER = "urn:piecehub:builder:kubeflow"
# Where a container finds its key, if a secret with that file is mounted there (kubeflow/README.md).
MOUNTED_KEY = Path("/etc/piecehub/signing/key.pem")


@dataclass(frozen=True)
class SigningPlace:
    """What a publisher needs to sign.

    Attributes:
        key: the PEM file of the private key.
        builder: who runs the pipeline, as a uri.
        metadata: the SQLite file of ML Metadata, to compare provenance with; None where a component cannot read it.
    """

    key: Path
    builder: str
    metadata: Path | None = None


_PLACE: ContextVar[SigningPlace | None] = ContextVar("piecehub-signing-place", default=None)


@contextmanager
def signing_with(place: SigningPlace | None) -> Generator[None, None, None]:
    """What runs inside, in this thread, publishes with that key."""
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def mounted_place() -> SigningPlace | None:
    """The place of a container, or None if no secret is mounted."""
    return SigningPlace(MOUNTED_KEY, KUBEFLOW_BUILDER) if MOUNTED_KEY.is_file() else None


def signing_place() -> SigningPlace | None:
    """The place that holds here."""
    return _PLACE.get()
