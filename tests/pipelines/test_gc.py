"""`piecehub workdir gc`: what nobody needs goes, and nothing else, beside a run that goes on and after one killed."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from piecehub.cli.main import cli
from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts import runs, workdir
from piecehub.facts.content import sha256_bytes
from piecehub.facts.runs import Event, Node, Run
from piecehub.facts.workdir import Workdir, alone, mark, mark_for_pods, relied_on
from piecehub.lineage import published as lineages
from piecehub.signing.trust import Trust
from piecehub.signing.verify import verify_version
from piecehub.store.catalog import Store
from piecehub.store.shelf import StoreShelf
from piecehub.transfer.spill import rows_folder
from pipelines import gc
from tests.signing.conftest import Pair, published

# Fixtures, by their names.
from tests.signing.conftest import make_model as make_model
from tests.signing.conftest import pairs as pairs

pytest.importorskip("ml_metadata")

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

_proto: Any = mlmd  # generated, without types
_DONE = ("UpstreamExamples", "FullModelTrainer", "FineTuneEvaluator")


@dataclass(frozen=True)
class Left:
    """What a run left: the folders and files that are its own."""

    run: str
    execution: int
    artifact: int
    model: Path
    data: Path
    trial: Path
    checkpoint: Path

    @property
    def things(self) -> list[Path]:
        """All of them."""
        return [self.model, self.data, self.trial, self.checkpoint]


class Yard:
    """A working folder with made-up runs, each after the one before."""

    def __init__(self, root: Path) -> None:
        self.workdir = Workdir(root)
        mark(root)
        config = _proto.ConnectionConfig()
        config.sqlite.filename_uri = str(self.workdir.metadata)
        config.sqlite.connection_mode = _proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.metadata = metadata_store.MetadataStore(config)
        self.told_store = self.workdir.store_place

    def run(self, name: str, end: str = "done", pid: int = 0, done: tuple[str, ...] = _DONE) -> Left:
        """A run that left one of each; `end` is its last state, none of one that was killed or goes on."""
        digest = sha256_bytes(name.encode())
        told = {"source_folder": f"/elsewhere/data/{digest}/upstream"}
        nodes = (Node(_DONE[0], (), told), *(Node(node) for node in _DONE[1:]))
        runs.write_run(self.workdir, Run(name, "tiny", "recipe", runs.now(), pid or _dead_pid(), nodes))
        time.sleep(0.005)
        execution, artifact, model = self.execution("FullModelTrainer", "full_model", [])
        left = Left(
            name, execution, artifact, model,
            self.workdir.data / digest,
            self.workdir.trials / digest[:2] / f"{digest}.npz",
            self.workdir.training / digest[:32],
        )  # fmt: skip
        _write(
            model / "weights", left.data / "upstream" / "train" / "a.tfrecord", left.trial, left.checkpoint / "c.npz"
        )
        _write(self.workdir.data / "keys" / f"key-of-{name}", text=digest)
        _write(self.workdir.logs / name / "FullModelTrainer.log")
        for node in done:
            runs.append_event(self.workdir, name, Event(runs.now(), node, "done"))
        if end:
            runs.append_event(self.workdir, name, Event(runs.now(), "", end))  # type: ignore[arg-type]
        time.sleep(0.005)
        return left

    def execution(
        self, component: str, output: str, reads: list[int], kind: str = "Model", **properties: Any
    ) -> tuple[int, int, Path]:
        """An execution with one output; the ids of both, and the output's folder."""
        kind_id = self.metadata.put_execution_type(_proto.ExecutionType(name=f"components.x.{component}"))
        made = _proto.Execution(type_id=kind_id, last_known_state=_proto.Execution.COMPLETE)
        told = {
            "code_digest": "sha256:code_digest",
            "lock_digest": "sha256:lock_digest",
            "store_folder": self.told_store,
        }
        for key, value in told.items():
            made.custom_properties[key].string_value = value
        [execution] = self.metadata.put_executions([made])
        folder = self.workdir.artifacts / "tiny" / component / output / str(execution)
        type_id = self.metadata.put_artifact_type(_proto.ArtifactType(name=kind))
        artifact = _proto.Artifact(type_id=type_id, uri=str(folder.resolve()), state=_proto.Artifact.LIVE)
        for key, value in properties.items():
            setattr(artifact.custom_properties[key], "int_value" if isinstance(value, int) else "string_value", value)
        artifact.custom_properties["provenance_digest"].string_value = f"sha256:{execution}"
        [number] = self.metadata.put_artifacts([artifact])
        events = [(a, _proto.Event.INPUT) for a in reads] + [(number, _proto.Event.OUTPUT)]
        step = _proto.Event.Path(steps=[_proto.Event.Path.Step(key=output)])
        self.metadata.put_events(
            [_proto.Event(artifact_id=a, execution_id=execution, type=kind, path=step) for a, kind in events]
        )
        return execution, number, folder

    def publish(self, of: Left, model: Path, key: Pair, name: str) -> str:
        """Publishes a model, as a push of the run that was last."""
        manifest = published(Store.open(self.workdir.store), model, key, name)
        told = {"pushed": 1, "handle": str(manifest.handle), "saved_model_digest": manifest.digest}
        _, _, folder = self.execution("HubPusher", "pushed_model", [of.artifact], "PushedModel", **told)
        _write(folder / "outcome.json")
        return str(manifest.handle)

    def snapshot(self) -> list[str]:
        """All files and folders but the locks."""
        root = self.workdir.root
        return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if not p.name.endswith(".lock"))


