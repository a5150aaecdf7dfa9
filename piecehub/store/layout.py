"""Where things stand in a store; the same on a disk and in a bucket.

    store.json                                   {"schema": 1}: this layout; written once
    blobs/sha256/ab/<hex>                        archives, documentation, evidence, …; named by their own bytes
    m/<publisher>/<name…>/<version>/manifest.json
                                                 created once: a version exists if and only if this does
    m/<publisher>/<name…>/_events/000001.json    created once each: what people said about versions (events.py)
    expanded/<hex of the content digest>/…       a copy of a SavedModel that TensorFlow reads by itself (expanded.py)
    index/1/…                                    for lists; derived, and removed and made anew at will (index.py)
    trash/<uuid>/<hex>                           what a `gc` is about to remove (gc.py)
    work/…                                       what Kubeflow's pods keep (keeping.py); nothing of the store
    probe/<uuid>                                 what a probe asks with, for a moment (probe.py)
    tmp/<uuid>/                                  on a disk: staging of one publisher; swept after 24 hours

A manifest is created only after every blob that it names is durable, so a reader that starts at manifests never meets
half a version. Nothing is ever overwritten, and nothing else is to be trusted: no index, no `latest`. What publishes,
serves or judges reads the log; only lists read the index.
"""

import re

from piecehub.facts.handle import VERSION_PATTERN, Handle, check_name, check_publisher
from piecehub.facts.manifest import FILE_NAME, check_digest

SCHEMA = 1
STORE_FILE = "store.json"
STORE_TEXT = f'{{"schema": {SCHEMA}}}\n'
BLOBS = "blobs/sha256"
MODELS = "m"
EXPANDED = "expanded"
STAGING = "tmp"
TRASH = "trash"
INDEX = "index"
INDEX_NOW = f"{INDEX}/1"  # of this schema; others are somebody else's, until a reindex
PROBE = "probe"
WORK = "work"
# No segment of a model's name starts with '_', so a model and a log never meet.
_EVENTS = "_events"
_BLOB = re.compile(rf"{BLOBS}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})")
_EXPANDED = re.compile(rf"{EXPANDED}/([0-9a-f]{{64}})/(.+)")
_MANIFEST = re.compile(rf"{MODELS}/((?:[^/]+/)+)({VERSION_PATTERN})/{re.escape(FILE_NAME)}", re.ASCII)
_EVENT = re.compile(rf"{MODELS}/((?:[^/]+/)+){_EVENTS}/(\d{{6,18}})\.json", re.ASCII)


def blob_key(digest: str) -> str:
    """Where a blob stands; raises StoreError if `digest` is none."""
    hexadecimal = check_digest(digest).partition(":")[2]
    return f"{BLOBS}/{hexadecimal[:2]}/{hexadecimal}"


def blob_digest(key: str) -> str | None:
    """The digest that a key under `blobs/` promises, or None if it is no place of a blob."""
    found = _BLOB.fullmatch(key)
    return f"sha256:{found[2]}" if found else None


def expanded_folder(digest: str) -> str:
    """Where the expanded copy of a content stands; raises StoreError if `digest` is none."""
    return f"{EXPANDED}/{check_digest(digest).partition(':')[2]}"


def expanded_place(key: str) -> tuple[str, str] | None:
    """The content digest and the path of a file in an expanded copy, or None if it is none."""
    found = _EXPANDED.fullmatch(key)
    return (f"sha256:{found[1]}", found[2]) if found else None


def model_folder(publisher: str, name: str) -> str:
    """Where a model's versions and events stand; raises RecipeError if the name is not allowed."""
    return f"{MODELS}/{check_publisher(publisher)}/{check_name(name)}"


def manifest_key(handle: Handle) -> str:
    """Where a version's manifest stands; a Handle's parts are checked."""
    return f"{MODELS}/{handle}/{FILE_NAME}"


def manifest_place(key: str) -> tuple[str, int] | None:
    """The model ('publisher/name') and version of a manifest's key, or None if it is none."""
    found = _MANIFEST.fullmatch(key)
    return (found[1].rstrip("/"), int(found[2])) if found else None


def event_key(model: str, number: int) -> str:
    """Where an event of the model 'publisher/name', as it was checked before, stands."""
    return f"{MODELS}/{model}/{_EVENTS}/{number:06}.json"


def event_place(key: str) -> tuple[str, int] | None:
    """The model and number of an event's key, or None if it is none."""
    found = _EVENT.fullmatch(key)
    return (found[1].rstrip("/"), int(found[2])) if found else None
