"""Attributes that have another value for a while."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def swapped(changes: Iterable[tuple[object, str, Any]]) -> Iterator[None]:
    """Lays each `(object, name, value)` over the object's own attributes while the block runs.

    Written into `vars(object)`, past `__setattr__`: Keras tracks what is assigned to a layer, and would go on to hold,
    save and count it.
    """
    changes = list(changes)
    before = [vars(holder).get(name, _ABSENT) for holder, name, _ in changes]
    for holder, name, value in changes:
        vars(holder)[name] = value
    try:
        yield
    finally:
        for (holder, name, _), value in reversed(list(zip(changes, before, strict=True))):
            if value is _ABSENT:
                vars(holder).pop(name, None)
            else:
                vars(holder)[name] = value
