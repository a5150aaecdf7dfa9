"""A look at a SavedModel that costs seconds: its files, its interface, and its page. Imports no TensorFlow.

Nothing of the model is loaded or run. Parsing a stranger's files is a risk all the same, so it is done in a fresh
process, as `check` does it.
"""

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.conformance import sandbox as sandboxes
from piecehub.conformance.check import copy_regular
from piecehub.conformance.page import Fault
from piecehub.conformance.proto_file import check_proto
from piecehub.facts.conformance_report import Finding, Sandbox
from piecehub.facts.progress import phase
from piecehub.tensors.fresh import run_fresh

# A fresh process imports it by its name; this tells so to who follows imports (piecehub/containers/code.py).
if TYPE_CHECKING:
    from piecehub.conformance import inside as inside


@dataclass(frozen=True)
class Glance:
    """What was seen.

    Attributes:
        findings: the static checks of level fail that fall short.
        interface: the fields of `described.Interface`; empty if there is nothing to call.
        faults: what is wrong with the page, by its lines.
        serves: whether there is nothing to call, but signatures to serve.
    """

    findings: tuple[Finding, ...]
    interface: dict[str, Any]
    faults: tuple[Fault, ...]
    serves: bool = False


def glance(folder: Path, sandbox: Sandbox, documentation: str = "") -> Glance:
    """Looks at the SavedModel in `folder`, and at its page if there is one.

    Raises:
        NotReusableError: if it holds no SavedModel, or one too large to be read.
        PiecehubError: if it cannot be read within the limits of `check`.
    """
    check_proto(folder)
    with tempfile.TemporaryDirectory(prefix="piecehub-glance-") as elsewhere, phase("looking at the model"):
        moved = Path(elsewhere, "moved", "model")
        copy_regular(folder, moved)
        run = sandboxes.runner(sandbox, moved.parent, sandboxes.limits_for(moved.parent))
        call = functools.partial(run_fresh, cwd=Path(elsewhere), run=run)
        arguments = {"folder": str(moved), "documentation": documentation}
        found = call("piecehub.conformance.inside:glance", arguments)
    return Glance(
        tuple(Finding(**each) for each in found["findings"]),
        found["interface"] or {},
        tuple(Fault(**each) for each in found["faults"]),
        found["serves"],
    )
