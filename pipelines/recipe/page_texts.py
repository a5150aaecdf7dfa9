"""What a recipe says on the model's page: texts that somebody wrote, and words that TensorFlow Hub knows.

What the page must say of the model itself is checked as soon as that is built (`pipelines/preflight.py`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields

from piecehub.conformance import documentation_terms as terms
from piecehub.conformance.page import parse
from piecehub.documentation.person import Person
from pipelines.recipe.faults import Fault, fault
from pipelines.recipe.lines import Path
from pipelines.recipe.sentences import did_you_mean
from pipelines.recipe.spelling import closest
from pipelines.recipe.tables import Piece, Recipe

# What is no text: such a word at the start or as all of it, or a form to fill in. "The to-do lists of …" is one.
# What is left empty is asked for before it is published.
_UNWRITTEN = re.compile(
    r"\W*|\W*(TODO|TBD|FIXME|XXX)\b.*|\W*(todo|to-?do|tbd|fixme|xxx|lorem ipsum\b.*)\W*|<[^<>]*>|…+",
    re.DOTALL,
)


def person_of(config: Recipe, piece: Piece) -> Person:
    """What the recipe says on the piece's page."""
    told = config.documentation
    return Person(
        description=piece.description or told.description,
        intended_use=told.intended_use,
        limitations=told.limitations,
        training_data=told.training_data,
        license_id=told.license,
        hub_tasks=json.dumps(piece.hub_tasks or told.hub_tasks),
    )


def text_faults(recipe: Recipe) -> Iterator[Fault]:
    """All that the page would say and must not, as far as the recipe's texts tell."""
    told = recipe.documentation
    for entry in fields(told):
        if isinstance(text := getattr(told, entry.name), str):
            yield from _unwritten(text, f"documentation.{entry.name}")
    yield from _description(told.description, "documentation.description")
    if told.license not in terms.LICENSES and not _UNWRITTEN.fullmatch(told.license):
        other = closest(told.license.lower(), sorted(terms.LICENSES))
        yield fault(
            f"Expected a value of 'license' that TensorFlow Hub knows: {', '.join(sorted(terms.LICENSES))}. Received: "
            f"'{told.license}'{did_you_mean(other) if other else '; use one of those.'}",
            "documentation.license",
        )
    yield from _tasks(told.hub_tasks, "documentation.hub_tasks")
    for number, piece in enumerate(recipe.piece):
        if piece.description:
            yield from _unwritten(piece.description, ("piece", number, "description"))
            yield from _description(piece.description, ("piece", number, "description"))
        yield from _tasks(piece.hub_tasks, ("piece", number, "hub_tasks"))


def _unwritten(text: str, entry: Path | str) -> Iterator[Fault]:
    if text and _UNWRITTEN.fullmatch(text.strip()):
        name = entry if isinstance(entry, str) else f"{entry[0]}.{entry[-1]}"
        yield fault(
            f"Expected a text for '{name}', which is published on the model's page. Received: {text[:80]!r}; write it.",
            entry,
        )


def _description(text: str, entry: Path | str) -> Iterator[Fault]:
    """By the page's own reader: what it says under its first line must be a paragraph."""
    if _UNWRITTEN.fullmatch(text.strip()):
        return
    page = parse(f"# Module publisher/name/1\n\n{text}\n\n## Overview\n")
    if page.faults:
        name = entry if isinstance(entry, str) else f"{entry[0]}.{entry[-1]}"
        yield fault(f"{page.faults[0].sentence.rstrip('.')}, in '{name}'.", entry)


def _tasks(tasks: tuple[str, ...], entry: Path | str) -> Iterator[Fault]:
    for task in tasks:
        if task not in terms.TASKS:
            other = closest(task, sorted(terms.TASKS))
            yield fault(
                f"Expected a value of 'task' that TensorFlow Hub knows in 'hub_tasks'. Received: '{task}'"
                f"{did_you_mean(other) if other else '; docs/recipe.md lists them.'}",
                entry,
            )
