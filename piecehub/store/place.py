"""Opens the place that a store lies in: a folder, or a bucket."""

from pathlib import Path

from piecehub.errors import RecipeError
from piecehub.store.backend import Backend
from piecehub.store.posix import PosixBackend

# `minio` is S3 of a server of one's own, as Kubeflow calls the one that it brings.
SCHEMES = ("s3", "gs", "az", "minio")
_KNOWN = ", ".join(f"{scheme}://" for scheme in SCHEMES)


def is_uri(place: str) -> bool:
    """Whether a place is called by a uri; else it is a folder."""
    return "://" in place


def whole(place: str | None) -> str:
    """A place as it is called from anywhere: a uri as it is, a folder by its whole path; empty for none."""
    return (place if is_uri(place) else str(Path(place).resolve())) if place else ""


def scheme_of(place: str) -> str:
    """That of a uri; empty for a folder."""
    return place.partition("://")[0] if is_uri(place) else ""


def refuse_no_place(place: str, called: str, *, may_be_folder: bool = False) -> None:
    """Passes for a bucket that pods may be told of, or a folder by its whole path, if that may be one.

    Raises:
        RecipeError: that says `called`, such as `with --store`.
    """
    if "@" in place:
        raise RecipeError(
            f"Expected a bucket by its name alone {called}. Received: a uri with an '@', which would stand in the "
            "package, password and all; give credentials by --store-secret or --work-secret."
        )
    if scheme_of(place) not in SCHEMES and not (may_be_folder and place.startswith("/")):
        or_else = ", or a folder that pods see, by its whole path" if may_be_folder else ""
        raise RecipeError(f"Expected a bucket {called} ({_KNOWN}){or_else}. Received: '{place}'.")


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
