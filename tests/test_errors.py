"""A full disk is told by one sentence, whichever library met it, and nothing else is taken for one."""

import errno
import os
import sys

import pytest

from piecehub.cli import main
from piecehub.errors import DataError, EnvironmentProblem, NoSpace, as_ours, no_space, telling_no_space


def _full(number: int = errno.ENOSPC, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


def _raised(error: Exception, around: Exception, *, on_purpose: bool) -> Exception:
    """An error that was raised from another, or while that was met."""
    if on_purpose:
        around.__cause__ = error
    else:
        around.__context__ = error
    return around


@pytest.mark.parametrize(
    ("error", "received"),
    [
        (_full(filename="/disk/a b"), "in '/disk/a b'. Received: no space left on device;"),
        (_full(), "in '/work'. Received: no space left on device;"),
        (_full(errno.EDQUOT), "in '/work'. Received: disk quota exceeded;"),
        # What TensorFlow, Beam, Arrow and SQLite make of it.
        (RuntimeError("RESOURCE_EXHAUSTED: /disk/x.tfrecord; No space left on device"), "in '/disk/x.tfrecord'. Rec"),
        (RuntimeError("OSError: [Errno 28] No space left on device [while running 'Run[X]']"), "in '/work'. Received"),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"), "Received: no space left"),
        (RuntimeError("database or disk is full"), "Received: no space left on device;"),
        (_raised(_full(), ValueError("cannot write"), on_purpose=True), "Received: no space left on device;"),
        (_raised(_full(), DataError("Expected rows. Received: none."), on_purpose=True), "Received: no space left on"),
        (_raised(_full(), KeyError("x"), on_purpose=False), "Received: no space left on device;"),
    ],
)
def test_a_full_disk_is_one_sentence_that_says_what_frees_some(error: Exception, received: str) -> None:
    told = no_space(error, "/work")
    assert isinstance(told, NoSpace) and isinstance(told, EnvironmentProblem) and told.exit_code == 3
    assert told.sentence.startswith("Expected room for what is written in '/") and received in told.sentence
    assert "free some, such as by `piecehub workdir gc`" in told.sentence
    assert type(as_ours(error)) is NoSpace


@pytest.mark.parametrize(
    "error", [OSError(errno.EFBIG, "File too large"), ValueError("no space in the name"), DataError("x"), MemoryError()]
)
def test_nothing_else_is_taken_for_one(error: Exception) -> None:
    assert no_space(error) is None
    with pytest.raises(type(error)) as raised, telling_no_space("/work"):
        raise error
    assert raised.value is error


def test_what_is_told_once_is_told_with_its_place() -> None:
    with pytest.raises(NoSpace, match="in '/inner'"), telling_no_space("/outer"), telling_no_space("/inner"):
        raise _full()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_command_that_meets_it_ends_with_that_sentence_and_exit_code_3(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def meet(**_: object) -> None:
        met = _full(filename="/disk/x")
        raise _raised(met, RuntimeError("odd"), on_purpose=True) if wrapped else met

    monkeypatch.setattr(main.cli, "main", meet)
    monkeypatch.setattr(sys, "argv", ["piecehub", "models"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("piecehub: Expected room for what is written in '/disk/x'. Received: no space left on")
