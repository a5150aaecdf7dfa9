"""Runs one of our functions in a fresh Python process.

Two exports of one model in one process give different bytes (TensorFlow numbers its functions), in two fresh
processes equal ones; and a model is only known to stand alone once a process has loaded it that did not make it.

The function's name and the path of the result go on the command line, the arguments as JSON to standard input. The
result is `{"value": …}` or `{"error": <class of piecehub.errors>, "sentence": …}`.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piecehub import errors
from piecehub.errors import PiecehubError
from piecehub.facts import heap
from piecehub.logs import last_words

# The folder that holds the package piecehub, so that the new process finds the same one.
HOME = Path(__file__).resolve().parents[2]

# Equal bytes need equal hashing. No GPU: on one, Keras bakes cuDNN's operations into recurrent layers, and such a
# model loads nowhere else (keras/src/backend/tensorflow/rnn.py).
FIXED = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True)
class Job:
    """A process to run.

    Attributes:
        command: program and arguments.
        text: what it reads from standard input.
        result: the file that it writes its result to, and the only one that it needs to write.
        cwd: its current folder; this process's if None.
        on_line: is told each line that it writes to standard error, by a runner that reads them as they come.
    """

    command: list[str]
    text: str
    result: Path
    cwd: Path | None
    on_line: Callable[[str], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative for a signal), and what it wrote to standard error.

    `limit` says which limit ended it, and what to do; it is empty if none did. `peak_bytes` is the most memory that it
    and all that it started were seen to hold, or 0 where nobody looked; it makes two ends no different.
    """

    returncode: int
    errors: str
    limit: str = ""
    peak_bytes: int = field(default=0, compare=False)


def run_fresh(
    function: str, arguments: dict[str, Any], *, cwd: Path | None = None, run: Callable[[Job], Ended] | None = None
) -> Any:
    """What `function(**arguments)` returns, computed in a fresh process.

    Args:
        function: `package.module:name`, importable where piecehub is.
        arguments: keyword arguments that JSON can carry; the returned value must be such too.
        cwd: the new process's current folder; this one's if None.
        run: what runs the process, such as a sandbox (conformance/sandbox.py); if None, nothing holds it.

    Raises:
        PiecehubError: as the function raised it (same class, same sentence), or with what the process wrote of its
            end to its standard error, if it ended in any other way.
    """
    with tempfile.TemporaryDirectory(prefix="piecehub-fresh-") as folder:
        result = Path(folder, "result.json")
        result.touch()
        command = [sys.executable, "-P", "-m", "piecehub.tensors.fresh", function, str(result)]
        ended = (run or _run)(Job(command, json.dumps(arguments), result, cwd))
        if ended.limit:
            raise PiecehubError(f"Expected '{function}' to end well in a fresh process. Received: {ended.limit}.")
        if ended.returncode != 0 or not result.stat().st_size:
            raise PiecehubError(
                f"Expected '{function}' to end well in a fresh process. Received: {_why(ended)}; "
                "if that names no cause, try again with more memory."
            )
        return _unwrap(json.loads(result.read_text(encoding="utf-8")))


def _run(job: Job) -> Ended:
    paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        job.command,
        input=job.text,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=job.cwd,
        env={**os.environ, **FIXED, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    return Ended(done.returncode, done.stderr)


def _why(ended: Ended) -> str:
    """What was said on standard error, and how the process ended."""
    ending = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit code {ended.returncode}"
    said = last_words(ended.errors, ended.returncode)
    return f"{said} ({ending})" if said else ending


def _unwrap(result: dict[str, Any]) -> Any:
    """The value of a result; raises its error."""
    if "error" in result:
        raise getattr(errors, result["error"])(result["sentence"])
    return result["value"]


def _call(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of `function(**arguments)`, in the form drawn above."""
    module, _, name = function.partition(":")
    try:
        with heap.loading():
            called = getattr(importlib.import_module(module), name)
        with heap.set_aside():
            return {"value": called(**arguments)}
    except Exception as error:
        ours = errors.as_ours(error)
        if ours is None:
            raise
        known = next(c for c in type(ours).__mro__ if getattr(errors, c.__name__, None) is c)
        return {"error": known.__name__, "sentence": ours.sentence}


def _main() -> None:
    function, path = sys.argv[1:]
    value = json.dumps(_call(function, json.load(sys.stdin)))
    Path(path).write_text(value, encoding="utf-8")
    heap.about_to_end()


if __name__ == "__main__":
    _main()
