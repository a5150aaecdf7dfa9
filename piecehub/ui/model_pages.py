"""What the model pages show, as plain values: of a manifest and the blobs that were published with it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.documentation.advice import in_common
from piecehub.documentation.recommendation import Recommendation, recommend
from piecehub.errors import StoreError
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import ARCHIVE_TITLE, DOCUMENTATION_TITLE, Manifest
from piecehub.facts.reference import metric_words, mode_words, reference_words
from piecehub.lineage import published as lineage
from piecehub.lineage.published import Lineage
from piecehub.store.catalog import Store
from piecehub.store.events import Event, Status
from piecehub.store.listing import Row
from piecehub.ui import words
from piecehub.ui.markdown import Documentation, render

# Blobs of a version lie under `evidence/<task>/<file>` (piecehub/store/push.py).
_EVIDENCE = "evidence/"
_MORE_PLOTS = (("saving.svg", "Labels saved"), ("learning.svg", "Training loss by step"))
_GAINS = "gains.svg"
_UNITS = {"classification": "labelled examples per class"}
# The contrast that says whether the piece pays: candidate, reference, shots (piecehub/transfer/evidence.py).
_GAIN = ("fine_tuning", "from_scratch", "curve")


@dataclass(frozen=True)
class Number:
    """One of the key numbers of a model."""

    value: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Task:
    """The evidence of one downstream task: its plots, and the numbers of the first as a table.

    `metric` and `unit` say what the numbers are, `more_plots` are blobs with what they show, and `in_common` tells what
    the task's examples have in common with others.
    """

    name: str
    metric: str
    unit: str
    plot: str
    more_plots: tuple[tuple[str, str], ...]
    shots: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    gain: Mapping[str, Any]
    parent: str
    in_common: tuple[str, ...]


@dataclass(frozen=True)
class Blob:
    """A file that was published with a version."""

    title: str
    size: str


@dataclass(frozen=True)
class Version:
    """One of a model's versions; `aliases` are the names that mean it."""

    number: int
    status: Status
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """A model in a list; `aliases` are the names that mean this version."""

    handle: str
    model: str
    version: int
    aliases: tuple[str, ...]
    published_at: str
    description: str
    number: Number | None


@dataclass(frozen=True)
class ModelPage:
    """Everything on the page of a version.

    `newest` is 0 if every version is withdrawn, `reason` the event that made `status`, and `lineage_problem` says why
    there is no lineage.
    """

    card: ModelCard
    url: str
    digest: str
    archive_size: str
    newest: int
    status: Status
    reason: Event | None
    versions: tuple[Version, ...]
    recommendation: Recommendation
    numbers: tuple[Number, ...]
    tasks: tuple[Task, ...]
    gains: str
    conformance: ConformanceReport | None
    documentation: Documentation | None
    metadata: tuple[tuple[str, str], ...]
    lineage: Lineage | None
    lineage_problem: str
    blobs: tuple[Blob, ...]


def model_cards(store: Store, publisher: str = "") -> list[ModelCard]:
    """The newest version of each model, or of each of one publisher's; the newest published first."""
    found = [
        _card(store, store.manifest(Handle.parse(f"{state.model}/{state.newest}")), state.aliases_of(state.newest))
        for state in store.states()
        if state.newest and publisher in ("", state.model.partition("/")[0])
    ]
    return sorted(found, key=lambda card: (card.published_at, card.handle), reverse=True)


def newest_cards(store: Store, rows: Iterable[Row]) -> list[ModelCard]:
    """The cards of versions that a list names, and that stand in the store."""
    found = [(store.find(row.handle), row.aliases) for row in rows]
    return [_card(store, manifest, aliases) for manifest, aliases in found if manifest]


def model_page(store: Store, manifest: Manifest, store_url: str, archive: str = "") -> ModelPage:
    """The page of one version, for a store that is reached at `store_url`.

    Args:
        store: which holds it.
        manifest: of the version.
        store_url: the address of the store.
        archive: the place of the archive below that address; where the server has it if empty.
    """
    handle = manifest.handle
    archive = archive or f"{handle}/{ARCHIVE_TITLE}"
    state = store.state(handle.publisher, handle.name)
    report = _text(store, manifest, REPORT_NAME)
    documentation = _documentation(store, manifest)
    conformance = ConformanceReport.from_json(report) if report else None
    tasks = tuple(_tasks(store, manifest))
    found, problem = _lineage(store, manifest)
    return ModelPage(
        card=_card(store, manifest, state.aliases_of(handle.version)),
        url=handle.url(store_url),
        digest=manifest.digest,
        archive_size=words.size(manifest.archive.size_bytes),
        newest=state.newest,
        status=state.status(handle.version),
        reason=state.reason(handle.version),
        versions=tuple(Version(v, state.status(v), state.aliases_of(v)) for v in reversed(state.versions)),
        recommendation=_recommendation(store, manifest),
        numbers=tuple(_numbers(tasks, conformance)),
        tasks=tasks,
        gains=_GAINS if manifest.blob(_GAINS) else "",
        conformance=conformance,
        documentation=documentation,
        metadata=_metadata(documentation, f"{store_url.rstrip('/')}/{archive}"),
        lineage=found,
        lineage_problem=problem,
        blobs=tuple(Blob(b.title, words.size(b.size_bytes)) for b in (manifest.archive, *manifest.blobs)),
    )


