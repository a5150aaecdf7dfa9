"""What is installed here, read from the packages' own notes: nothing of it is imported."""

import importlib.metadata
import platform

from piecehub.cli.options import VERSION

# What a report of a fault should tell.
_STACK = (
    *("tensorflow", "keras", "tf-keras", "tensorflow-hub", "numpy", "protobuf"),
    *("tfx", "apache-beam", "ml-metadata", "kfp"),
)


def version_of(package: str) -> str:
    """The version of an installed package, or an empty text."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def text() -> str:
    """piecehub, Python and the packages that results depend on, a line each."""
    lines = [f"piecehub {VERSION}", f"Python {platform.python_version()}, {platform.platform()}"]
    return "\n".join(lines + [f"{package} {version_of(package) or 'not installed'}" for package in _STACK])
