"""`check`: the whole validator. Imports no TensorFlow: the checks run in a fresh process.

There the model lies in another folder than it was made in, and the current folder is another too, so whatever it
needs from outside is missing.
"""

import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.conformance import sandbox as sandboxes
from piecehub.conformance.progress import Progress
from piecehub.conformance.proto_file import check_proto
from piecehub.conformance.sandbox import Limits
from piecehub.errors import ArchiveError, NotReusableError, PiecehubError
from piecehub.facts.conformance_report import ConformanceReport, Finding, Sandbox, Timings, report
from piecehub.facts.progress import phase
from piecehub.facts.provenance import artifact_digest
from piecehub.facts.text_file import read_text_file
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.store.source import find_saved_model
from piecehub.tensors.fresh import run_fresh

# A fresh process imports it by its name; this tells so to who follows imports (piecehub/containers/code.py).
if TYPE_CHECKING:
    from piecehub.conformance import inside as inside

_INSIDE = "piecehub.conformance.inside"
_NOT_A_FILE = "not-a-regular-file"


def check(
    saved_model: str | PathLike[str],
    *,
    documentation: str | PathLike[str] | None = None,
    trust: bool = False,
    workdir: str | PathLike[str] = DEFAULT_NAME,
    on_start: Callable[[Sandbox], None] | None = None,
) -> ConformanceReport:
    """The validator's report on anybody's SavedModel; `docs/check.md` says what is checked.

    A model that is not from the local store runs in bubblewrap, or not at all.

    Args:
        saved_model: a folder, an archive, `publisher/name/version` of the local store, or the address of a model on any
            server that speaks TensorFlow Hub's protocol.
        documentation: the file of its model page, to check with it; a published version brings its own.
        trust: whether the model may run where there is no bubblewrap.
        workdir: where the local store lies.
        on_start: is told in which sandbox the model runs, before it does.

    Raises:
        RecipeError: if there is no such model.
        PiecehubError: as `check_saved_model` has them.

    Example:
        >>> report = piecehub.check("my_piece", trust=True)
        >>> report.verdict, report.failures
        ('reusable', ())
    """
    with find_saved_model(saved_model, Workdir(Path(workdir)).store) as source:
        page = read_text_file(documentation) if documentation else source.documentation
        sandbox = sandboxes.strongest(trusted=trust or source.trusted)
        if on_start:
            on_start(sandbox)
        return check_saved_model(source.folder, sandbox, documentation=page, archive=source.archive)


def check_saved_model(
    folder: Path,
    sandbox: Sandbox = "process limits",
    *,
    documentation: str = "",
    archive: Path | None = None,
    limits: Limits | None = None,
) -> ConformanceReport:
    """What the checks find in the SavedModel in `folder`: static ones first, and if they hold, the dynamic ones.

    Args:
        folder: of the SavedModel; it is not written to.
        sandbox: where it runs. The default suits what this machine has just made; for a stranger's take
            `sandbox.strongest(trusted=False)`. With `none` the dynamic checks are not made, and the report does not
            conform.
        documentation: the text of its model page, if there is one.
        archive: the archive that it came in, if it did.
        limits: what the checks may take; by the size of the model if None.

    Raises:
        NotReusableError: if `folder` holds no SavedModel, or one too large to be read.
        PiecehubError: if reading it broke a limit before the first check.
    """
    check_proto(folder)
    with tempfile.TemporaryDirectory(prefix="piecehub-check-") as elsewhere, phase("checking the model"):
        moved, cwd = Path(elsewhere, "moved", "model"), Path(elsewhere, "empty")
        cwd.mkdir()
        regular = copy_regular(folder, moved)
        copied = Path(elsewhere, "moved", "model.tar.gz") if archive else None
        if archive and copied:
            shutil.copyfile(archive, copied)
        run = Progress(sandboxes.runner(sandbox, moved.parent, limits or sandboxes.limits_for(moved.parent)))
        call = functools.partial(run_fresh, cwd=cwd, run=run)
        arguments = {"folder": str(moved), "documentation": documentation}
        if sandbox == "none":
            found = _survived(run, call, "findings_without_loading", {**arguments, "because": _no_sandbox()})
        else:
            found = _survived(run, call, "all_findings", {**arguments, "archive": str(copied or "")})
        digest = artifact_digest(folder) if regular else ""
        made = report(digest, (Finding(**f) for f in found["findings"]), sandbox, serves=found["serves"])
        timings = Timings(found["seconds"], run.peak_bytes)
        return replace(made, unfinished=found["unfinished"], timings=timings)


def _no_sandbox() -> str:
    return (
        f"Expected bubblewrap to run a model that nobody trusts. Received: {sandboxes.missing()}; install the package "
        "'bubblewrap', or pass --trust if you trust the model."
    )


def _survived(run: Progress, call: Any, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """The findings of a function of `inside`; if it does not come to an end, those of the checks that do."""
    ended, beyond = dict[str, str](), dict[str, str]()
    while True:
        again = bool(ended or beyond)
        function = f"{_INSIDE}:{'findings_after_end' if again else name}"
        after = {"folder": arguments["folder"], "ended": ended, "beyond": beyond}
        try:
            return {**call(function, after if again else arguments), "unfinished": next(iter(beyond), "")}
        except (ArchiveError, NotReusableError):
            raise
        except PiecehubError as error:
            check = run.check or "D1"
            if check in {*ended, *beyond}:
                raise
            if run.limit:
                beyond[check] = f"Could not be finished: {run.limit}."
            else:
                ended[check] = error.sentence.replace(f"'{function}'", f"check {check}")


def copy_regular(folder: Path, moved: Path) -> bool:
    """Copies regular files and folders; whatever else lies there becomes a link to nothing, which S1 then names.

    Returns:
        whether there was nothing else. Links and devices are never followed or opened.
    """
    moved.mkdir(parents=True)
    regular = True
    for path in sorted(folder.rglob("*")):
        target = moved / path.relative_to(folder)
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            target.symlink_to(_NOT_A_FILE)
            regular = False
        elif path.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(path, target)
    return regular
