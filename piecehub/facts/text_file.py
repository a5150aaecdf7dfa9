"""Text files that a person names."""

from os import PathLike
from pathlib import Path

from piecehub.errors import RecipeError
from piecehub.facts.pointers import refuse_pointers


def read_text_file(path: str | PathLike[str]) -> str:
    """The text of a file in UTF-8; raises RecipeError if there is none."""
    refuse_pointers([path], "a text file")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Expected a text file. Received: '{path}', which cannot be read ({error}).") from error
