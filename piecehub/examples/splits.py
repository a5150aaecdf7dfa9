"""Deals one set of labelled examples into what a recipe needs: upstream to train on, and a downstream task.

    classes that are held out ─► <task>/{pool,test}         the model never sees them before it is judged by them
    all other classes         ─► upstream/{train,eval}

Without held-out classes the task asks the same as upstream, of examples that are in no upstream split. An example's
split hangs on the digest of its content, so more examples move few of the others, and equal examples are one: nothing
that is tested can have been learned by heart.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.records import serialize, write_serialized

# Of each class (of all examples, where the label is a value): held out, not held out, and where none is held out.
_HELD_OUT = {"pool": 0.6, "test": 0.4}
_KEPT = {"train": 0.9, "eval": 0.1}
_SHARED = {"train": 0.5, "eval": 0.1, "pool": 0.25, "test": 0.15}
_UPSTREAM = ("train", "eval")


@dataclass
class _Spilled:
    """An example that lies in a file for the time being."""

    digest: bytes
    start: int
    length: int
    label: Any


@dataclass
class _Groups:
    """What is dealt out alike: the examples of a class, or all of them."""

    examples: dict[Any, list[_Spilled]] = field(default_factory=dict[Any, list[_Spilled]])
    seen: set[bytes] = field(default_factory=set[bytes])


def write_splits(
    folder: str | PathLike[str],
    examples: Iterable[Mapping[str, Any]],
    *,
    task: str,
    label: str = "label",
    held_out: Sequence[str | int] = (),
    classes: bool = True,
    upstream: bool = True,
    shards: int = 4,
) -> dict[str, int]:
    """Writes `upstream/{train,eval}` and `task/{pool,test}` as TFRecords; returns how many examples are in each.

    Classes become numbers, upstream and downstream each from 0, in the order of their names (of numbers, of their
    size). Each class is dealt out by itself. Memory holds 100 bytes an example; the examples lie in a temporary file
    meanwhile.

    Args:
        folder: where to.
        examples: each by feature, as `write_records` takes them, with the label as a text, an integer or, if it is a
            value, a float.
        task: the name of the downstream task.
        label: the feature that is the class, or the value.
        held_out: the classes of the downstream task; with none it has all of them.
        classes: whether the label is a class; else it is a value, which stays as it is.
        upstream: whether there is anything to train on; else all is the task's.
        shards: files of each split.

    Raises:
        DataError: if an example has no label, a held-out class has no example, fewer than two classes are left on a
            side, or a split would be empty.

    Example:
        >>> rows = ({"values": np.arange(4.0) + n, "label": "abcd"[n % 4]} for n in range(80))
        >>> piecehub.write_splits("my_data", rows, task="c-or-d", held_out=["c", "d"])
        {'upstream/train': 36, 'upstream/eval': 4, 'c-or-d/pool': 24, 'c-or-d/test': 16}
    """
    with tempfile.TemporaryFile() as spilled:
        groups = _spill(examples, label, classes, spilled)
        chosen = [_named(name) for name in held_out] if upstream else list(groups.examples)
        dealt = _dealt(groups, chosen, classes, upstream)
        counts: dict[str, int] = {}
        for split in dealt:
            place = f"{'upstream' if split in _UPSTREAM else task}/{split}"
            # In the order in which they came: which of equal examples came first is no matter.
            members = sorted(dealt[split], key=lambda pair: pair[0].start)
            records = (_labelled(spilled, one, label, number) for one, number in members)
            counts[place] = write_serialized(Path(folder) / place, records, shards=shards)
    return counts


def _spill(examples: Iterable[Mapping[str, Any]], label: str, classes: bool, spilled: BinaryIO) -> _Groups:
    """Writes examples without their labels into a file, each content once."""
    groups, place = _Groups(), 0
    for number, example in enumerate(examples):
        if label not in example:
            raise DataError(f"Expected the feature '{label}' in each example. Received: none in example {number}.")
        record = serialize({name: value for name, value in example.items() if name != label})
        digest = hashlib.sha256(record).digest()[:16]
        if digest in groups.seen:
            continue
        groups.seen.add(digest)
        spilled.write(record)
        value = _named(example[label])
        group = value if classes else ""
        groups.examples.setdefault(group, []).append(_Spilled(digest, place, len(record), value))
        place += len(record)
    return groups


def _named(value: Any) -> Any:
    """A label as Python has it: a text, an integer or a float."""
    value = value.item() if hasattr(value, "item") else value
    return value.decode() if isinstance(value, bytes) else value


def _dealt(
    groups: _Groups, held_out: Sequence[Any], classes: bool, upstream: bool
) -> dict[str, list[tuple[_Spilled, Any]]]:
    """Each split's examples, with what the label becomes."""
    missing = [name for name in held_out if name not in groups.examples]
    if missing:
        raise DataError(f"Expected held-out classes that have examples. Received: '{missing[0]}', which has none.")
    kept = [name for name in _sorted(groups.examples) if name not in held_out]
    sides = [(kept, _KEPT if held_out else _SHARED)] if upstream else []
    if held_out:
        sides.append((_sorted(held_out), _HELD_OUT))
    splits: dict[str, list[tuple[_Spilled, Any]]] = {name: [] for _, shares in sides for name in shares}
    for names, shares in sides:
        if classes and len(names) < 2:
            raise DataError(
                "Expected two classes or more upstream, and as many that are held out, if any is. Received: "
                f"{', '.join(map(str, names)) or 'none'}; hold out others, or none."
            )
        for number, name in enumerate(names):
            members = sorted(groups.examples[name], key=lambda one: one.digest)
            _deal(members, shares, number if classes else None, splits)
    empty = [name for name, chosen in splits.items() if not chosen]
    if empty:
        raise DataError(f"Expected examples for each split. Received: too few for '{empty[0]}'; add some.")
    return splits


def _sorted(names: Iterable[Any]) -> list[Any]:
    return sorted(names, key=lambda name: (isinstance(name, str), name))


def _deal(
    members: Sequence[_Spilled],
    shares: Mapping[str, float],
    number: int | None,
    splits: Mapping[str, list[tuple[_Spilled, Any]]],
) -> None:
    """Cuts the examples of a class where the shares say, each rounded to whole examples."""
    start, share = 0, 0.0
    for split, part in shares.items():
        share += part
        stop = round(share * len(members))
        splits[split].extend((one, one.label if number is None else number) for one in members[start:stop])
        start = stop


def _labelled(spilled: BinaryIO, one: _Spilled, label: str, value: Any) -> bytes:
    spilled.seek(one.start)
    example = tf.train.Example.FromString(spilled.read(one.length))
    added = tf.train.Example.FromString(serialize({label: value}))
    example.MergeFrom(added)
    return example.SerializeToString(deterministic=True)
