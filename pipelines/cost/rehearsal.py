"""What the fresh process does: each part of a run once, by its own code, on little, in a folder of its own."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from piecehub.conformance.check import check_saved_model
from piecehub.documentation import page as pages
from piecehub.examples.features import Features
from piecehub.examples.ingest import SHARD_BYTES, ingest
from piecehub.examples.layout import split_folder
from piecehub.examples.stream import SHUFFLE_BYTES, Stream
from piecehub.exporting import reusable
from piecehub.extraction import piece as pieces
from piecehub.extraction.piece import Builder
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.workdir import Workdir
from piecehub.store import archive
from piecehub.store.place import is_uri
from piecehub.store.source import find_saved_model
from piecehub.training import full_model as full_models
from piecehub.training.building import feature_specs
from piecehub.training.decoding import decode_of
from piecehub.training.devices import resolved
from piecehub.transfer import gate, plot_gains
from piecehub.transfer.evaluation import Subject
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.kinds import check_kind
from piecehub.transfer.leakage import find_leakage, find_overlap, refuse_leakage, refuse_overlap
from piecehub.transfer.pool import cpu_count
from piecehub.transfer.tasks import Task, task_from_features
from pipelines.cost import training, trials
from pipelines.cost.allocated import allocated
from pipelines.cost.arithmetic import all_trials, line
from pipelines.cost.sample import Sampled, take_sample
from pipelines.cost.stopwatch import Stopwatch, Window
from pipelines.data import examples_folder
from pipelines.piece_journey import export_options
from pipelines.pipeline import parent_digest
from pipelines.protocols import protocol_of, rule_of
from pipelines.recipe.loader import load_recipe
from pipelines.recipe.page_texts import person_of
from pipelines.recipe.tables import DownstreamTask, LoadedRecipe, Piece

# Of upstream's training split, in bytes of its records: enough to time, and read within a minute.
_SAMPLE_BYTES = 16 * 2**20
# ML Metadata, the record of the run and its logs, of the shipped recipes.
_RECORDS_BYTES = 400 * 2**10
_LEAST_ROWS = 256


@dataclass
class Draft:
    """What is known of a part after the rehearsal, but for what only who looks at the processes knows.

    Attributes:
        cpu_s: what all of it takes of processors.
        disk_bytes: what it leaves.
        more_bytes: memory that all of it takes beside what the rehearsal took.
        workers: how many of its processes there are in a run, in place of one.
        sources: what the figures were taken from.
    """

    cpu_s: float = 0.0
    disk_bytes: int = 0
    more_bytes: int = 0
    workers: int = 1
    sources: list[str] = field(default_factory=list[str])

    def add(self, cpu_s: float, disk_bytes: int, source: str) -> None:
        """What one of the part's stretches stands for."""
        self.cpu_s += cpu_s
        self.disk_bytes += disk_bytes
        if source not in self.sources:
            self.sources.append(source)


def rehearse(
    recipe: str, settings: list[str], devices: str, signed_by: str, workdir: str, store_at: str, scratch: str
) -> dict[str, Any]:
    """Goes through all parts of a run; returns the plan, a `Draft` of each, all windows, and the components' arguments.

    Args:
        recipe: its folder.
        settings: laid over it.
        devices: on which the full model is trained.
        signed_by: the digest of the public key of what the run would sign with, if it would.
        workdir: the working folder, which is only read.
        store_at: the store, if it is another than that of the folder; only read, too.
        scratch: a folder for all that is written.
    """
    began = time.monotonic()
    rehearsal = _Rehearsal(load_recipe(recipe, settings), devices, Workdir(Path(workdir), store_at), Path(scratch))
    arguments = rehearsal.start(began)
    plan = rehearsal.plan(signed_by)
    rehearsal.go()
    drafts = {name: asdict(draft) for name, draft in rehearsal.drafts.items()}
    return {
        "plan": plan,
        "drafts": drafts,
        "windows": [asdict(window) for window in rehearsal.stopwatch.windows],
        "arguments": arguments,
        "processors": cpu_count(),
    }


