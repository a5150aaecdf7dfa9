"""The one pass: canonical order, digests, shards, however the source is cut and however little memory there is."""

import gzip
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples import ingest as module
from piecehub.examples.canonical import key
from piecehub.examples.ingest import ingest, read_facts
from piecehub.examples.records import write_records
from piecehub.examples.shards import SplitFacts
from piecehub.examples.statistics import Statistics
from piecehub.examples.tfrecord_files import records_in
from piecehub.facts import progress
from tests.in_memory import read_records, records_digest


def _source(folder: Path, count: int = 60, shards: int = 3) -> str:
    rng = np.random.default_rng(0)
    rows: Any = ({"x": rng.bytes(900), "label": n % 3} for n in range(count))
    write_records(folder / "train", rows, shards=shards)
    return str(folder)


def _tree(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _records(out: Path) -> list[bytes]:
    return [record for path in sorted((out / "Split-train").iterdir()) for _, record in records_in(str(path))]


@pytest.mark.parametrize("shard_bytes", [10**9, 20_000, 1])
def test_records_lie_in_canonical_order_with_the_digest_that_they_always_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: int
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", shard_bytes)
    source = _source(tmp_path / "source")
    [facts] = ingest(source, ["train"], tmp_path / "out").values()
    assert _records(tmp_path / "out") == read_records(source, "train")
    assert facts.digest == records_digest(source, "train")
    assert (facts.records, facts.bytes) == (60, sum(map(len, read_records(source, "train"))))
    assert facts.shards == len(list((tmp_path / "out" / "Split-train").iterdir()))
    assert (facts.shards == 1) == (shard_bytes == 10**9)
    assert read_facts(str(tmp_path / "out")) == {"train": facts}


def test_it_says_what_it_does_and_how_many_examples_it_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.0)
    told: list[progress.Progress] = []
    with progress.progress_to(told.append):
        ingest(_source(tmp_path / "in"), ("train",), tmp_path / "out")
    assert list(dict.fromkeys(value.phase for value in told)) == ["reading 'train'", "", "putting 'train' in order"]
    assert [value.counts[0].at for value in told if value.counts] == list(range(1, 61))


def test_shards_depend_on_the_records_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 20_000)
    _source(tmp_path / "one", shards=1)
    _source(tmp_path / "seven", shards=7)
    for path in (tmp_path / "seven" / "train").iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for name in ("one", "seven"):
        ingest(str(tmp_path / name), ["train"], tmp_path / f"{name}-out")
    one, seven = (
        {path.name: path.read_bytes() for path in (tmp_path / f"{name}-out" / "Split-train").iterdir()}
        for name in ("one", "seven")
    )
    assert len(one) > 2
    assert one == seven


def test_a_shard_holds_what_has_the_same_first_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 20_000)
    [facts] = ingest(_source(tmp_path / "source"), ["train"], tmp_path / "out").values()
    bits = module.shard_bits(facts.bytes)
    assert bits == 2
    found = [
        {key(record)[0] >> 6 for _, record in records_in(str(path))}
        for path in sorted((tmp_path / "out" / "Split-train").iterdir())
    ]
    assert found == [{0}, {1}, {2}, {3}]


