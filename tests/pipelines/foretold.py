"""What a dry run tells of a run, over what the run then takes: of the command that a user starts."""

import os
import subprocess
import sys
from pathlib import Path

from piecehub.facts.workdir import Workdir
from pipelines.cost import dry_run
from pipelines.cost.allocated import allocated
from pipelines.cost.processes import looked_at
from pipelines.cost.stopwatch import children_s
from pipelines.recipe.loader import load_recipe
from tests.command_line import ROOT


def told_over_taken(recipe: str, workdir: Path, exit_code: int, settings: tuple[str, ...] = ()) -> dict[str, float]:
    """Ratios of `processors` (CPU seconds), `memory` (the peak of written pages) and `disk` (the working folder).

    Args:
        recipe: its name or folder.
        workdir: a folder that is not there yet; a dry run leaves it so.
        exit_code: with which the run must end.
        settings: `KEY=VALUE` laid over the recipe.
    """
    told = dry_run.estimate(load_recipe(recipe, settings), settings, Workdir(workdir))
    assert not workdir.exists()
    words = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", recipe, "--workdir", str(workdir), *words]
    before = children_s()
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    with looked_at(process.pid) as looks:
        assert process.wait() == exit_code
    took = {
        "processors": (told.cpu_s, children_s() - before),
        "memory": (told.memory_bytes, max(look.dirty_bytes for look in looks)),
        "disk": (told.disk_bytes, allocated(workdir)),
    }
    return {what: estimated / was for what, (estimated, was) in took.items()}
