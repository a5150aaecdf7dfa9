"""Publishers by the hundred: one process imports piecehub once, and forks one publisher for each line that it reads.

    → {"place", "model", "version": N or null, "kind", "at", "lasting", "after_s": when to be killed, or null}
    ← {"end": "published 1", "was there 1", "killed", or the error's class, "sentence", "calls": [each call's kind]}

`"together": [job, …]` forks all of them before it waits for any.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.store.faults.injection import Injection


@dataclass(frozen=True)
class Job:
    """One publisher, and what happens to it."""

    place: str
    model: str
    version: int | None = None
    name: str = "tiny"
    kind: str = ""
    at: int = -1
    lasting: bool = False
    after_s: float | None = None


@dataclass(frozen=True)
class End:
    """How a publisher ended."""

    end: str
    sentence: str = ""
    calls: list[str] = field(default_factory=list[str])


class Forge:
    """Runs publishers in processes of their own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def publish(self, job: Job) -> End:
        """Runs one to its end."""
        return self.together([job])[0]

    def together(self, jobs: list[Job]) -> list[End]:
        """Runs all at once."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([asdict(job) for job in jobs]), file=self._process.stdin, flush=True)
        return [End(**end) for end in json.loads(self._process.stdout.readline())]


@contextmanager
def running_forge(**environment: str) -> Iterator[Forge]:
    """A forge; everything that it started is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.store.faults.forge"],
        env=os.environ | environment | {"PYTHONPATH": "."},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Forge(process)
    finally:
        process.kill()
        process.wait(30)


def _run(job: Job, report: int) -> None:
    """The publisher; never returns."""
    from piecehub.errors import PiecehubError
    from piecehub.store.catalog import Store
    from piecehub.store.publish import publish

    injection = Injection(job.kind, job.at, job.lasting)
    injection.install()
    place: Any = job.place if "://" in job.place else Path(job.place)
    blobs = {"documentation.md": b"# Page", "evidence.json": b"{}"}
    try:
        done = publish(Store.open(place), Path(job.model), "acme", job.name, version=job.version, blobs=blobs, facts={})
        end = End(f"{'published' if done.created else 'was there'} {done.handle.version}", "", injection.seen)
    except PiecehubError as error:
        end = End(type(error).__name__, error.sentence, injection.seen)
    except BaseException as error:  # noqa: BLE001  the report is all that comes out of this process
        end = End(f"raised {type(error).__name__}", str(error), injection.seen)
    os.write(report, json.dumps(asdict(end)).encode())
    os._exit(0)


def _start(job: Job) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(job, writer)
    os.close(writer)
    return child, reader


def _end(child: int, reader: int) -> End:
    with os.fdopen(reader, "rb") as report:
        text = report.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return End("killed")
    return End(**json.loads(text)) if text else End(f"exited {status}")


def main() -> None:
    """Serves lines of jobs until its input ends."""
    from piecehub.store import publish  # noqa: F401  once, for all children
    from piecehub.store.cloud import open_bucket  # noqa: F401

    for line in sys.stdin:
        jobs = [Job(**value) for value in json.loads(line)]
        started = [(*_start(job), job) for job in jobs]
        for child, _, job in started:
            if job.after_s is not None:
                time.sleep(job.after_s)
                os.kill(child, signal.SIGKILL)
        print(json.dumps([asdict(_end(child, reader)) for child, reader, _ in started]), flush=True)


if __name__ == "__main__":
    main()
