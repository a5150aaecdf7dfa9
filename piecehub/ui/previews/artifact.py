"""All that a page shows of one artifact."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import PiecehubError
from piecehub.facts.conformance_report import REPORT_NAME
from piecehub.facts.manifest import DOCUMENTATION_TITLE
from piecehub.ui import words
from piecehub.ui.previews import ours, stock, written
from piecehub.ui.previews.values import Preview, table

_MOST_FILES = 500
_PROVENANCE = "provenance.json"
# What tells that a reader has something to read, and the reader.
_READERS: tuple[tuple[str, Callable[[Path], list[Preview]]], ...] = (
    (written.NAME, written.read),
    (stock.SCHEMA, stock.schema),
    (f"Split-*/{stock.STATISTICS}", stock.statistics),
    (f"Split-*/{stock.ANOMALIES}", stock.anomalies),
    (REPORT_NAME, ours.conformance),
    ("verdict.json", ours.verdict),
    ("evidence.json", ours.evidence),
    (DOCUMENTATION_TITLE, ours.documentation),
    (f"{ours.MODEL}/saved_model.pb", ours.piece),
)


@dataclass(frozen=True)
class Artifact:
    """What lies in an artifact: what is known of it, its drawings, its files."""

    previews: tuple[Preview, ...]
    plots: tuple[str, ...]
    files: Preview


def artifact(folder: Path) -> Artifact:
    """What lies in an artifact's folder."""
    previews = list(_known(folder))
    read = {pattern for pattern, _ in _READERS} | {_PROVENANCE}
    for path in sorted(folder.glob("*.json")):
        if path.name not in read and _is_here(path):
            previews += _safely(lambda path=path: ours.document(path), path.name)
    if _is_here(folder / _PROVENANCE):
        previews += _safely(lambda: ours.origin(folder), _PROVENANCE)
    return Artifact(
        tuple(p for p in previews if p.kind not in ("table", "pairs") or p.rows), plots_in(folder), _files(folder)
    )


def plots_in(folder: Path) -> tuple[str, ...]:
    """The plots that an artifact holds: the drawings beside its files."""
    found = sorted(folder.glob("*.svg")) if folder.is_dir() else []
    return tuple(path.name for path in found if _is_here(path))


def _known(folder: Path) -> Iterator[Preview]:
    for pattern, reader in _READERS:
        if any(map(_is_here, folder.glob(pattern))):
            yield from _safely(lambda reader=reader: reader(folder), pattern)


def _is_here(path: Path) -> bool:
    """Whether it is a file that lies here, and no way out of the artifact."""
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def _safely(read: Callable[[], list[Preview]], name: str) -> list[Preview]:
    """What a reader makes of a file; whatever is wrong with that, the rest of the page is shown."""
    try:
        return read()
    except PiecehubError as error:
        return [Preview(name, "text", note=error.sentence)]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        sentence = f"Expected '{name}' as this piecehub writes it. Received: {type(error).__name__}; look at the file."
        return [Preview(name, "text", note=sentence)]


def _files(folder: Path) -> Preview:
    """Every file with its size; a link is told, and not followed."""
    found: list[tuple[str, str]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append((name, "a link"))
        elif path.is_file():
            found.append((name, words.size(path.stat().st_size)))
        if len(found) > _MOST_FILES:
            break
    return table("Files", ("file", "size"), found)