def _write(*paths: Path, text: str = "something") -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _dead_pid() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "work")


@pytest.fixture
def held(yard: Yard) -> Iterator[int]:
    """The id of a process that holds the folder, as a run does."""
    ready, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with alone(yard.workdir):
                os.write(say, b"held")
                signal.pause()
        finally:
            os._exit(1)
    os.close(say)
    assert os.read(ready, 4) == b"held"
    os.close(ready)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _gc(yard: Yard, *words: str) -> list[str]:
    done = CliRunner().invoke(cli, ["workdir", "gc", "--workdir", str(yard.workdir.root), *words])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_two_published_versions_a_killed_run_a_live_run_and_ten_old_ones(
    yard: Yard, held: int, make_model: Callable[[str], Path], pairs: list[Pair]
) -> None:
    old: list[Left] = []
    handles: dict[str, Left] = {}
    for number in range(1, 11):
        old.append(yard.run(f"old-{number:02d}"))
        if number in (1, 5):
            handles[yard.publish(old[-1], make_model(f"{number}"), pairs[0], f"of-{number}")] = old[-1]
    killed, live = yard.run("killed", end="", done=()), yard.run("live", end="", pid=held)
    kept = [old[0], old[4], old[9], killed, live]
    gone = [left for left in old if left not in kept]

    before = yard.snapshot()
    listed = _gc(yard, "--keep-runs", "2", "--dry-run")
    assert yard.snapshot() == before, "only listed"
    assert _gc(yard, "--keep-runs", "2") == listed
    for left in kept:
        missing = [thing for thing in (left.model, left.data) if not thing.exists()]
        assert not missing and (yard.workdir.runs / left.run / "run.json").is_file(), (left.run, missing)
    for left in (killed, live):
        assert all(thing.exists() for thing in left.things)
    for left in gone:
        still = [thing for thing in left.things if thing.exists()]
        assert not still and not (yard.workdir.runs / left.run).exists(), (left.run, still)
        assert not (yard.workdir.logs / left.run).exists()
    assert not [name for name in yard.snapshot() if workdir._GONE in name]

    told = {line[18:].partition(": ")[0]: (line[:5].strip(), line.partition(": ")[2]) for line in listed}
    assert told["runs/live"] == ("stays", "it goes on")
    assert told["runs/killed"] == ("stays", "one of the newest 2 of tiny")
    assert told["runs/old-10"] == ("stays", "the last of tiny that came to its end")
    assert told["runs/old-05"] == ("stays", "it published acme/of-5/1")
    assert told["runs/old-04"] == ("goes", "neither recent, nor did it publish a version that stands")
    model = f"artifacts/tiny/FullModelTrainer/full_model/{old[4].execution}"
    assert told[model] == ("stays", "acme/of-5/1 was made from it")
    assert told[model.replace(str(old[4].execution), str(old[3].execution))] == ("goes", gc._NOBODY)
    assert all("bytes" in line or "kB" in line for line in listed), "each with its size"

    store = Store.open(yard.workdir.store)
    for handle in handles:
        manifest = lineages._resolve(store, handle)
        assert verify_version(StoreShelf(store), manifest.handle, Trust.in_key(pairs[0].public)).signed
        assert lineages.from_ml_metadata(yard.workdir.metadata, manifest.digest).steps


