"""Python's collector: what it looks through, and when."""

import gc
import weakref
from collections.abc import Generator

import pytest

from piecehub.facts import heap


class _Circle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.own = self


def _circle() -> "weakref.ref[_Circle]":
    return weakref.ref(_Circle())


def test_the_collector_waits_while_libraries_are_loaded_and_then_works_as_before() -> None:
    with heap.loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), heap.loading():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with heap.loading():
            pass
        assert not gc.isenabled()  # somebody else's choice
    finally:
        gc.enable()


@pytest.fixture
def watched() -> Generator[None]:
    """What all other tests set aside (tests/conftest.py) is not for once."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_what_was_there_before_is_not_looked_through_and_what_comes_is(watched: None) -> None:
    before = _circle()
    with heap.set_aside():
        during = _circle()
        heap.give_back()
        assert before() is not None and during() is None
    heap.give_back()
    assert before() is None and gc.get_freeze_count() == 0


def test_one_within_another_leaves_nothing_aside_that_came_between(watched: None) -> None:
    with heap.set_aside():
        between = _circle()
        with heap.set_aside():
            heap.give_back()
            assert between() is not None
        heap.give_back()
        assert between() is None
        with heap.set_aside():
            assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_set_aside_stays_so(watched: None) -> None:
    gc.freeze()
    with heap.set_aside():
        during = _circle()
    heap.give_back()
    assert during() is None and gc.get_freeze_count() > 0