class _Rehearsal:
    """One run's parts, one after the other."""

    def __init__(self, loaded: LoadedRecipe, devices: str, workdir: Workdir, scratch: Path) -> None:
        self.drafts: dict[str, Draft] = {}
        self.stopwatch = Stopwatch()
        self._loaded, self._config, self._devices = loaded, loaded.config, devices
        self._workdir, self._scratch = workdir, scratch
        self._source = Path()
        self._splits: dict[str, Sampled] = {}
        self._parent: Path | None = None

    def start(self, began: float) -> dict[str, dict[str, Any]]:
        """TensorFlow, TFX and the pipeline are loaded, and the recipe is tried out; returns what components are told.

        The examples are written, as a run does before it compiles its pipeline.
        """
        from pipelines import local_runner  # noqa: F401 - TFX takes its time, as in a run
        from pipelines.compiled import compiled, tried
        from pipelines.planning.parameters import parameters_by_component

        devices = resolved(self._devices)
        tried(self._loaded, self._workdir)
        self.stopwatch.since_the_start("start", began)
        with self.stopwatch.during("data"):
            # What is fetched from a bucket is of use to the run.
            data = self._workdir.data if is_uri(self._config.data.folder) else self._scratch / "data"
            self._source = examples_folder(self._loaded, data)
        written = bool(self._config.data.module)
        self._draft("data").add(self.stopwatch.last.cpu_s, allocated(self._source) if written else 0, "all of it")
        with self.stopwatch.during("start"):
            # An earlier run is known for the same by where it had its examples.
            examples = self._workdir.data.resolve() / self._source.name if written else self._source
            arguments = parameters_by_component(compiled(self._loaded, self._workdir, examples, devices))
        self._draft("start").add(sum(w.cpu_s for w in self.stopwatch.of("start")), _RECORDS_BYTES, "all of it")
        return arguments

    def plan(self, signed_by: str) -> str:
        """What the run would do, with the examples that were written here."""
        from pipelines.compiled import compiled
        from pipelines.planning.plan import plan_of

        ir = compiled(self._loaded, self._workdir, self._source, resolved(self._devices))
        return plan_of(ir, self._loaded, self._workdir, signed_by).to_json()

    def go(self) -> None:
        """All else."""
        with _parent_of(self._config.model.parent, self._workdir.store_place) as self._parent:
            self._ingest()
            trained = self._trained()
            self._draft("training").add(trained.cpu_s, self._trained_bytes(), trained.source)
            for piece in self._config.piece:
                self._of_piece(piece, trained.folder)

    def _trained(self) -> training.Trained:
        scratch = self._scratch / "training"
        if not self._config.data.upstream:
            return training.keep(self._loaded, self._parent, self.stopwatch, scratch)
        whole = self._splits["train"].share
        self._draft("training").more_bytes = round(self._buffered(1 / whole) - self._buffered(1))
        return training.rehearse(
            self._loaded, self._scratch / "examples" / "upstream", self._splits, self._devices, self._parent,
            self.stopwatch, scratch,
        )  # fmt: skip

    def _draft(self, part: str) -> Draft:
        return self.drafts.setdefault(part, Draft())

    def _ingest(self) -> None:
        """Tasks are read whole; of upstream a part, if it is large."""
        out, statistics = self._scratch / "examples", self._scratch / "statistics"
        parts = [(str(self._source / task.name), task.name, ("pool", "test"), 1.0) for task in self._config.task]
        if self._config.data.upstream:
            parts.append((str(self._scratch / "sample"), "upstream", ("train", "eval"), self._upstream_sampled()))
        for source, name, splits, times in parts:
            with self.stopwatch.during("data"):
                ingest(source, splits, out / name, str(statistics / name))
            share = "all of it" if times == 1 else f"{1 / times:.1%} of upstream"
            left = round(allocated(out / name) * times) + allocated(statistics / name)
            self._draft("data").add(self.stopwatch.last.cpu_s * times, left, share)
            # Records are sorted in memory in files of a 256th of their split.
            sorted_bytes = [min(SHARD_BYTES, self._bytes_of(name, splits[0]) * factor / 256) for factor in (1, times)]
            more = round(sorted_bytes[1] - sorted_bytes[0])
            self._draft("data").more_bytes = max(self._draft("data").more_bytes, more)

    def _upstream_sampled(self) -> float:
        """Takes a part of upstream; returns how many such parts there are."""
        records = self._scratch / "sample"
        for split in ("train", "eval"):
            self._splits[split] = take_sample(self._source / "upstream" / split, records / split, _SAMPLE_BYTES)
        taken = {split: allocated(records / split) for split in self._splits}
        return sum(size / self._splits[split].share for split, size in taken.items()) / sum(taken.values())

    def _bytes_of(self, part: str, split: str) -> int:
        return allocated(Path(split_folder(str(self._scratch / "examples" / part), split)))

    def _buffered(self, times: float) -> float:
        """What the shuffle of training holds; in the rehearsal of a few records only."""
        few = training.STEPS * self._config.train.batch_size / self._splits["train"].records
        return min(SHUFFLE_BYTES, self._bytes_of("upstream", "train") * (times if times > 1 else min(1.0, few)))

    def _trained_bytes(self) -> int:
        folder = self._scratch / "training"
        return sum(allocated(folder / name) for name in ("full_model", "full_model-logs"))

    def _of_piece(self, piece: Piece, full_model: Path) -> None:
        scratch = self._scratch / "pieces" / str(self._config.piece.index(piece))
        model, controls = self._exported(piece, full_model, scratch)
        person = person_of(self._config, piece)
        with self.stopwatch.during("check"):
            page = pages.draft_of(self._config.recipe.publisher, piece.name, person, model)
            report = check_saved_model(model, documentation=page)
            (scratch / "conformance").mkdir()
            report.write(scratch / "conformance")
        self._draft("check").add(self.stopwatch.last.cpu_s, allocated(scratch / "conformance"), "all of it")
        subject = Subject(model, controls, output=piece.features, parent=self._config.model.parent)
        evidence = [self._of_task(piece, task, subject, scratch) for task in self._config.tasks_of(piece)]
        self._published(model, evidence, report, scratch)

    def _exported(self, piece: Piece, full_model: Path, scratch: Path) -> tuple[Path, Path]:
        """The SavedModel of the piece, and the controls of its seeds, which are all the one of the first."""
        seeds, folder = self._config.seeds(), scratch / "piece"
        first = self._written(piece, full_model, folder, seeds[:1])
        again = self._written(piece, full_model, scratch / "piece-again", seeds[:1])
        control = pieces.control_weights(folder, seeds[0])
        more = len(seeds) - 1
        left = allocated(folder) + more * allocated(control)
        # A piece with one control is built twice.
        self._draft("piece").add(first.cpu_s + more * again.cpu_s / 2, left, f"1 of {len(seeds)} controls")
        options = export_options(piece, self._parent_told())
        with self.stopwatch.during("piece"):
            reusable.export_in_fresh_process(
                folder, self._loaded.folder, scratch / "saved_model", options, self._parent
            )
        self._draft("piece").add(self.stopwatch.last.cpu_s, allocated(scratch / "saved_model"), "one export")
        trials.link_controls(folder / "controls", seeds)
        return scratch / "saved_model", folder / "controls"

    def _parent_told(self) -> str:
        """`handle@digest` of the published piece that the recipe starts from; empty if it starts from none."""
        if not (handle := self._config.model.parent):
            return ""
        return f"{handle}@{parent_digest(self._config, self._workdir.store_place)}"

    def _written(self, piece: Piece, full_model: Path, folder: Path, seeds: Sequence[int]) -> Window:
        config, model = self._config, self._config.model
        features = Features.of_schema(str(self._loaded.folder / config.data.schema))
        decode = decode_of(self._loaded.folder, model.read_by(config.data.decode))
        specs = feature_specs(Stream.specs_of(features, decode), config.data.label, config.train.sample_weight)
        builder = Builder(
            model.module, model.function, model.arguments, config.train.seed, piece.road, piece.layers, "", specs
        )
        optimizer = full_models.read_facts(full_model)["optimizer"]
        with self.stopwatch.during("piece"):
            pieces.write_piece(
                full_model / "weights", builder, self._loaded.folder, seeds, optimizer, folder, self._parent
            )
        return self.stopwatch.last

    def _of_task(self, piece: Piece, stated: DownstreamTask, subject: Subject, scratch: Path) -> Evidence:
        """Leakage, trials and evidence of a task."""
        protocol = protocol_of(self._config, stated)
        task = self._leakage(stated, pieces.input_names(scratch / "piece"))
        place = scratch / stated.name
        tried = trials.rehearse(subject, task, protocol, self.stopwatch, place / "few")
        count, limit = all_trials(protocol), self._config.evaluation.max_trials
        workers = min(cpu_count(), count)
        took = tried.times.total_s(protocol, workers, limit)
        if most_s := self._config.evaluation.max_seconds:
            took = min(took, most_s * workers)
        with self.stopwatch.during("evidence"):
            found = trials.write_evidence(subject, task, protocol, tried, place / "trials", place)
        left = sum(allocated(place / name) for name in ("evidence", "evaluation"))
        self._draft("trials").add(took, allocated(place / "trials"), f"{tried.count} of {count} trials")
        self._draft("trials").workers = max(self._draft("trials").workers, workers)
        self._draft("evidence").add(self.stopwatch.last.cpu_s, left, "all of it, of made-up trials")
        return found

    def _leakage(self, stated: DownstreamTask, input_names: list[str]) -> Task:
        """The task, and what it takes to read it and to compare it with upstream's part, and so with all of it."""
        pool, test = (self._stream(stated, stated.name, split) for split in ("pool", "test"))
        labels = {stated.label, self._config.data.label}
        with self.stopwatch.during("leakage"):
            arrays = pool.arrays(), test.arrays()
            refuse_overlap(find_overlap(*arrays, {stated.label}), stated.name, self._config.evaluation.max_leakage)
        kind = check_kind(stated.kind)
        task = task_from_features(stated.name, stated.label, *arrays, input_names, kind, stated.slices)
        took = self.stopwatch.last.cpu_s
        if not self._config.data.upstream:
            self._draft("leakage").add(took, 0, "all of it: there is no upstream")
            return task
        share = self._splits["train"].share
        upstream = self._stream(None, "upstream", "train")
        rows = len(upstream)
        with self.stopwatch.during("leakage"):
            found = find_leakage(upstream.as_arrays(), *arrays, labels, rows)
        # What a part of upstream has in common with the task all of it has.
        refuse_leakage(found, stated.name, self._config.evaluation.max_leakage)
        compared = self.stopwatch.last.cpu_s
        if share < 1 and rows > _LEAST_ROWS:
            with self.stopwatch.during("leakage"):
                find_leakage([next(iter(upstream.as_arrays(_LEAST_ROWS)))], *arrays, labels, _LEAST_ROWS)
            compared = line(rows / share, (_LEAST_ROWS, self.stopwatch.last.cpu_s), (rows, compared))
        source = f"{rows:,} of {rows / share:,.0f} upstream examples"
        self._draft("leakage").add(took + compared, 0, source)
        return task

    def _stream(self, stated: DownstreamTask | None, part: str, split: str) -> Stream:
        told = stated or self._config.data
        features = Features.of_schema(str(self._loaded.folder / told.schema))
        decode = decode_of(self._loaded.folder, self._config.model.read_by(told.decode))
        return Stream.open(str(self._scratch / "examples" / part), split, features, decode)

    def _published(self, model: Path, evidence: list[Evidence], report: ConformanceReport, scratch: Path) -> None:
        """The verdict and the archive; what is published beside it are copies."""
        packed, plots = scratch / "archive.tar.gz", scratch / "gains"
        plots.mkdir()
        with self.stopwatch.during("publishing"):
            rule = rule_of(self._config)
            gate.judge(evidence, report, None, rule)
            plot_gains.write(evidence, rule, plots)
            archive.pack(model, packed)
            packed_bytes = packed.stat().st_size
            archive.unpack(packed, scratch / "unpacked")
        copies = sum(allocated(Path(found.folder)) for found in evidence if found.folder)
        left = packed_bytes + copies + 2 * allocated(plots)
        self._draft("publishing").add(self.stopwatch.last.cpu_s, left, "verdict and archive")


@contextmanager
def _parent_of(handle: str, store: str) -> Iterator[Path | None]:
    """The SavedModel that the recipe starts from; None if it starts from none."""
    if not handle:
        yield None
        return
    with find_saved_model(handle, store) as source:
        yield source.folder
