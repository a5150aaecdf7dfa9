"""Opens the place that a store lies in: a folder, or a bucket."""

from pathlib import Path

from piecehub.errors import RecipeError
from piecehub.store.backend import Backend
from piecehub.store.posix import PosixBackend

# `minio` is S3 of a server of one's own, as Kubeflow calls the one that it brings.
SCHEMES = ("s3", "gs", "az", "minio")


def is_uri(place: str) -> bool:
    """Whether a place is called by a uri; else it is a folder."""
    return "://" in place


def whole(place: str | None) -> str:
    """A place as it is called from anywhere: a uri as it is, a folder by its whole path; empty for none."""
    return (place if is_uri(place) else str(Path(place).resolve())) if place else ""


def open_backend(place: Path | str) -> Backend:
    """The backend that a path or a uri names; nothing is read, written or made.

    Raises:
        RecipeError: if the uri is of a kind that we do not know.
        EnvironmentProblem: if its configuration is wrong or missing.
    """
    scheme, separator, rest = str(place).partition("://")
    if isinstance(place, Path) or not separator:
        return PosixBackend(Path(place))
    if scheme in SCHEMES and rest:
        from piecehub.store.cloud import open_bucket  # obstore takes its time, which a folder need not wait for

        return open_bucket(f"{scheme}://{rest.strip('/')}")
    raise RecipeError(
        f"Expected a folder, or a uri s3://, gs://, az:// or minio:// with a bucket. Received: '{place}'."
    )
