"""The ingester as a component: it reads what was listed, wherever in the spans that lies, and nothing else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from piecehub.containers.code import code_digest
from piecehub.errors import DataError
from piecehub.examples.ingest import read_facts
from piecehub.examples.records import write_records
from piecehub.store.data import FINGERPRINT, FOLDER, list_data, output

tfx = pytest.importorskip("tfx")

PART, SPLITS = "task-a", ("pool", "test")


def _write(place: Path, count: int) -> None:
    for split in SPLITS:
        write_records(place / PART / split, ({"n": [number]} for number in range(count)), shards=1)


def _ingest(told: dict[str, str], out: Path) -> str:
    """Calls the component's function as TFX does, with what the listing told; returns where the examples are."""
    from tfx.types.standard_artifacts import Examples, ExampleStatistics

    from components.example_ingester import ExampleIngester

    examples, statistics = Examples(), ExampleStatistics()
    component: Any = ExampleIngester
    examples.uri, statistics.uri = str(out / "examples"), str(out / "statistics")
    component.EXECUTOR_SPEC.executor_class._FUNCTION(
        examples=examples,
        statistics=statistics,
        source_folder=told[output(PART, FOLDER)],
        splits=json.dumps(SPLITS),
        input_fingerprint=told[output(PART, FINGERPRINT)],
        code_digest=code_digest("components.example_ingester"),
        lock_digest="",
    )
    return examples.uri


def test_it_reads_the_span_that_was_listed_though_a_newer_one_came(tmp_path: Path) -> None:
    _write(tmp_path / "views" / "1", 3)
    told = list_data(f"{tmp_path}/views/{{SPAN}}", json.dumps({PART: SPLITS}))
    _write(tmp_path / "views" / "2", 5)
    made = _ingest(told, tmp_path / "out")
    assert {split: facts.records for split, facts in read_facts(made).items()} == dict.fromkeys(SPLITS, 3)


@pytest.mark.parametrize("when", ["before it reads", "while it reads"])
def test_records_that_changed_since_the_listing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from components import example_ingester

    _write(tmp_path / "views", 3)
    told = list_data(str(tmp_path / "views"), json.dumps({PART: SPLITS}))
    ingest = example_ingester.ingest

    def edit() -> None:
        (file,) = (tmp_path / "views" / PART / "pool").iterdir()
        os.utime(file, (1, 1))

    def edited_meanwhile(*given: Any, **named: Any) -> Any:
        made = ingest(*given, **named)
        edit()
        return made

    if when == "before it reads":
        edit()
    else:
        monkeypatch.setattr(example_ingester, "ingest", edited_meanwhile)
    with pytest.raises(DataError, match="Received: others; they changed between listing and ingestion"):
        _ingest(told, tmp_path / "out")
    assert (tmp_path / "out").exists() == (when == "while it reads")
