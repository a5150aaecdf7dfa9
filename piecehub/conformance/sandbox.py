"""Where a stranger's model runs.

    bubblewrap       namespaces of its own for files, network, processes and users. It sees the system, Python and this
                     package read-only, the model read-only, an empty home and an empty /tmp in memory, no network but
                     a loopback of its own, and no variable but those it needs; it can write one file, the result
    process limits   an ordinary process in an empty folder, without this one's variables: no cage. What a model does
                     by accident (takes all memory, runs for ever, fills the disk) ends; what it does by intent does not
    none             it does not run

In both, limits hold: time, time of the processor, the size of a file, and resident memory (limited.py, watch.py).
"""

import functools
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from piecehub.conformance import limited
from piecehub.conformance.watch import ENDLESS, run_watched
from piecehub.facts.conformance_report import Sandbox
from piecehub.facts.progress import phase
from piecehub.tensors.fresh import FIXED, HOME, Ended, Job

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")
_PROBE_S = 20
# Memory that a check frees is given back. oneDNN's allocator keeps all of it for ever, and the C library what lies in
# the arenas of many threads, or is smaller than the largest that was freed so far (mallopt(3)).
_FRUGAL = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
_LEAST_S, _MORE_S = 900, 4  # for any model, and for each MiB of it: 5 times what a slow machine was seen to need
_LEAST_BYTES, _COPIES = 4 << 30, 8


@dataclass(frozen=True)
class Limits:
    """What a model may take.

    Attributes:
        wall_s: how long all checks may take.
        cpu_s: the same in time of the processor.
        file_bytes: the size of one file that it writes, and of its /tmp in bubblewrap.
        resident_bytes: memory of all processes together.
    """

    wall_s: int
    cpu_s: int
    file_bytes: int
    resident_bytes: int


def limits_for(folder: Path) -> Limits:
    """Limits for the checks of the SavedModel in `folder`, which grow with its size.

    They hold its weights some times over, save it again and pack it. Half of the machine's memory it may always have.
    """
    size_bytes = sum(path.lstat().st_size for path in folder.rglob("*"))
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wall_s = _LEAST_S + size_bytes * _MORE_S // (1 << 20)
    return Limits(
        wall_s=wall_s,
        cpu_s=2 * wall_s,
        file_bytes=(1 << 28) + 4 * size_bytes,
        resident_bytes=min(memory_bytes * 9 // 10, max(memory_bytes // 2, _LEAST_BYTES + _COPIES * size_bytes)),
    )


def strongest(trusted: bool) -> Sandbox:
    """The strongest sandbox that this machine has; without bubblewrap only a trusted model runs."""
    if not missing():
        return "bubblewrap"
    return "process limits" if trusted else "none"


@functools.cache
def missing() -> str:
    """Why bubblewrap cannot be used here; empty if it can. It is tried once."""
    program = shutil.which("bwrap")
    if program is None:
        return "no 'bwrap' on the PATH"
    command = [*_bubblewrap(program, [], 1 << 20), sys.executable, "-P", "-c", "import piecehub"]
    try:
        with phase("trying the sandbox"):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PROBE_S, env=_environment("/tmp"), check=False
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"'{program}' cannot be run ({type(error).__name__})"
    if done.returncode == 0:
        return ""
    return f"'{program}' cannot make its namespaces ({(done.stderr.splitlines() or ['no word'])[-1].strip()})"


def runner(sandbox: Sandbox, model: Path, limits: Limits) -> Callable[[Job], Ended]:
    """What runs a job that reads `model`, for `run_fresh`; with 'none' as with 'process limits'."""
    return functools.partial(_in_bubblewrap if sandbox == "bubblewrap" else _under_limits, model, limits)


def _in_bubblewrap(model: Path, limits: Limits, job: Job) -> Ended:
    binds = ["--ro-bind", str(model), str(model), "--bind", str(job.result), str(job.result)]
    program = shutil.which("bwrap") or "bwrap"
    command = [*_bubblewrap(program, binds, limits.file_bytes), *_limited(limits), *job.command]
    ended = run_watched(
        command,
        job.text,
        cwd=Path("/"),
        environment=_environment("/tmp"),
        wall_s=limits.wall_s,
        resident_bytes=limits.resident_bytes,
        on_line=job.on_line,
    )
    return _explained(ended, limits)


def _under_limits(model: Path, limits: Limits, job: Job) -> Ended:
    del model  # It lies open to this process as it does to us.
    with tempfile.TemporaryDirectory(prefix="piecehub-home-") as home:
        ended = run_watched(
            [*_limited(limits), *job.command],
            job.text,
            cwd=job.cwd or Path(home),
            environment=_environment(home),
            wall_s=limits.wall_s,
            resident_bytes=limits.resident_bytes,
            on_line=job.on_line,
        )
        return _explained(ended, limits)


def _explained(ended: Ended, limits: Limits) -> Ended:
    """How it ended, and that it was out of time where the kernel says so by a signal, which bubblewrap adds to 128."""
    if ended.limit or ended.returncode not in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        return ended
    return replace(ended, limit=f"it took more than {limits.cpu_s:g} s of the processor; {ENDLESS}")


def _bubblewrap(program: str, binds: list[str], memory_bytes: int) -> list[str]:
    """The command up to the program that it runs; later binds lie over earlier ones."""
    command = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(memory_bytes), "--tmpfs", "/tmp"]
    for path in dict.fromkeys((*_SYSTEM, *_python_folders())):
        command += ["--ro-bind-try", path, path]
    return [*command, *binds, "--chdir", "/tmp"]


def _python_folders() -> list[str]:
    """Python, its packages, and this package; not the folder around it, which may hold anything."""
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    return [sys.prefix, sys.base_prefix, *packages, str(HOME / "piecehub")]


def _limited(limits: Limits) -> list[str]:
    return [sys.executable, "-I", limited.__file__, str(limits.cpu_s), str(limits.file_bytes)]


def _environment(home: str) -> dict[str, str]:
    """The variables of a process that nobody trusts; ours may hold credentials."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}
    return {**passed_on, **FIXED, **_FRUGAL, **own}
