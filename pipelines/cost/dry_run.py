"""The estimate of a run: a rehearsal in a fresh process, looked at from here; nothing of it is left."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from piecehub.facts.plan import Plan
from piecehub.facts.workdir import Workdir
from piecehub.tensors.fresh import HOME, Ended, Job, run_fresh
from pipelines.cost.arithmetic import PARTS, Cost, Part, parallel, told_earlier, with_workers
from pipelines.cost.earlier import taken
from pipelines.cost.processes import Looks, end_all, looked_at
from pipelines.cost.stopwatch import Window
from pipelines.recipe.tables import LoadedRecipe

_REHEARSE = "pipelines.cost.rehearsal:rehearse"


@dataclass(frozen=True)
class Rehearsed:
    """What a run would do, and what all of it would take if nothing came from the cache."""

    plan: Plan
    cost: Cost


def estimate(loaded: LoadedRecipe, settings: Sequence[str], workdir: Workdir, devices: str = "") -> Cost:
    """What a run of the recipe takes of processors, memory and disk, at most; see `rehearsed`."""
    return rehearsed(loaded, settings, workdir, devices).cost


def rehearsed(
    loaded: LoadedRecipe, settings: Sequence[str], workdir: Workdir, devices: str = "", signed_by: str = ""
) -> Rehearsed:
    """What a run of the recipe would do, and what it takes of processors, memory and disk, at most.

    Each part is done once by the run's own code, on little, in a folder for temporary files that is gone afterwards,
    also where a person stops it. Where an earlier run in the working folder was told the same, its times are taken.

    Args:
        loaded: the recipe.
        settings: that were laid over it.
        workdir: is only read, and so is the store that it names.
        devices: on which the full model is to be trained.
        signed_by: the digest of the public key of what the run would sign with, if it would.

    Raises:
        PiecehubError: what would stop the run, too: the recipe, its examples or the machine lack something.
    """
    with tempfile.TemporaryDirectory(prefix="piecehub-dry-run-", ignore_cleanup_errors=True) as scratch:
        looks = Looks()
        arguments = {
            "recipe": str(loaded.folder),
            "settings": list(settings),
            "devices": devices,
            "signed_by": signed_by,
            "workdir": str(workdir.root.absolute()),
            "store_at": workdir.store_at,
            "scratch": scratch,
        }
        told = run_fresh(_REHEARSE, arguments, run=partial(_watched, looks, scratch))
    parts = _parts(told, looks)
    measured = taken(workdir, told["arguments"])
    source = f"measured in run {max((took.run for took in measured.values()), default='')}"
    seconds = {component: took.cpu_s for component, took in measured.items()}
    cost = Cost(tuple(told_earlier(parts, seconds, source)), told["processors"])
    return Rehearsed(Plan.from_json(told["plan"]), cost)


def _watched(looks: Looks, scratch: str, job: Job) -> Ended:
    """Runs a job whose temporary files lie in `scratch`, and looks at its processes; if it is left, they end."""
    paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": scratch}
    process = subprocess.Popen(
        job.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        start_new_session=True,  # who presses Ctrl-C stops this process, which ends that one
    )
    try:
        with looked_at(process.pid) as found:
            _, said = process.communicate(job.text)
    finally:
        end_all(process.pid)
        process.wait()
    looks.extend(found)
    return Ended(process.returncode, said)


def _parts(told: Mapping[str, Any], looks: Looks) -> list[Part]:
    windows = [Window(**window) for window in told["windows"]]
    return [
        _part(name, told["drafts"][name], [window for window in windows if window.part == name], looks, told)
        for name in PARTS
        if name in told["drafts"]
    ]


def _part(
    name: str, draft: Mapping[str, Any], windows: Sequence[Window], looks: Looks, told: Mapping[str, Any]
) -> Part:
    cpu_s = draft["cpu_s"]
    at_once = parallel(sum(w.cpu_s for w in windows), sum(w.wall_s for w in windows), told["processors"])
    if draft["workers"] > 1:
        at_once = draft["workers"]
    peak = 0
    for window in windows:
        for look in looks.within(window.began, window.ended):
            peak = max(peak, with_workers(look.dirty_bytes, look.own_bytes, 1, draft["workers"]))
    source = f"timed: {', '.join(draft['sources'])}"
    return Part(name, cpu_s, cpu_s / at_once, peak + draft["more_bytes"], draft["disk_bytes"], source)
