"""Looks at a folder of texts: a file a text in one folder a class, or a line a text in one file a class."""

from pathlib import Path
from statistics import median

from piecehub.errors import DataError
from pipelines.starting.looked import Differing, Feature, Looked, left_out, splits_of, template, what_lies_in

TEXT_MODEL = {"buckets": 16384, "width": 64}
TEXT_DESCRIPTION = (
    "A small network for texts: the mean of the vectors of hashed words, and a layer on it. It takes texts as they are."
)


def look_at_texts(source: Path) -> Looked:
    """What lies below `source`: classes, and how long texts are.

    Raises:
        DataError: if there are no texts, or some folders of them are called like splits.
    """
    found = Differing()
    lengths: list[int] = []
    reader = template("text_folder")
    for example in reader.examples(source) if source.is_dir() else ():
        found.add(example["label"], example["text"])
        lengths.append(len(example["text"].split()))
    counts = found.counts
    if not counts:
        raise DataError(
            "Expected a folder with a folder of texts ('….txt') for each class, or a file of lines for each. Received: "
            f"'{source}', {what_lies_in(source)}; sort them so, or rename them."
        )
    notes = (
        f"{len(lengths):,} texts of {len(counts)} classes, the names of folders or files; half of them have "
        f"{median(lengths):.0f} words or more.",
        *found.notes,
        *splits_of(reader, source, list(counts)),
        *left_out(source, [reader.ENDING]),
    )
    return Looked(
        source=source,
        data="text_folder",
        model="texts",
        features=(Feature("text", "BYTES"),),
        counts=counts,
        description=TEXT_DESCRIPTION,
        hub_tasks=("text-embedding",),
        arguments=TEXT_MODEL,
        notes=notes,
    )
