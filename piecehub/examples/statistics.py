"""Statistics of a split as TensorFlow Data Validation computes them, taken while the one pass goes by.

TFX's StatisticsGen would read every record again, through Beam. TFDV's own generators combine statistics batch by
batch; what they hold does not grow with the data, as long as they count distinct values by sketches.
"""

# TFDV has no types, and works only in a process that imported TFX.
# pyright: basic

from pathlib import Path
from typing import Any

# Of TFX's StatisticsGen (tfx/components/statistics_gen/executor.py).
_FILE = "FeatureStats.pb"


class SplitStatistics:
    """Gathers the statistics of a split, and writes them as TFX's ExampleValidator reads them."""

    def __init__(self) -> None:
        from tensorflow_data_validation.statistics import stats_impl, stats_options

        options = stats_options.StatsOptions(use_sketch_based_topk_uniques=True)
        self._generators: list[Any] = stats_impl.get_generators(options, in_memory=True)
        self._gathered = [generator.create_accumulator() for generator in self._generators]

    def observe(self, table: Any) -> None:
        """Counts a batch of records, an Arrow table with a list of values for each feature."""
        pairs = zip(self._generators, self._gathered, strict=True)
        self._gathered = [generator.compact(generator.add_input(before, table)) for generator, before in pairs]

    def write(self, uri: str, split: str) -> None:
        """Writes them into an ExampleStatistics artifact."""
        from tensorflow_data_validation.statistics import stats_impl

        folder = Path(uri) / f"Split-{split}"
        folder.mkdir(parents=True)
        found: Any = stats_impl.extract_statistics_output(self._gathered, self._generators)
        (folder / _FILE).write_bytes(found.SerializeToString(deterministic=True))
