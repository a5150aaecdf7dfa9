"""What is told of the checks that a fresh process makes, while it makes them."""

from pathlib import Path

from piecehub.conformance.progress import Progress
from piecehub.facts import progress
from piecehub.facts.progress import progress_to
from piecehub.tensors.fresh import Ended, Job

JOB = Job(["program"], "", Path("result"), None)


def _run(*lines: str) -> tuple[Progress, Ended, list[str]]:
    """What is told of a process that writes these lines."""

    def run(job: Job) -> Ended:
        assert job.on_line
        for line in lines:
            job.on_line(line)
        return Ended(0, "".join(f"{line}\n" for line in lines))

    told: list[str] = []
    with progress_to(lambda value: told.append(value.text)):
        checks = Progress(run)
        ended = checks(JOB)
    return checks, ended, told


def test_each_check_is_told_as_it_begins_and_how_many_there_are(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.0)
    checks, ended, told = _run(
        "piecehub-checks 3", "piecehub-check S1", "a word", "piecehub-check S1", "piecehub-check D7"
    )
    assert told == ["check 1 of 3: S1", "check 1 of 3: S1", "check 2 of 3: D7"]
    assert (checks.check, ended.errors) == ("D7", "a word\n")


def test_what_a_strangers_process_writes_beside_it_is_neither_shown_nor_a_fault(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.0)
    strange = ("piecehub-checks many", "piecehub-check \x1b[2J", "piecehub-check D7 and more", "piecehub-checks 99999")
    _, _, told = _run(*strange, "piecehub-check D8")
    assert told == ["check 1: D8"]
