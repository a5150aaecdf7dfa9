"""The command line in a process of its own, as a person starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def piecehub(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """`piecehub` of this checkout with these words, whatever lies in the current folder."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