def test_what_a_version_in_another_store_was_made_from_stays(yard: Yard) -> None:
    made: list[Left] = []
    for number, store in enumerate((yard.workdir.store_place, "s3://bucket/shop")):
        made.append(yard.run(f"20261130-06000{number}-000"))
        yard.told_store = store
        told = {"pushed": 1, "handle": f"acme/thing/{number}", "saved_model_digest": f"sha256:{number}"}
        yard.execution("HubPusher", "pushed_model", [made[-1].artifact], "PushedModel", **told)
    yard.run("20261130-060002-000")
    lines = "\n".join(_gc(yard, "--keep-runs", "1"))
    assert [left.model.exists() for left in made] == [False, True], lines
    assert "acme/thing/1 was made from it" in lines


def test_without_a_run_that_goes_on_the_newest_of_each_pipeline_stay(yard: Yard) -> None:
    first, second, third = (yard.run(name) for name in ("a", "b", "c"))
    _gc(yard, "--keep-runs", "2")
    assert not any(thing.exists() for thing in first.things)
    assert all(thing.exists() for left in (second, third) for thing in left.things)
    _gc(yard, "--keep-runs", "0")
    assert not any(thing.exists() for left in (second, third) for thing in left.things)
    assert not list((yard.workdir.data / "keys").glob("key-*"))


def test_runs_that_fail_again_and_again_do_not_push_out_the_last_that_ended_well(yard: Yard) -> None:
    good, *failed = (yard.run(name, end) for name, end in [("a", "done"), ("b", "failed"), ("c", "failed")])
    _gc(yard, "--keep-runs", "1")
    assert all(thing.exists() for thing in good.things)
    assert not failed[0].model.exists() and failed[1].model.exists()


def test_what_an_older_run_made_stays_with_the_newer_run_that_used_it_again(yard: Yard) -> None:
    first = yard.run("a")
    yard.run("b")
    yard.execution("ReusableExporter", "reusable_model", [first.artifact])  # in the time of b
    for used in (first.trial, first.data, first.checkpoint / "c.npz"):
        os.utime(used)
    _gc(yard, "--keep-runs", "1")
    assert all(thing.exists() for thing in first.things)


def test_while_a_run_has_yet_to_look_for_them_any_trial_and_checkpoint_may_be_its_own(yard: Yard, held: int) -> None:
    first = yard.run("a")
    yard.run("b", end="", pid=held, done=_DONE[:1])
    listed = _gc(yard, "--keep-runs", "1")
    assert first.trial.exists() and first.checkpoint.exists()
    assert any("run b goes on, and may use it" in line for line in listed)
    for node in _DONE[1:]:
        runs.append_event(yard.workdir, "b", Event(runs.now(), node, "done"))
    runs.append_event(yard.workdir, "a", Event(runs.now(), "", "failed"))
    _gc(yard, "--keep-runs", "0")
    assert not first.trial.exists() and not first.checkpoint.exists()


def test_beside_a_run_of_which_nothing_is_recorded_yet_nothing_goes_that_it_may_use(yard: Yard, held: int) -> None:
    left = yard.run("a")
    _write(yard.workdir.data / "tmp-1" / "half")
    _gc(yard, "--keep-runs", "0")
    assert all(thing.exists() for thing in (left.data, left.trial, left.checkpoint))
    assert (yard.workdir.data / "tmp-1" / "half").exists(), "that run may be writing it"