def _recommendation(store: Store, manifest: Manifest) -> Recommendation:
    """By the facts that were published; those of a version from before there were any stand on its page alone."""
    page = _documentation(store, manifest)
    told = ("fine-tunable", "true") in page.metadata if page else False
    verdict = manifest.facts.get("verdict", {})
    frozen = verdict.get("rule", {}).get("mode") == "feature_extraction"
    blessed = verdict["status"] == "BLESSED" if frozen else bool(manifest.facts.get("fine_tunable", told))
    return recommend(blessed, manifest.facts.get("guidance", ()), frozen=frozen)


def _card(store: Store, manifest: Manifest, aliases: tuple[str, ...]) -> ModelCard:
    handle = manifest.handle
    page = _documentation(store, manifest)
    model = f"{handle.publisher}/{handle.name}"
    description = page.description if page else ""
    return ModelCard(
        str(handle), model, handle.version, aliases, manifest.published_at, description, gain_of(store, manifest)
    )


def _documentation(store: Store, manifest: Manifest) -> Documentation | None:
    text = _text(store, manifest, DOCUMENTATION_TITLE)
    return render(text) if text is not None else None


def _metadata(page: Documentation | None, archive: str) -> tuple[tuple[str, str], ...]:
    """The page's metadata, with the address of the archive as the place of it.

    A page is published before anybody knows where it will be served, so what it names itself is a mere path; an address
    elsewhere stays.
    """
    pairs = page.metadata if page else ()
    return tuple((key, archive if key == "asset-path" and "://" not in value else value) for key, value in pairs)


def _text(store: Store, manifest: Manifest, title: str) -> str | None:
    blob = manifest.blob(title)
    return store.read_blob(blob.digest).decode() if blob else None


def _lineage(store: Store, manifest: Manifest) -> tuple[Lineage | None, str]:
    try:
        return lineage.of_manifest(store, manifest), ""
    except StoreError as error:
        return None, error.sentence


def _tasks(store: Store, manifest: Manifest) -> list[Task]:
    titles = [b.title for b in manifest.blobs if b.title.startswith(_EVIDENCE) and b.title.endswith("/evidence.json")]
    return [_task(store, manifest, title) for title in sorted(titles)]


def _task(store: Store, manifest: Manifest, title: str) -> Task:
    """The evidence of one task.

    Raises:
        StoreError: if it is not what the evaluator writes.
    """
    folder = title.removesuffix("evidence.json")
    plot = f"{folder}accuracy.svg"
    more = tuple((f"{folder}{file}", what) for file, what in _MORE_PLOTS if manifest.blob(f"{folder}{file}"))
    try:
        value = json.loads(_text(store, manifest, title) or "")
        cells: list[dict[str, Any]] = value["cells"]
        shots = list(dict.fromkeys(cell["shots"] for cell in cells))
        modes = dict.fromkeys(cell["mode"] for cell in cells)
        parent: str = value.get("parent", "")
        rows = tuple(
            (mode_words(mode, parent).capitalize(), tuple(_cell(cells, mode, number) for number in shots))
            for mode in modes
        )
        contrasts: list[dict[str, Any]] = value["contrasts"]
        gains = [c for c in contrasts if (c["candidate"], c["reference"], c["shots"]) == _GAIN]
        gain: dict[str, Any] = gains[0] if gains else {}
        metric = metric_words(value.get("metric", "accuracy"))
        return Task(
            name=value["task"],
            metric=metric[0].upper() + metric[1:],
            unit=_UNITS.get(value.get("kind", "classification"), "labelled examples"),
            plot=plot if manifest.blob(plot) else "",
            more_plots=more,
            shots=tuple(map(str, shots)),
            rows=rows,
            gain=gain,
            parent=parent,
            in_common=tuple(in_common(value)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"Expected evidence with task, cells and contrasts in '{title}' of {manifest.handle}. "
            f"Received: {type(error).__name__} {error}; publish again with this piecehub."
        ) from error


def _cell(cells: list[dict[str, Any]], mode: str, shots: Any) -> str:
    for cell in cells:
        if (cell["mode"], cell["shots"]) == (mode, shots):
            return f"{words.percent(cell['mean'])} [{words.percent(cell['low'])}, {words.percent(cell['high'])}]"
    return ""


def gain_of(store: Store, manifest: Manifest) -> Number | None:
    """What fine-tuning a version gains, on the first task that tells; None where none does."""
    return next((number for number in map(_gain_number, _tasks(store, manifest)) if number), None)


def _gain_number(task: Task) -> Number | None:
    if not task.gain:
        return None
    low, high = words.points(task.gain["low"]), words.points(task.gain["high"])
    meaning = (
        f"fine-tuning over {reference_words(task.parent)} on {words.isolated(task.name)}; 95 % interval {low} to {high}"
    )
    return Number(words.points(task.gain["estimate"]), "points", meaning)


def _numbers(tasks: tuple[Task, ...], conformance: ConformanceReport | None) -> list[Number]:
    """The two key numbers: what the piece gains, and how well it keeps the interface."""
    gains = [number for number in map(_gain_number, tasks) if number][:1]
    if conformance is None:
        return gains
    verdict, _, counts = conformance.summary.partition(" · ")
    return [*gains, Number(verdict, "", f"{counts}, by the checks of the Reusable SavedModel interface")]
