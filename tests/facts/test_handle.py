"""Handles: what a version may be called is asked once, where a handle is made."""

import pytest

from piecehub.errors import RecipeError
from piecehub.facts.handle import MAX_VERSION, Handle


@pytest.mark.parametrize("version", [0, -1, MAX_VERSION + 1, 1795947743282894000, 10**30, 1.5, True])
def test_b13_a_version_that_no_reader_would_find_is_no_handle(version):
    made = False
    try:
        made = bool(Handle("acme", "tiny", version))
    except RecipeError as error:
        assert "a whole version from 1 to 999999999999999999" in error.sentence
    assert not made


def test_b13_text_and_numbers_have_one_bound():
    assert Handle.parse(f"acme/tiny/{MAX_VERSION}") == Handle("acme", "tiny", MAX_VERSION)
    with pytest.raises(RecipeError):
        Handle.parse(f"acme/tiny/{MAX_VERSION + 1}")


@pytest.mark.parametrize(("publisher", "name"), [("a" * 256, "tiny"), ("acme", "b" * 256), ("acme", "a/" + "b" * 256)])
def test_e14_a_name_that_no_file_system_takes_is_named_by_its_length(publisher, name):
    sentence = ""
    try:
        Handle(publisher, name, 1)
    except RecipeError as error:
        sentence = error.sentence
    assert "at most 200 characters" in sentence and "256" in sentence
