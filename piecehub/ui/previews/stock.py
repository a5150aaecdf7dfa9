"""Previews of what stock TFX makes: schema, statistics per feature, anomalies, by the protos of tensorflow_metadata.

These take no TensorFlow, but a package of the pipeline's; where that is not installed a sentence stands in their place.
"""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from piecehub.ui.previews.values import MOST_ROWS, Preview, Unreadable, number, read_bytes, table

SCHEMA, STATISTICS, ANOMALIES = "schema.pbtxt", "FeatureStats.pb", "SchemaDiff.pb"
_COLUMNS = (
    "feature",
    "type",
    "present",
    "missing",
    "mean",
    "deviation",
    "least",
    "median",
    "greatest",
    "zeros",
    "values",
)
_TOP_VALUES = 3


def schema(folder: Path) -> list[Preview]:
    """The features that a schema declares."""
    proto, text_format = _protos("schema_pb2"), _protobuf("text_format")
    found = proto.Schema()
    text = read_bytes(folder / SCHEMA).decode(errors="replace")
    _parsed(SCHEMA, lambda: text_format.Parse(text, found))
    domains = {domain.name: domain for domain in found.string_domain}
    rows = [
        (
            feature.name,
            proto.FeatureType.Name(feature.type).lower(),
            _presence(feature),
            _shape(feature),
            _domain(feature, domains),
        )
        for feature in found.feature
    ]
    return [table("Schema", ("feature", "type", "present", "shape", "values"), rows)]


def statistics(folder: Path) -> list[Preview]:
    """The statistics of each feature, a table a split."""
    return [_statistics(split, path) for split, path in _splits(folder, STATISTICS)]


def anomalies(folder: Path) -> list[Preview]:
    """What of the examples breaks the schema, a table a split."""
    return [_anomalies(split, path) for split, path in _splits(folder, ANOMALIES)]


def _splits(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.glob(f"Split-*/{name}")):
        if not path.is_symlink() and not path.parent.is_symlink():
            yield path.parent.name.removeprefix("Split-"), path


def _statistics(split: str, path: Path) -> Preview:
    proto = _protos("statistics_pb2")
    found = proto.DatasetFeatureStatisticsList()
    content = read_bytes(path)
    _parsed(path.name, lambda: found.ParseFromString(content))
    sets = list(found.datasets)
    features = [feature for one in sets for feature in one.features]
    drawn = table(
        f"Statistics of {split}",
        _COLUMNS,
        (_feature(feature, proto) for feature in features),
        f"{sum(one.num_examples for one in sets):,} examples, {len(features):,} features.",
    )
    bars = tuple(_bars(feature) for feature in features[:MOST_ROWS])
    return Preview(drawn.title, drawn.kind, drawn.columns, drawn.rows, bars=bars, note=drawn.note)


def _feature(feature: Any, proto: Any) -> tuple[Any, ...]:
    numeric = feature.WhichOneof("stats") == "num_stats"
    numbers = feature.num_stats if numeric else None
    common = getattr(feature, feature.WhichOneof("stats") or "num_stats").common_stats
    measured = (
        tuple(
            number(float(value)) for value in (numbers.mean, numbers.std_dev, numbers.min, numbers.median, numbers.max)
        )
        if numbers is not None and common.num_non_missing
        else ("",) * 5
    )
    name = feature.name or ".".join(feature.path.step)
    kind = proto.FeatureNameStatistics.Type.Name(feature.type).lower()
    zeros = numbers.num_zeros if numbers is not None else None
    return (name, kind, common.num_non_missing, common.num_missing, *measured, zeros, _values(feature))


def _values(feature: Any) -> str:
    if feature.WhichOneof("stats") != "string_stats":
        return ""
    told = feature.string_stats
    top = ", ".join(f"{value.value} ({value.frequency:,.0f})" for value in told.top_values[:_TOP_VALUES])
    return f"{told.unique:,} different" + (f": {top}" if top else "")


def _bars(feature: Any) -> tuple[float, ...]:
    """The standard histogram of a number, as shares of its highest bar."""
    if feature.WhichOneof("stats") != "num_stats" or not feature.num_stats.histograms:
        return ()
    counts = [bucket.sample_count for bucket in feature.num_stats.histograms[0].buckets]
    highest = max(counts, default=0)
    return tuple(count / highest for count in counts) if highest > 0 else ()


def _anomalies(split: str, path: Path) -> Preview:
    found = _protos("anomalies_pb2").Anomalies()
    content = read_bytes(path)
    _parsed(path.name, lambda: found.ParseFromString(content))
    rows = [
        ("fell short", name, info.short_description, info.description)
        for name, info in sorted(found.anomaly_info.items())
    ]
    if found.HasField("dataset_anomaly_info"):
        told = found.dataset_anomaly_info
        rows.insert(0, ("fell short", "the data set", told.short_description, told.description))
    note = "" if rows else "The examples follow the schema."
    return Preview(f"Anomalies of {split}", "checks", rows=tuple(rows[:MOST_ROWS]), note=note)


def _presence(feature: Any) -> str:
    if not feature.HasField("presence"):
        return ""
    if feature.presence.min_fraction >= 1:
        return "always"
    return f"in at least {100 * feature.presence.min_fraction:g} %"


def _shape(feature: Any) -> str:
    if feature.HasField("shape"):
        return f"({', '.join(str(dim.size) for dim in feature.shape.dim)})"
    if feature.HasField("value_count"):
        return f"{feature.value_count.min} to {feature.value_count.max or 'any number of'} values"
    return ""


def _domain(feature: Any, domains: dict[str, Any]) -> str:
    kind = feature.WhichOneof("domain_info")
    if kind == "domain" and feature.domain in domains:
        return ", ".join(domains[feature.domain].value)
    if kind in ("int_domain", "float_domain"):
        bounds = getattr(feature, kind)
        return " ".join(f"{end} {number(getattr(bounds, end))}" for end in ("min", "max") if bounds.HasField(end))
    return kind or ""


def _parsed(name: str, parse: Callable[[], object]) -> None:
    from google.protobuf.message import DecodeError
    from google.protobuf.text_format import ParseError

    try:
        parse()
    except (DecodeError, ParseError, ValueError) as error:
        raise Unreadable(
            f"Expected what TFX writes in '{name}'. Received: {type(error).__name__}; look at the file."
        ) from error


def _protos(name: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"tensorflow_metadata.proto.v0.{name}")
    except ImportError as error:
        raise Unreadable(
            "Expected tensorflow-metadata, which reads what TFX wrote. Received: none; install it beside piecehub."
        ) from error


def _protobuf(name: str) -> Any:
    import importlib

    return importlib.import_module(f"google.protobuf.{name}")
