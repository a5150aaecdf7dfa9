"""Statistics as TensorFlow Data Validation computes them, taken while the one pass goes by.

TFX's StatisticsGen would read every record again, through Beam. TFDV's own generators combine statistics batch by
batch; what they hold does not grow with the data, since they count distinct values by sketches.
"""

# TFDV has no types.
# pyright: basic

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# Of TFX's StatisticsGen (tfx/components/statistics_gen/executor.py).
_FILE = "FeatureStats.pb"


class Statistics:
    """What was gathered of some records; it travels between processes, and is merged in the order of shards."""

    def __init__(self) -> None:
        self._gathered: list[Any] = [generator.create_accumulator() for generator in _generators()]

    def observe(self, table: Any) -> None:
        """Counts a batch of records, an Arrow table with a list of values for each feature."""
        pairs = zip(_generators(), self._gathered, strict=True)
        self._gathered = [generator.compact(generator.add_input(before, table)) for generator, before in pairs]

    def merge(self, other: "Statistics") -> None:
        """Counts what `other` has counted."""
        triples = zip(_generators(), self._gathered, other._gathered, strict=True)
        self._gathered = [generator.merge_accumulators([one, more]) for generator, one, more in triples]

    def write(self, folder: Path) -> None:
        """Writes them into the folder of a split in an ExampleStatistics artifact, for TFX's ExampleValidator."""
        folder.mkdir(parents=True)
        found: Any = _tfdv("stats_impl").extract_statistics_output(self._gathered, _generators())
        (folder / _FILE).write_bytes(found.SerializeToString(deterministic=True))


def _generators() -> list[Any]:
    options = _tfdv("stats_options").StatsOptions(use_sketch_based_topk_uniques=True)
    return _tfdv("stats_impl").get_generators(options, in_memory=True)


def _tfdv(module: str) -> Any:
    """A module of TFDV's statistics, which import one that tfx-bsl 1.21 lacks and nobody here calls (tfx/__init__)."""
    sys.modules.setdefault("tfx_bsl.arrow.sql_util", ModuleType("sql_util"))
    return importlib.import_module(f"tensorflow_data_validation.statistics.{module}")
