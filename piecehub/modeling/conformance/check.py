"""`check_saved_model`: the whole validator. Imports no TensorFlow: the checks run in a fresh process.

There the model lies in another folder than it was made in, and the current folder is another too, so whatever it
needs from outside is missing.
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.conformance import ConformanceReport, Finding, report
from piecehub.errors import ArchiveError, NotReusableError, PiecehubError
from piecehub.modeling.fresh import run_fresh
from piecehub.provenance import artifact_digest

if TYPE_CHECKING:  # A fresh process imports it by its name; this tells so to who follows imports (components/code.py).
    from piecehub.modeling.conformance import inside as inside

_INSIDE = "piecehub.modeling.conformance.inside"


def check_saved_model(folder: Path) -> ConformanceReport:
    """What the checks find in the SavedModel in `folder`: static ones first, and if they hold, the dynamic ones.

    The dynamic checks load the model and run it, without a sandbox.

    Raises:
        NotReusableError: if `folder` holds no SavedModel.
        ArchiveError: if its `saved_model.pb` is damaged.
    """
    if not (folder / "saved_model.pb").is_file():
        raise NotReusableError(
            f"Expected a SavedModel, a folder with 'saved_model.pb'. Received: '{folder}' without it."
        )
    with tempfile.TemporaryDirectory(prefix="piecehub-check-") as elsewhere:
        moved, cwd = Path(elsewhere, "moved", "model"), Path(elsewhere, "empty")
        shutil.copytree(folder, moved, symlinks=True)
        cwd.mkdir()
        return report(artifact_digest(folder), _findings(moved, cwd))


def _findings(folder: Path, cwd: Path) -> list[Finding]:
    try:
        return _run("all_findings", cwd, folder=str(folder))
    except (ArchiveError, NotReusableError):
        raise
    except PiecehubError as error:  # the model took the process down with it
        return _run("findings_after_crash", cwd, folder=str(folder), sentence=error.sentence)


def _run(function: str, cwd: Path, **arguments: Any) -> list[Finding]:
    return [Finding(**found) for found in run_fresh(f"{_INSIDE}:{function}", arguments, cwd=cwd)]