def test_no_more_than_a_shard_is_held_in_memory_whatever_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal records have equal keys, so no dealing parts them: they need no sorting either."""
    monkeypatch.setattr(module, "SHARD_BYTES", 5_000)
    sizes: list[int] = []
    original = sorted

    def counted(records: Any) -> Any:
        held = original(records)
        if held and isinstance(held[0], tuple):
            sizes.append(sum(len(record) for _, record in held))
        return held

    monkeypatch.setattr(module, "sorted", counted, raising=False)
    rows: list[Any] = [{"x": b"a" * 900}] * 50 + [{"x": bytes([n]) * 900} for n in range(50)]
    write_records(tmp_path / "source" / "train", rows, shards=1)
    [facts] = ingest(str(tmp_path / "source"), ["train"], tmp_path / "out").values()
    assert _records(tmp_path / "out") == read_records(str(tmp_path / "source"), "train")
    assert facts.records == 100
    assert sizes and max(sizes) <= 5_000


def test_what_is_no_finite_number_is_counted(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    rows: list[Any] = [{"x": [nan, nan], "y": 1}, {"x": [1.0, nan], "y": 2}, {"x": [inf, 1.0], "y": 3}, {"y": 4}]
    write_records(tmp_path / "source" / "train", rows, shards=1)
    [facts] = ingest(str(tmp_path / "source"), ["train"], tmp_path / "out").values()
    assert facts.not_finite == {"x": [3, 2, 1, 1]}


def test_statistics_are_those_of_tfdv_and_depend_on_the_records_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Statistics()  # makes TFDV one that can be imported
    tfdv: Any = importlib.import_module("tensorflow_data_validation")
    rng = np.random.default_rng(0)
    rows: list[Any] = [{"x": rng.random(3), "t": f"text {n % 7}", "label": n % 3} for n in range(500)]
    monkeypatch.setattr(module, "SHARD_BYTES", 4_000)
    for name, shards, order in [("one", 1, rows), ("four", 4, rows[::-1])]:
        write_records(tmp_path / name / "train", order, shards=shards)
        ingest(str(tmp_path / name), ["train"], tmp_path / f"{name}-out", str(tmp_path / f"{name}-stats"))
    one, four = (tmp_path / f"{name}-stats" / "Split-train" / "FeatureStats.pb" for name in ("one", "four"))
    assert one.read_bytes() == four.read_bytes()
    found = {feature.path.step[0]: feature for feature in tfdv.load_stats_binary(str(one)).datasets[0].features}
    values = np.array([row["x"] for row in rows], np.float32)
    assert found["x"].num_stats.common_stats.num_non_missing == 500
    assert found["x"].num_stats.mean == pytest.approx(values.mean(), rel=1e-5)
    assert found["x"].num_stats.max == pytest.approx(values.max())
    assert found["t"].string_stats.unique == 7
    schema = tfdv.infer_schema(tfdv.load_stats_binary(str(one)))
    assert not tfdv.validate_statistics(tfdv.load_stats_binary(str(one)), schema).anomaly_info


@pytest.mark.parametrize("shard_bytes", [10**9, 20_000])
def test_a_beam_pipeline_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: int
) -> None:
    from piecehub.examples.on_beam import ingest_on_beam

    monkeypatch.setattr(module, "SHARD_BYTES", shard_bytes)
    source = _source(tmp_path / "source")
    ingest(source, ["train"], tmp_path / "out", str(tmp_path / "stats"))
    ingest_on_beam(
        source, ["train"], tmp_path / "beam", str(tmp_path / "beam-stats"), beam_args=["--runner=FnApiRunner"]
    )
    for one, other in (("out", "beam"), ("stats", "beam-stats")):
        trees = [
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in (tmp_path / name).rglob("*")
                if path.is_file()
            }
            for name in (one, other)
        ]
        assert trees[0] == trees[1]


def test_a_beam_pipeline_refuses_what_the_pass_refuses(tmp_path: Path) -> None:
    from piecehub.examples.on_beam import ingest_on_beam

    (tmp_path / "source" / "train").mkdir(parents=True)
    for content in (b"", b"no record at all"):
        (tmp_path / "source" / "train" / "part").write_bytes(content)
        with pytest.raises(Exception, match=r"Expected examples in split 'train'|is damaged at byte 0"):
            ingest_on_beam(
                str(tmp_path / "source"), ["train"], tmp_path / f"out{len(content)}", beam_args=["--runner=FnApiRunner"]
            )


def test_a_damaged_record_is_named_with_its_file_and_its_place(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", shards=1)
    [path] = (tmp_path / "source" / "train").iterdir()
    [*_, (place, _)] = records_in(str(path))
    content = bytearray(path.read_bytes())
    content[place + 20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"{path.name}, which is damaged at byte {place};"):
        ingest(source, ["train"], tmp_path / "out")
    packed = path.with_name("part.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    with pytest.raises(DataError, match=rf"part\.gz, which is damaged at byte {place};"):
        ingest(source, ["train"], tmp_path / "out2")


def test_a_record_that_is_no_example_is_named_with_its_file_and_its_place(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", shards=1)
    path = tmp_path / "source" / "train" / "x"
    good = read_records(source, "train")[0]
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(good)
        writer.write(b"\xff\xff")
    with pytest.raises(DataError, match=rf"{path}, which holds another record at byte {len(good) + 16};"):
        ingest(source, ["train"], tmp_path / "out")


def test_a_feature_of_two_types_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "source" / "train", [{"x": 1}, {"x": 1.5}], shards=1)
    with pytest.raises(DataError, match=r'each feature to be of one type.* feature "x"'):
        ingest(str(tmp_path / "source"), ["train"], tmp_path / "out")


def test_an_empty_split_and_examples_that_were_not_ingested_are_refused(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    with pytest.raises(DataError, match="Expected examples in split 'eval'"):
        ingest(source, ["train", "eval"], tmp_path / "out")
    with pytest.raises(DataError, match="canonical order"):
        read_facts(source)


def test_nothing_of_the_dealing_is_left(tmp_path: Path) -> None:
    found = ingest(_source(tmp_path / "source"), ["train"], tmp_path / "out")
    assert isinstance(found["train"], SplitFacts)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Split-train", "examples.json"]
