"""The incumbent: the newest published version of a name, brought into a run as files.

incumbent.json      {"handle": "publisher/name/version" or "", "version": 0 if there is none, "digest", "fine_tunable"}
evidence/<task>/    what was published as evidence of that task
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from piecehub.facts.handle import check_name, check_publisher
from piecehub.facts.manifest import Manifest
from piecehub.facts.provenance import Facts
from piecehub.store.catalog import Store

FILE_NAME = "incumbent.json"
EVIDENCE = "evidence/"


@dataclass(frozen=True)
class Incumbent:
    """The newest published version; `version` is 0 and the texts are empty if there is none.

    `fine_tunable` says whether its evidence was blessed for fine-tuning.
    """

    handle: str = ""
    version: int = 0
    digest: str = ""
    fine_tunable: bool = False


def bring_incumbent(incumbent: Path, publisher: str, name: str, store_folder: str) -> Facts:
    """What IncumbentResolver does: `write_incumbent` into its output; returns facts of it."""
    return {"version": write_incumbent(store_folder, publisher, name, incumbent).version}


def write_incumbent(store_folder: Path | str, publisher: str, name: str, destination: Path) -> Incumbent:
    """Writes what the store holds now into `destination`; an empty or missing store gives an incumbent of version 0."""
    store = Store.open(store_folder)
    newest = store.newest(check_publisher(publisher), check_name(name))
    found = _incumbent(newest) if newest else Incumbent()
    destination.mkdir(parents=True, exist_ok=True)
    if newest:
        copy_evidence(store, newest, destination)
    (destination / FILE_NAME).write_text(json.dumps(asdict(found), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def _incumbent(newest: Manifest) -> Incumbent:
    fine_tunable = newest.facts.get("fine_tunable") is True
    return Incumbent(str(newest.handle), newest.handle.version, newest.digest, fine_tunable)


def copy_evidence(store: Store, manifest: Manifest, destination: Path) -> None:
    """Copies what was published as evidence of a version into `destination`, `evidence/<task>/`."""
    for blob in manifest.blobs:
        if blob.title.startswith(EVIDENCE):
            target = destination / blob.title
            target.parent.mkdir(parents=True, exist_ok=True)
            with store.blob_file(blob.digest) as path:
                shutil.copyfile(path, target)


def read_incumbent(folder: Path) -> Incumbent:
    """Reads `incumbent.json`."""
    return Incumbent(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
