"""Where each entry of a TOML text stands: held against texts in which each number is that of its own line."""

import tomllib
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from pipelines.recipe.lines import lines_of
from pipelines.recipe.loader import RECIPES

# Each @ is the number of its line.
EVERYTHING = (
    r'''# comment = @
a = @
"quoted.key" = @ # [not] = "a" table
'lit' = @
[t] # x
b = @
c.d.e = @
c.f = @
[ t . "u v" ]
g = [@, @,
  # c ] } , "
  @, [@,
  @],
]
h = {i = @, "j}" = {k = @}}
i = """
a = 3
[b]
"quotes" \""" """
date = 1979-05-27 07:32:00 # a quote: "
[[task]]
name = @
x = [ {y = @}, {y = @, z = [@,
@]} ]
lit = '''
    + """'''
[[task]]
'''
[task.sub]
q = @
[[task.list]]
r = @
[[task]]
[[task.list]]
r = @
[[task.list]]
r = @
s.t = @
neg = -@
fl = @.5
sep = 1_000
m = \"\"\"one\"\"\"\"
n = @
o = ''
[v."a.b".'c']
w=@
"""
)


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if not isinstance(value, dict | list):
        yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, (*path, key))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_value_stands_where_it_says(end: str) -> None:
    numbered = [line.replace("@", str(number)) for number, line in zip(count(1), EVERYTHING.split("\n"), strict=False)]
    text = end.join(numbered)
    lines = lines_of(text)
    found = dict(_leaves(tomllib.loads(text)))
    told = {path: abs(int(value)) for path, value in found.items() if type(value) in (int, float) and value != 1000}
    assert len(told) > 25
    assert {path: lines[path] for path in told} == told
    assert set(found) <= set(lines)
    assert lines["task",] == lines["task", 0] < lines["task", 0, "sub"] < lines["task", 1]


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*/recipe.toml")), ids=lambda path: path.parent.name)
def test_every_entry_of_a_shipped_recipe_is_found(recipe: Any) -> None:
    text = recipe.read_text("utf-8")
    lines, rows = lines_of(text), text.split("\n")
    for path, _ in _leaves(tomllib.loads(text)):
        if isinstance(entry := path[-1], str):  # the elements of a list may go on in later lines
            assert f"{entry} =" in rows[lines[path] - 1]
