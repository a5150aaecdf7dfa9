"""What one process of the simulation does: export pieces, make evidence of them, judge it, and measure what is true.

    <cache>/evidence/<key>/     evidence.json, predictions.parquet
    <cache>/verdicts/<key>.json
    <cache>/truth/<key>.npy     accuracy of each seed, [seeds]
    <cache>/trials/             as the product keeps them
    <cache>/one_batch/          evidence, verdicts and trials of what is re-estimated in one batch

Whatever is there is not made again. Keys are made of contents, those of verdicts of the gate's code as well.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gate_pieces
from benchmarks.gate_evidence import make_evidence
from benchmarks.gate_pieces import Engines, SwappingEngine
from benchmarks.gate_plan import Floats, Network, Outcome, PieceSpec, Run, Sizes
from benchmarks.gate_trials import Here, SharedBench, true_scores
from benchmarks.gate_world import DOWNSTREAM_CLASSES, World
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.transfer import evidence as evidences
from piecehub.transfer import gate, rule, statistics
from piecehub.transfer.evaluation import Means, Subject, evaluate
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.gate import IncumbentEvidence, judge
from piecehub.transfer.tasks import Task
from piecehub.transfer.verdict import Verdict

_ONE_BATCH = "one_batch"


class Lab:
    """A process's loaded network, and the folder in which all is kept."""

    def __init__(self, cache_folder: Path, sizes: Sizes) -> None:
        self._cache, self._sizes = cache_folder, sizes
        self._engines = Engines(cache_folder)

    def export(self, spec: PieceSpec) -> Path:
        """The exported piece."""
        return gate_pieces.export_piece(spec, self._cache, self._engines)

    def subject(self, spec: PieceSpec, block: int) -> Subject:
        """The piece with the controls of a block, as the product evaluates it."""
        return Subject(
            self.export(spec), gate_pieces.export_controls(self._sizes.protocol(block).seeds, self._cache, spec.network)
        )

    def evidence(self, spec: PieceSpec, block: int, one_batch: bool = False) -> Evidence:
        """Evidence about a piece on the task of a block."""
        task, protocol = self._task(block, self._sizes.test), self._sizes.protocol(block)
        place = self._cache / _ONE_BATCH if one_batch else self._cache
        folder = place / "evidence" / _key(gate_pieces.key_of(spec), task.digest, protocol.digest, evidences.SCHEMA)
        if not (folder / evidences.FACTS).is_file():
            runner = Here(self._engine(spec, one_batch), spec.network)
            make_evidence(self.subject(spec, block), task, protocol, runner, place / "trials", folder)
        return Evidence.read(folder)

    def verdict(self, run: Run) -> Outcome:
        """What the gate says of a piece on the task of a block; the piece is taken to conform."""
        sizes = self._sizes.protocol(run.block).digest, self._sizes.pool, self._sizes.test
        keys = [gate_pieces.key_of(spec) for spec in (run.piece, run.incumbent) if spec]
        place = self._cache / _ONE_BATCH if run.one_batch else self._cache
        path = place / "verdicts" / f"{_key(keys, *sizes, asdict(run.rule), _code())}.json"
        if not path.is_file():
            found = self._judge(run, lambda spec, block: self.evidence(spec, block, run.one_batch))
            _write(path, json.dumps(asdict(found)).encode())
        return Outcome.from_json(json.loads(path.read_bytes()))

    def verdict_of_the_product(self, run: Run) -> Outcome:
        """The same by `evaluate` and its pool, as the pipeline calls them, with nothing taken from before."""
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            return self._judge(run, lambda spec, block: self._evaluated(spec, block, Path(folder)))

    def truth(self, spec: PieceSpec | Network, block: int) -> Floats:
        """What fine-tuning gives on a block that no gate looks at, or from scratch of a network, `[seeds]`.

        It is the accuracy on the held-out examples, averaged over the shots.
        """
        piece = PieceSpec(0, 0, spec) if isinstance(spec, str) else spec
        protocol = self._sizes.protocol(block)
        key = _key(
            None if isinstance(spec, str) else gate_pieces.key_of(spec),
            gate_pieces.architecture(piece.network),
            protocol.digest,
            asdict(self._sizes),
            asdict(World()),
        )
        path = self._cache / "truth" / f"{key}.npy"
        if not path.is_file():
            task, subject = self._task(block, self._sizes.held_out), self.subject(piece, block)
            bench = SharedBench(self._engine(piece), task, subject.saved_model, subject.controls)
            values = true_scores(bench, task, protocol, "from_scratch" if isinstance(spec, str) else "fine_tuning")
            _write(path, values)
        return np.load(path)

    def _judge(self, run: Run, evidence_of: Callable[[PieceSpec, int], Evidence]) -> Outcome:
        evidence = evidence_of(run.piece, run.block)
        conforms = report(evidence.piece_digest, [Finding("S1", "conforms", "fail", True, "It is taken to.")])
        published = None
        if run.incumbent:
            other = evidence_of(run.incumbent, run.block)
            published = IncumbentEvidence("simulated/incumbent/1", other.piece_digest, (other,))
        return _outcome(judge([evidence], conforms, published, run.rule))

    def _evaluated(self, spec: PieceSpec, block: int, folder: Path) -> Evidence:
        task, protocol = self._task(block, self._sizes.test), self._sizes.protocol(block)
        means = Means(folder / "trials", workers=1)
        return evaluate(self.subject(spec, block), task, protocol, means, folder / gate_pieces.key_of(spec))

    def _engine(self, spec: PieceSpec, one_batch: bool = False) -> SwappingEngine:
        engine = self._engines.with_outputs(DOWNSTREAM_CLASSES, spec.network)
        engine.one_batch = one_batch
        return engine

    @lru_cache(maxsize=30)  # noqa: B019 - a process has one lab
    def _task(self, block: int, test: int) -> Task:
        return World().downstream(block, self._sizes.pool, test)


def _outcome(verdict: Verdict) -> Outcome:
    """What is kept of a verdict; the gain is over from scratch."""
    gain = next(c for c in verdict.contrasts if c.rule == "superiority")
    refused = tuple(c.rule for c in verdict.contrasts if not c.held)
    return Outcome(verdict.blessed, gain.estimate, gain.low, gain.high, refused)


@cache
def _code() -> str:
    """A digest of what judges: another gate gives other verdicts."""
    return sha256_bytes(b"".join(Path(str(module.__file__)).read_bytes() for module in (gate, rule, statistics)))


def _key(*parts: Any) -> str:
    return sha256_bytes(canonical_json(list(parts)))[:24]


def _write(path: Path, value: bytes | Floats) -> None:
    """Writes a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    with os.fdopen(handle, "wb") as file:
        if isinstance(value, bytes):
            file.write(value)
        else:
            np.save(file, value)
    Path(name).replace(path)
