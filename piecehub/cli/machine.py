"""What `piecehub doctor` finds on this machine.

Packages are judged by their own notes, and none of them is imported: a TensorFlow that does not load is told as well.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from piecehub import extras, shadows
from piecehub.cli.stack import version_of
from piecehub.errors import EnvironmentProblem, PiecehubError

_LEAST_FREE_BYTES = 1 << 30
_SMI_S = 20


@dataclass(frozen=True)
class Row:
    """One thing that was looked at.

    Attributes:
        state: `note` is what a person may want to know and nothing has to have; only `missing` is a fault.
        do: what mends it, or brings it; empty if nothing has to be done.
    """

    what: str
    state: Literal["ok", "note", "missing"]
    found: str
    do: str = ""


def look(wanted: tuple[str, ...], store: str | None, workdir: Path) -> list[Row]:
    """All that is looked at.

    Args:
        wanted: extras that have to be there.
        store: a store that has to answer.
        workdir: the working folder, which need not be there yet.
    """
    rows = [_python(), *_packages(wanted), _pipeline(wanted), _names(), _sandbox(), _machine(), _gpus()]
    rows += [_disk(workdir), _cache()]
    return [*rows, _store(store)] if store is not None else rows


def _python() -> Row:
    found = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Row("Python", "ok", found)
    return Row("Python", "missing", found, "use Python 3.11, 3.12 or 3.13")


def _packages(wanted: tuple[str, ...]) -> Iterator[Row]:
    """The core, and each extra that the package declares."""
    if not version_of("piecehub"):
        yield Row("core", "missing", f"'{shadows.HOME}' is no installation", "install it with pip")
        return
    _, faults = _held_against_declared("")
    found = f"piecehub {version_of('piecehub')} at {shadows.HOME}"
    yield Row("core", "missing", ", ".join(faults), "install piecehub again") if faults else Row("core", "ok", found)
    for name in sorted(importlib.metadata.metadata("piecehub").get_all("Provides-Extra") or ()):
        yield _extra(name, name in wanted)


def _extra(name: str, is_wanted: bool) -> Row:
    there, faults = _held_against_declared(name)
    if not faults:
        return Row(name, "ok", ", ".join(there))
    if extras.is_begun(name):
        return Row(name, "missing", ", ".join(faults), extras.to_install(name))
    return _absent(name, is_wanted, extras.to_install(name))


def _absent(name: str, is_wanted: bool, do: str) -> Row:
    state = "missing" if is_wanted else "note"
    return Row(name, state, "not installed", f"{do} for {extras.MEANT_FOR[name]}")


def _held_against_declared(extra: str) -> tuple[list[str], list[str]]:
    """The packages of an extra, or of the core, that are installed as they have to be, and what is wrong of others."""
    from packaging.requirements import Requirement

    there: list[str] = []
    faults: list[str] = []
    for text in importlib.metadata.requires("piecehub") or ():
        declared = Requirement(text)
        is_of_extra = declared.marker is not None and "extra" in str(declared.marker)
        if is_of_extra != bool(extra) or (declared.marker and not declared.marker.evaluate({"extra": extra})):
            continue
        version = version_of(declared.name)
        if not version:
            faults.append(f"{declared.name} is not installed")
        elif not declared.specifier.contains(version, prereleases=True):
            faults.append(f"{declared.name} is {version}, which is not {declared.specifier}")
        else:
            there.append(f"{declared.name} {version}")
    return there, faults


def _pipeline(wanted: tuple[str, ...]) -> Row:
    """Every package of the lock in its version: nothing else was tested together."""
    pins = extras.locked()
    others = {name: version for name, pin in pins.items() if (version := version_of(name)) != pin}
    do = extras.to_install(extras.PIPELINE)
    if not others:
        return Row("pipeline", "ok", f"all {len(pins)} packages as {extras.LOCK} has them")
    if extras.is_begun(extras.PIPELINE):
        told = [f"{name} {version or 'is not installed'} (locked: {pins[name]})" for name, version in others.items()]
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        return Row("pipeline", "missing", f"not as locked: {', '.join(told[:3])}{more}", do)
    if sys.version_info[:2] != extras.PIPELINE_PYTHON:
        do = f"make an environment of Python 3.11, and there {do}"
    return _absent(extras.PIPELINE, extras.PIPELINE in wanted, do)


def _names() -> Row:
    """Folders that would be taken for packages of ours, here and on the path that a person gave."""
    given = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    found = [str(place) for folder in (Path.cwd(), *given) for place in shadows.of_others(folder)]
    if not found:
        return Row("names", "ok", "no folder here is taken for one of piecehub's packages")
    return Row(
        "names",
        "note",
        f"in the way of a program, a notebook or pytest: {', '.join(dict.fromkeys(found))}",
        "the command works; where piecehub.run and piecehub.evaluate are called, rename them or start elsewhere",
    )


def _sandbox() -> Row:
    from piecehub.conformance import sandbox

    why = sandbox.missing()
    if not why:
        return Row("sandbox", "ok", "bubblewrap")
    return Row("sandbox", "note", why, "install bubblewrap, or trust each model that is checked (--trust)")


def _machine() -> Row:
    from piecehub.ui.words import size

    memory = size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Row("machine", "ok", f"{os.cpu_count()} processors, {memory} of memory, {platform.platform()}")


def _gpus() -> Row:
    found = _named_gpus()
    if not found:
        return Row("GPU", "ok", "none, so models train and trials run on processors")
    told = f"{len(found)}: {', '.join(found)}"
    if version_of("tensorflow") and not (version_of("nvidia-cudnn-cu12") or find_library("cudnn")):
        do = f"call `pip install 'tensorflow[and-cuda]=={version_of('tensorflow')}'`"
        return Row("GPU", "note", f"{told}, without cuDNN, so TensorFlow does not use them", do)
    return Row("GPU", "ok", told)


def _named_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _disk(workdir: Path) -> Row:
    from piecehub.ui.words import size

    root = workdir.resolve()
    there = next(folder for folder in (root, *root.parents) if folder.is_dir())
    free_bytes = shutil.disk_usage(there).free
    found = f"{size(free_bytes)} free for '{root}'"
    if not os.access(there, os.W_OK):
        return Row("disk", "missing", f"'{there}' cannot be written", "name another folder with --workdir")
    if free_bytes < _LEAST_FREE_BYTES:
        return Row("disk", "missing", found, "free some, such as by `piecehub workdir gc`")
    return Row("disk", "ok", found)


def _cache() -> Row:
    from piecehub.signing import hub_cache

    try:
        folder = hub_cache.cache_folder()
        findings = hub_cache.check_cache(folder)
    except EnvironmentProblem as error:
        return Row("hub cache", "note", error.sentence)
    except OSError as error:
        return Row("hub cache", "missing", f"'{error.filename}' ({error.strerror})", "name another in TFHUB_CACHE_DIR")
    if findings:
        return Row("hub cache", "note", f"'{folder}' has {len(findings)} bad entries", "call `piecehub cache doctor`")
    return Row("hub cache", "ok", f"'{folder}'" if folder.is_dir() else f"'{folder}', which the client will make")


def _store(place: str) -> Row:
    from piecehub.store import layout
    from piecehub.store.catalog import Store

    try:
        opened = Store.open(place)
        is_made = opened.backend.read(layout.STORE_FILE) is not None
    except PiecehubError as error:
        return Row("store", "missing", error.sentence)
    if is_made:
        return Row("store", "ok", f"'{opened.uri}' answers")
    made_by = f"call `piecehub store init --store {place}` to make one"
    return Row("store", "missing", f"nothing at '{opened.uri}'", made_by)
