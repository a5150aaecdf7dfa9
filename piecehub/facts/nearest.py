"""The known word that a misspelt one was meant to be."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str:
    """The known word that is most like `word`, by difflib's ratio; empty if none is as like as `alike`."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=alike)), "")
