"""Runs a command under limits that it cannot lift: `python limited.py CPU_S FILE_BYTES COMMAND…`.

A program of its own, since what a process may do has to be settled before it reads anything of a stranger. It dies with
whoever started it.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def _main() -> None:
    cpu_s, file_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # first a signal that tells why, then one that kills
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    _main()
