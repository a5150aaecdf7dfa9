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
from pathlib import Path
from typing import Any

import piecehub
from piecehub import errors
from piecehub.errors import PiecehubError

# Equal bytes need equal hashing. No GPU: on one, Keras bakes cuDNN's operations into recurrent layers, and such a
# model loads nowhere else (keras/src/backend/tensorflow/rnn.py).
_FIXED = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def run_fresh(function: str, arguments: dict[str, Any], *, cwd: Path | None = None) -> Any:
    """What `function(**arguments)` returns, computed in a fresh process.

    Args:
        function: `package.module:name`, importable where piecehub is.
        arguments: keyword arguments that JSON can carry; the returned value must be such too.
        cwd: the new process's current folder; this one's if None.

    Raises:
        PiecehubError: as the function raised it (same class, same sentence), or with the last line that the process
            wrote to its standard error, if it ended in any other way.
    """
    with tempfile.TemporaryDirectory(prefix="piecehub-fresh-") as folder:
        result = Path(folder, "result.json")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "piecehub.modeling.fresh", function, str(result)],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=_environment(),
            check=False,
        )
        if done.returncode != 0 or not result.is_file():
            raise PiecehubError(
                f"Expected '{function}' to end well in a fresh process. Received: {_last_words(done)}; "
                "if that names no cause, try again with more memory."
            )
        return _unwrap(json.loads(result.read_text(encoding="utf-8")))


def _environment() -> dict[str, str]:
    """This process's variables, such that the same piecehub is importable."""
    home = str(Path(piecehub.__file__).resolve().parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_FIXED, "PYTHONPATH": os.pathsep.join(paths)}


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line on standard error, or how the process ended."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    ending = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"{lines[-1]} ({ending})" if lines else ending


def _unwrap(result: dict[str, Any]) -> Any:
    """The value of a result; raises its error."""
    if "error" in result:
        raise getattr(errors, result["error"])(result["sentence"])
    return result["value"]


def _call(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of `function(**arguments)`, in the form drawn above."""
    module, _, name = function.partition(":")
    try:
        return {"value": getattr(importlib.import_module(module), name)(**arguments)}
    except PiecehubError as error:
        known = next(c for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
        return {"error": known.__name__, "sentence": error.sentence}


def _main() -> None:
    function, path = sys.argv[1:]
    value = json.dumps(_call(function, json.load(sys.stdin)))
    Path(path).write_text(value, encoding="utf-8")


if __name__ == "__main__":
    _main()
