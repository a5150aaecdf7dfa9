"""From what a little took to what a whole run takes: plain numbers in, plain numbers out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from piecehub.transfer.protocol import MODES, Protocol

# The parts of a run, in the order in which they are told, and what its components are called in each.
PARTS: dict[str, tuple[str, ...]] = {
    "start": (),
    "data": ("UpstreamExamples", "DownstreamExamples", "UpstreamAnomalies", "DownstreamAnomalies", "ImportSchemaGen"),
    "training": ("FullModelTrainer",),
    "piece": ("PieceExtractor", "ReusableExporter"),
    "check": ("ReusabilityValidator",),
    "leakage": ("FineTuneEvaluator",),
    "trials": ("FineTuneEvaluator",),
    "evidence": ("FineTuneEvaluator",),
    "publishing": ("IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"),
}


@dataclass(frozen=True)
class Part:
    """What one part of a run takes.

    Attributes:
        cpu_s: time of processors.
        wall_s: time, if nothing else runs.
        memory_bytes: the peak of all processes together while it goes on.
        disk_bytes: what it leaves.
        source: what the figures were taken from.
    """

    name: str
    cpu_s: float
    wall_s: float
    memory_bytes: int
    disk_bytes: int
    source: str


@dataclass(frozen=True)
class Cost:
    """What a run takes, part by part, on a machine of so many processors."""

    parts: tuple[Part, ...]
    processors: int

    @property
    def cpu_s(self) -> float:
        """Time of processors, in all."""
        return sum(part.cpu_s for part in self.parts)

    @property
    def wall_s(self) -> float:
        """Time: one part follows upon another."""
        return sum(part.wall_s for part in self.parts)

    @property
    def memory_bytes(self) -> int:
        """The peak of all processes together."""
        return max((part.memory_bytes for part in self.parts), default=0)

    @property
    def disk_bytes(self) -> int:
        """What is left in the working folder: no part takes away what another has written."""
        return sum(part.disk_bytes for part in self.parts)


@dataclass(frozen=True)
class TrainingTimes:
    """What training takes of processors.

    Attributes:
        fixed_s: once: the model is built, traced and written.
        epoch_s: an epoch, beside its steps: a checkpoint, the order of the examples.
        step_s: a step.
        look_s: a batch of an evaluation.
    """

    fixed_s: float
    epoch_s: float
    step_s: float
    look_s: float

    def total_s(self, epochs: int, steps: float, pass_steps: float, looks: float) -> float:
        """A whole training.

        Args:
            epochs: at most; one that stops early has fewer.
            steps: of an epoch.
            pass_steps: the batches of the training split, which is evaluated once.
            looks: those of the evaluation split, which is so after each epoch, and at the end.
        """
        each = self.epoch_s + steps * self.step_s + looks * self.look_s
        return self.fixed_s + epochs * each + (pass_steps + looks) * self.look_s


def training_times(marks: Sequence[tuple[str, float]], total_s: float, pass_steps: int, looks: int) -> TrainingTimes:
    """What a short training tells of its steps; the first epoch traces, the last one is looked at.

    Args:
        marks: what happened and at which reading of the processor's clock: `epoch` begins, a `step` or a `look` has
            ended, the `end` of the epoch.
        total_s: what all of the short training took.
        pass_steps: batches of its training split.
        looks: batches of its evaluation split.
    """
    begins = [place for place, (what, _) in enumerate(marks) if what == "epoch"]
    if not begins:
        return TrainingTimes(total_s, 0.0, 0.0, 0.0)
    last = marks[begins[-1] :]
    at = {what: [moment for name, moment in last if name == what] for what in ("epoch", "step", "look", "end")}
    step_s = _each(at["step"], at["epoch"][0])
    look_s = _each(at["look"], at["step"][-1] if at["step"] else at["epoch"][0])
    known = len(at["step"]) * step_s + len(at["look"]) * look_s
    whole = at["end"][0] - at["epoch"][0] if at["end"] else known
    epoch_s = max(0.0, whole - known)
    fixed_s = total_s - len(begins) * (epoch_s + known) - (pass_steps + looks) * look_s
    return TrainingTimes(max(0.0, fixed_s), epoch_s, step_s, look_s)


def _each(moments: Sequence[float], before: float) -> float:
    """The mean between moments; the first, which waits for what comes before, counts if there is no other."""
    if len(moments) > 1:
        return (moments[-1] - moments[0]) / (len(moments) - 1)
    return max(0.0, moments[0] - before) if moments else 0.0


@dataclass(frozen=True)
class ProbeTimes:
    """What trials of a mode that fits linear models take.

    Attributes:
        features_s: what the model makes of all examples, once for each set of weights and each worker.
        least_s, most_s: a fit at the fewest and at the most examples.
    """

    features_s: float
    least_s: float
    most_s: float


@dataclass(frozen=True)
class TrialTimes:
    """What trials of a task take of processors.

    Attributes:
        start_s: once for each round of trials: TensorFlow is imported.
        worker_s: once for each worker of a round: the model is loaded, and its training traced.
        trace_s: what a worker adds when the number of examples changes.
        tuning_s: a training, without its steps: weights, statistics, what it says of the test examples.
        step_s: a step.
        head_s: what a training adds that starts from a probe's head.
        probes: by mode.
    """

    start_s: float
    worker_s: float
    trace_s: float
    tuning_s: float
    step_s: float
    head_s: float
    probes: Mapping[str, ProbeTimes]

    def total_s(self, protocol: Protocol, workers: int, most_trials: int = 0) -> float:
        """All trials of a protocol, at most; `most_trials` of `[evaluation] max_trials`, 0 is no limit."""
        first, second = trial_count(protocol), len(_other_sizes(protocol)) * len(protocol.seeds)
        traces = (len(protocol.shots) > 1) * self.trace_s
        rounds = [(first, traces)] + ([(second, self.trace_s)] if second else [])
        starting = sum(self.start_s + min(workers, count) * (self.worker_s + more) for count, more in rounds)
        share = min(1.0, most_trials / (first + second)) if most_trials else 1.0
        return starting + share * (self._first_s(protocol, workers) + self._second_s(protocol))

    def _first_s(self, protocol: Protocol, workers: int) -> float:
        """The trials of all modes, settings, shots and seeds."""
        found = 0.0
        for mode in MODES.values():
            count = len(protocol.settings(mode)) * len(protocol.shots) * len(protocol.seeds)
            if mode.training == "probe":
                weights = len(protocol.seeds) if mode.weights == "control" else 1
                found += min(count, workers * weights) * self.probes[mode.name].features_s
                found += count * self._fit_s(mode.name, protocol.shots)
            else:
                head = self.head_s if mode.training == "probe_then_tuning" else 0.0
                found += count * (self.tuning_s + head + protocol.steps * self.step_s)
        return found

    def _second_s(self, protocol: Protocol) -> float:
        """Those with other batch sizes; a step is taken to cost what its examples do."""
        sizes = [size / protocol.batch_size for size in _other_sizes(protocol)]
        return sum(len(protocol.seeds) * (self.tuning_s + protocol.steps * self.step_s * size) for size in sizes)

    def _fit_s(self, mode: str, shots: Sequence[int]) -> float:
        """A fit at the mean number of examples."""
        times = self.probes[mode]
        return line(mean(shots), (shots[0], times.least_s), (shots[-1], times.most_s))


def trial_count(protocol: Protocol) -> int:
    """How many trials the first round has."""
    settings = sum(len(protocol.settings(mode)) for mode in MODES.values())
    return settings * len(protocol.shots) * len(protocol.seeds)


def all_trials(protocol: Protocol) -> int:
    """How many trials there are, those with other batch sizes too."""
    return trial_count(protocol) + len(_other_sizes(protocol)) * len(protocol.seeds)


def _other_sizes(protocol: Protocol) -> list[int]:
    return [size for size in protocol.sensitivity_batch_sizes if size != protocol.batch_size]


def line(at: float, one: tuple[float, float], other: tuple[float, float]) -> float:
    """What the line through two points says at a place; their mean where they are one, and never less than nothing."""
    if one[0] == other[0]:
        return (one[1] + other[1]) / 2
    slope = (other[1] - one[1]) / (other[0] - one[0])
    return max(0.0, one[1] + slope * (at - one[0]))


def with_workers(total_bytes: int, worker_bytes: int, had: int, workers: int) -> int:
    """Memory of trials with another number of workers than those that were looked at.

    Args:
        total_bytes: of all processes, with `had` workers.
        worker_bytes: what a worker has for itself alone.
        had: how many there were.
        workers: how many there are to be.
    """
    return max(0, total_bytes + (workers - had) * worker_bytes)


def parallel(cpu_s: float, wall_s: float, processors: int) -> float:
    """How many processors a part keeps busy, at least one: what another program took of them is no part of it."""
    return min(float(processors), max(1.0, cpu_s / wall_s)) if wall_s > 0 else 1.0


def told_earlier(parts: Sequence[Part], measured: Mapping[str, float], source: str) -> list[Part]:
    """The parts, those with the processor time that an earlier run took whose components all did the same.

    Args:
        parts: as estimated.
        measured: processor time by component; without one that had other arguments, or came from the cache. The ids of
            components of several pieces or tasks begin with the names in PARTS.
        source: what is said of where these figures are from.
    """
    found: list[Part] = []
    for part in parts:
        together = [other for other in parts if PARTS[other.name] == PARTS[part.name]]
        known = {name: _sum_of(name, measured) for name in PARTS[part.name]}
        if not known or None in known.values():
            found.append(part)
            continue
        share = part.cpu_s / (sum(other.cpu_s for other in together) or 1.0)
        took = share * sum(value or 0.0 for value in known.values())
        wall_s = part.wall_s * took / part.cpu_s if part.cpu_s else took
        found.append(Part(part.name, took, wall_s, part.memory_bytes, part.disk_bytes, source))
    return found


def _sum_of(name: str, measured: Mapping[str, float]) -> float | None:
    values = [seconds for node, seconds in measured.items() if node.startswith(name)]
    return sum(values) if values else None
