"""The file `saved_model.pb`, before anybody reads it. Imports no TensorFlow."""

from pathlib import Path

from piecehub.errors import NotReusableError

# protobuf reads no message that is larger.
MAX_PROTO_BYTES = (2 << 30) - 1


def check_proto(folder: Path) -> None:
    """Raises NotReusableError if `folder` holds no `saved_model.pb` (a link is none), or one too large to be read."""
    path = folder / "saved_model.pb"
    if path.is_symlink() or not path.is_file():
        raise NotReusableError(
            f"Expected a SavedModel, a folder with 'saved_model.pb'. Received: '{folder}' without it."
        )
    if (size_bytes := path.stat().st_size) > MAX_PROTO_BYTES:
        raise NotReusableError(
            f"Expected 'saved_model.pb' to be smaller than 2 GiB (S14). Received: {size_bytes} bytes; "
            "keep weights in variables, not in constants."
        )