def test_an_evaluation_at_work_is_waited_for_and_then_told_of(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    left = yard.run("a")
    monkeypatch.setattr(workdir, "_WAIT_S", 0.1)
    with relied_on(yard.workdir), pytest.raises(EnvironmentProblem, match="an evaluation, or another gc"):
        gc.collect(yard.workdir, 0)
    assert all(thing.exists() for thing in left.things)


def test_the_rows_of_a_killed_evaluation_go_and_those_of_one_at_work_stay(yard: Yard) -> None:
    left = yard.workdir.trials / "rows" / "left"
    left.mkdir(parents=True)
    (left / "pool.0.npy").write_bytes(b"rows")
    with rows_folder(yard.workdir.trials) as used:
        left.mkdir(exist_ok=True)  # an evaluation that begins removes them too
        told = {thing.paths[0]: (thing.goes, thing.why) for thing in gc.collect(yard.workdir, keep_runs=5)}
        assert told[left] == (True, "a killed evaluation left it")
        assert told[used] == (False, "an evaluation goes on")
        assert used.is_dir() and not left.exists()


def test_a_run_that_begins_meanwhile_waits_until_all_is_told(yard: Yard) -> None:
    ready, say = os.pipe()
    with workdir.taking_away(yard.workdir):
        child = os.fork()  # it has the lock's file open, too
        if child == 0:
            with alone(yard.workdir):
                os.write(say, b"runs")
                os._exit(0)
        time.sleep(0.2)
        os.set_blocking(ready, False)
        with pytest.raises(BlockingIOError):
            os.read(ready, 4)
        assert not workdir.is_held(yard.workdir)
    os.waitpid(child, 0)
    assert os.read(ready, 4) == b"runs"


def test_in_a_folder_where_only_evaluations_were_nothing_goes(yard: Yard) -> None:
    trial = yard.workdir.trials / "ab" / "x.npz"
    _write(trial)
    assert _gc(yard)[-1].endswith("no run is recorded here") and trial.exists()


def test_what_a_package_for_kubeflow_may_name_stays(yard: Yard) -> None:
    left = yard.run("a")
    mark_for_pods(yard.workdir.root)
    _gc(yard, "--keep-runs", "0")
    assert all(thing.exists() for thing in (left.data, left.trial, left.checkpoint))


@pytest.mark.parametrize("at", range(8))
def test_a_gc_that_is_killed_anywhere_leaves_what_a_second_one_finishes(
    yard: Yard, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lefts = [yard.run(name) for name in ("a", "b", "c")]
    whole = Yard.snapshot(yard)
    shutil.copytree(yard.workdir.root, tmp_path / "undisturbed")
    gc.collect(Workdir(tmp_path / "undisturbed"), 1)
    count = iter(range(100))

    def die(do: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            if next(count) == at:
                raise KeyboardInterrupt
            return do(*arguments, **more)

        return step

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gc, "take_away", die(gc.take_away) if at < 6 else gc.take_away)
        patch.setattr(gc.shutil, "rmtree", die(shutil.rmtree) if at >= 6 else shutil.rmtree)
        gc.collect(yard.workdir, 1)
    assert all(thing.exists() for thing in lefts[2].things)
    gc.collect(yard.workdir, 1)
    expected = sorted(p.relative_to(tmp_path / "undisturbed").as_posix() for p in (tmp_path / "undisturbed").rglob("*"))
    assert yard.snapshot() == [name for name in expected if not name.endswith(".lock")] != whole


def test_what_is_no_working_folder_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    _write(tmp_path / "data" / "mine" / "thesis.txt", tmp_path / "runs" / "log")
    with pytest.raises(RecipeError, match="Expected a working folder"):
        gc.collect(Workdir(tmp_path), 0)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["data", "log", "mine", "runs", "thesis.txt"]


def test_a_damaged_description_of_a_run_stops_it_before_anything_goes(yard: Yard) -> None:
    left = yard.run("a")
    (yard.workdir.runs / "a" / "run.json").write_text("{")
    done = CliRunner().invoke(cli, ["workdir", "gc", "--keep-runs", "0", "--workdir", str(yard.workdir.root)])
    assert done.exception and "Expected the description of the run 'a'" in str(done.exception)
    assert all(thing.exists() for thing in left.things)
