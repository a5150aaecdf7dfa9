"""What a recipe asks of data that was looked at: which classes are held out, how many shots, how many steps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from piecehub.errors import DataError
from pipelines.starting.looked import Looked

# Fewer classes than this leave too few on either side.
_LEAST_TO_HOLD_OUT = 4
_MOST_HELD_OUT = 20
_HELD_OUT = 0.4
# Of their names, which are an argument; a recipe's arguments end at 2000 bytes.
_MOST_BYTES = 1200
# What write_splits deals to the pool of a class, held out or not.
_POOL = {True: 0.6, False: 0.25}
_SHOTS = {True: (5, 10, 25), False: (20, 50, 100)}
# Examples that training sees, all epochs together: enough for a small network, and done in minutes; pictures take most.
_SEEN = {"pictures": 30_000, "texts": 40_000, "columns": 40_000}


@dataclass(frozen=True)
class Plan:
    """The numbers of a recipe.

    Attributes:
        held_out: the classes of the downstream task; none: it has all of them.
        outputs: of the full model.
        labels: how many numbers a label may have, upstream and downstream.
    """

    task: str
    held_out: tuple[Any, ...]
    outputs: int
    labels: int
    shots: tuple[int, ...]
    epochs: int
    batch_size: int
    notes: tuple[str, ...]


def plan_for(looked: Looked) -> Plan:
    """A plan that these data are enough for.

    Raises:
        DataError: if there are too few classes or examples.
    """
    if looked.trained:
        return _plan_for_trained(looked)
    held_out, notes = _held_out(looked)
    kept = {name: count for name, count in looked.counts.items() if name not in held_out}
    asked = {name: looked.counts[name] for name in held_out} if held_out else looked.counts
    outputs = len(kept) if looked.classes else 1
    shots = _shots(looked, asked, bool(held_out))
    trained = round(sum(kept.values()) * (0.9 if held_out else 0.5))
    return Plan(
        task="new-classes" if held_out else "few-examples",
        held_out=held_out,
        outputs=outputs,
        labels=max(len(kept), len(held_out)),
        shots=shots,
        epochs=min(40, max(3, round(_SEEN[looked.model] / trained))),
        batch_size=64 if trained > 5_000 else 32,
        notes=tuple(notes),
    )


def _plan_for_trained(looked: Looked) -> Plan:
    """All examples are the task's, and nothing is trained."""
    if looked.classes and len(looked.counts) < 2:
        raise DataError(f"Expected two classes or more. Received: one, {next(iter(looked.counts))!r}; add another.")
    shots = _shots(looked, looked.counts, held_out=True)
    return Plan("downstream", (), 0, len(looked.counts), shots, epochs=0, batch_size=32, notes=())


def _held_out(looked: Looked) -> tuple[tuple[Any, ...], list[str]]:
    """The classes that the model does not see, chosen by the digest of their names, so that no order matters."""
    few = "the model's upstream and downstream task ask the same, of different examples"
    if not looked.classes:
        return (), [f"The label is a value: {few}."]
    names = sorted(looked.counts, key=lambda name: sha256(str(name).encode()).digest())
    if len(names) < 2:
        raise DataError(
            f"Expected two classes or more. Received: one, {names[0]!r}; add another, or name the place that holds the "
            "classes."
        )
    if len(names) < _LEAST_TO_HOLD_OUT:
        return (), [f"{len(names)} classes are too few to hold some out: {few}."]
    number = min(_MOST_HELD_OUT, max(2, int(_HELD_OUT * len(names))))
    # Those of which there is most: each needs examples to learn from and to be tested on.
    chosen = sorted(names, key=lambda name: -min(looked.counts[name], 50))[:number]
    while number > 2 and len(json.dumps(chosen)) > _MOST_BYTES:
        number -= 1
        chosen = chosen[:number]
    shown = ", ".join(str(name) for name in sorted(chosen, key=str)[:5]) + (", …" if number > 5 else "")
    return tuple(sorted(chosen, key=lambda name: (isinstance(name, str), name))), [
        f"{number} classes are held out, and make the downstream task ({shown}): data.arguments.held_out."
    ]


def _shots(looked: Looked, asked: Mapping[Any, int], held_out: bool) -> tuple[int, ...]:
    """Two numbers of shots, or one, of which the pool has twice as many: the other half is for validation."""
    scarce = min(asked, key=lambda name: asked[name])
    pool = round(_POOL[held_out] * asked[scarce])
    fitting = [shots for shots in _SHOTS[looked.classes] if 2 * shots <= pool]
    if fitting:
        return tuple(fitting[:2])
    if pool < 4:
        column = (looked.columns or {}).get("label")
        label, another = (f" in the label '{column}'", ", or name another label by --label") if column else ("", "")
        what = f"of the class '{scarce}'{label}" if looked.classes else "in all"
        away = ", take the class away" if looked.classes else ""
        raise DataError(
            f"Expected {round(4 / _POOL[held_out])} examples or more {what}: some to learn from, some to choose by and "
            f"some to test on. Received: {asked[scarce]}, equal ones counted once; add some{away}{another}."
        )
    return (pool // 2,)
