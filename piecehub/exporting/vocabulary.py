"""Vocabularies as assets of a SavedModel, named by their content.

TensorFlow names a table after the path of its file: the path would be written into `saved_model.pb`, and two layers
that name one path share one table in a process even if the file has changed in between. So the words that a text layer
really holds are written to a file named by their sha256, the layer is given a table of that file while it is traced,
and the table is named by its content. Equal vocabularies give equal bytes, wherever they came from.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piecehub.errors import NotReusableError
from piecehub.exporting.swapped import swapped
from piecehub.facts.content import canonical_json, sha256_bytes, sha256_file


def stage(path: str | Path, folder: Path) -> Path:
    """A copy of a vocabulary file in `folder` whose path changes with its content: give it to a text layer.

    Raises:
        NotReusableError: if there is no such file.
    """
    if not Path(path).is_file():
        raise NotReusableError(f"Expected a vocabulary file. Received: '{path}', which is none; check the path.")
    staged = folder / sha256_file(Path(path)) / Path(path).name
    staged.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, staged)
    return staged


@contextmanager
def staged_vocabularies(layers: Sequence[Any]) -> Iterator[list[Any]]:
    """The text layers among `layers` (Keras 3 or tf_keras) look up in tables of staged files while the block runs.

    Yields:
        The tables. Their files exist until the block ends.

    Raises:
        NotReusableError: if a vocabulary file has changed since its layer was built, or the layer shares the table of
            an older one.
    """
    with tempfile.TemporaryDirectory(prefix="piecehub-vocabularies-") as folder:
        tables = [(layer, _staged_table(layer, Path(folder))) for layer in layers if _is_lookup(layer)]
        changes = [(layer, "lookup_table", table) for layer, table in tables if table is not None]
        with swapped(changes), neutral_names([table for _, _, table in changes]):
            yield [table for _, _, table in changes]


@contextmanager
def neutral_names(resources: Sequence[Any]) -> Iterator[None]:
    """Tables of files bear names made of the files' content, and not of their paths, while the block runs."""
    tables = [table for table in resources if _filename(table)]
    with swapped([(table, "_shared_name", _content_name(table)) for table in tables]):
        yield


def _is_lookup(layer: Any) -> bool:
    """Keras 3 and tf_keras have no common class for StringLookup and IntegerLookup."""
    return hasattr(layer, "lookup_table") and hasattr(layer, "_lookup_table_from_file")


def _staged_table(layer: Any, folder: Path) -> Any:
    """A table of a file with the layer's words; None where a text file cannot hold them, or there are none."""
    words = layer.get_vocabulary(include_special_tokens=False)
    text = all(isinstance(word, str) and word and "\n" not in word and "\r" not in word for word in words)
    if not words or not text:
        return None
    data = "".join(f"{word}\n" for word in words).encode()
    _require_own_words(layer, data)
    path = folder / f"vocabulary-{sha256_bytes(data)[:16]}.txt"
    path.write_bytes(data)
    return layer._lookup_table_from_file(str(path))


def _require_own_words(layer: Any, data: bytes) -> None:
    """Refuses a layer whose file holds other words than its table."""
    path = Path(_filename(layer.lookup_table) or "")
    if path.is_file() and path.read_bytes().splitlines() != data.splitlines():
        raise NotReusableError(
            f"Expected layer '{layer.name}' to hold the words of '{path}'. Received: others, since the file has "
            "changed or TensorFlow shares the table of an earlier layer; name the file by its content "
            "(vocabulary.stage)."
        )


def _filename(table: Any) -> str:
    """The file that a table is filled from; empty if it is filled otherwise."""
    return str(getattr(getattr(table, "_initializer", None), "_filename_arg", ""))


def _content_name(table: Any) -> str:
    initializer = table._initializer
    columns = [str(initializer._key_index), str(initializer._value_index), str(initializer._offset)]
    digest = sha256_bytes(canonical_json([sha256_file(Path(_filename(table))), *columns]))
    return f"hash_table_{digest[:32]}"
