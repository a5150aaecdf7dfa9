"""What a plan says of an edit is what then runs, over the kinds of edits that people make."""

import contextlib
import json
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from piecehub.containers import code
from piecehub.facts import runs
from piecehub.facts.plan import Plan
from piecehub.store import curate
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.command_line import piecehub
from tests.pipelines.world import TINY, Finished, World

pytestmark = pytest.mark.long

STORE = {"IncumbentResolver", "HubPusher"}
JUDGED = {"PublishGate", "DocumentationWriter"}
TRAINED = {
    *("FullModelTrainer", "PieceExtractor", "ReusableExporter", "ReusabilityValidator", "FineTuneEvaluator"),
    *(STORE | JUDGED),
}
EXAMPLES = {"UpstreamExamples", "DownstreamExamples", "UpstreamAnomalies", "DownstreamAnomalies"}


@dataclass(frozen=True)
class Edit:
    """An edit: what it does until the test has ended, and what it must run, and say at which component.

    Attributes:
        made: gives settings that belong to it; takes the edit back afterwards.
        runs: the components that must run.
        at: the component that says why.
        why: a sentence of that.
    """

    made: Callable[[World, Path], contextlib.AbstractContextManager[tuple[str, ...]]]
    runs: set[str]
    at: str = ""
    why: str = ""


def _set(*settings: str) -> Callable[[World, Path], contextlib.AbstractContextManager[tuple[str, ...]]]:
    return lambda _world, _folder: contextlib.nullcontext(settings)


@contextlib.contextmanager
def _recipe_file(world: World, name: str, text: str) -> Generator[tuple[str, ...]]:
    """Adds text to a file of the recipe, or makes one."""
    path = world.recipe / name
    before = path.read_bytes() if path.exists() else None
    path.write_bytes((before or b"") + text.encode())
    try:
        yield ()
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@contextlib.contextmanager
def _ours(copy: Path, name: str) -> Generator[tuple[str, ...]]:
    """Edits a file of ours."""
    before = (copy / name).read_bytes()
    (copy / name).write_bytes(before + b"\n# an edit\n")
    code.module_closure.cache_clear()
    try:
        yield ()
    finally:
        (copy / name).write_bytes(before)
        code.module_closure.cache_clear()


@contextlib.contextmanager
def _lock(folder: Path) -> Generator[tuple[str, ...]]:
    with pytest.MonkeyPatch.context() as patched:
        shutil.copy(code.LOCK, folder / "requirements.lock")
        with (folder / "requirements.lock").open("a") as lock:
            lock.write("# another\n")
        patched.setattr(code, "LOCK", folder / "requirements.lock")
        yield ()


@contextlib.contextmanager
def _records(world: World, folder: Path, part: str) -> Generator[tuple[str, ...]]:
    """The run's own examples in a folder, with some records of upstream once more; or a second task with all."""
    from pipelines.data import examples_folder
    from pipelines.recipe.loader import load_recipe

    source = examples_folder(load_recipe(world.recipe, TINY), world.workdir.data)
    shutil.copytree(source, folder / "data")
    split = folder / "data" / "upstream" / "train"
    if part == "upstream":
        shutil.copy(next(split.glob("*")), split / "part-more.tfrecord")
    else:
        shutil.copytree(folder / "data" / "digits-5-9", folder / "data" / part)
    yield ('data.module=""', "data.arguments={}", f'data.folder="{folder / "data"}"')


@contextlib.contextmanager
def _second_task(world: World, folder: Path) -> Generator[tuple[str, ...]]:
    with _records(world, folder, "again") as settings:
        yield (*settings, 'task=[{name="digits-5-9"}, {name="again", role="report"}]')


@contextlib.contextmanager
def _somebody_else_publishes(world: World, folder: Path) -> Generator[tuple[str, ...]]:
    """A version of other content, with the evidence of the first one; taken out of sight afterwards."""
    store = Store.open(world.workdir.store)
    first = store.newest("piecehub", "digits")
    assert first is not None
    record = runs.read_run(world.workdir, sorted(runs.run_ids(world.workdir))[0])
    assert record is not None
    states = runs.node_states(record, runs.read_events(world.workdir, record.run))
    shutil.copytree(Path(states["ReusableExporter"].outputs["reusable_model"]) / "saved_model", folder / "model")
    (folder / "model" / "assets").mkdir(exist_ok=True)
    (folder / "model" / "assets" / "note.txt").write_text("other content")
    blobs = {blob.title: store.blob_path(blob.digest) for blob in first.blobs if blob.title.startswith("evidence/")}
    published = publish(store, folder / "model", "piecehub", "digits", blobs=blobs, facts=dict(first.facts))
    try:
        yield ()
    finally:
        curate.yank(store, published.handle, by="a test", why="it has ended")


@contextlib.contextmanager
def _wiped_store(world: World) -> Generator[tuple[str, ...]]:
    kept = world.workdir.root / "kept"
    world.workdir.store.rename(kept)
    try:
        yield ()
    finally:
        shutil.rmtree(world.workdir.store)
        kept.rename(world.workdir.store)


EDITS = {
    "nothing": Edit(_set(), set()),
    "a parameter": Edit(_set("train.learning_rate=0.0021"), TRAINED, "FullModelTrainer", "train.learning_rate 0"),
    "the gate": Edit(_set("gate.min_gain=-0.031"), STORE | JUDGED, "PublishGate", "gate.min_gain -0.025 → -0.031"),
    "a word for people": Edit(
        _set('documentation.limitations="None that we know of."'),
        STORE | JUDGED | {"ReusabilityValidator"},
        "DocumentationWriter",
        "documentation.limitations",
    ),
    "a new name": Edit(_set('piece.name="digits/renamed"'), set(), "HubPusher", "piece.name"),
    "a helper": Edit(
        lambda world, _: _recipe_file(world, "helper.py", "SIZE = 3\n"), TRAINED, "FullModelTrainer", "helper.py is new"
    ),
    "a comment": Edit(
        lambda world, _: _recipe_file(world, "model.py", "# why\n"),
        TRAINED,
        "FullModelTrainer",
        "model.py changed: comments only",
    ),
    "a page for people": Edit(lambda world, _: _recipe_file(world, "README.md", "More.\n"), set()),
    "the code of a component": Edit(
        lambda _, folder: _ours(folder / "checkout", "piecehub/transfer/gate.py"),
        set(),
        "PublishGate",
        "piecehub/transfer/gate.py changed",
    ),
    "a page of ours": Edit(lambda _, folder: _ours(folder / "checkout", "piecehub/ui/app.py"), set()),
    "the lock": Edit(
        lambda _, folder: _lock(folder),
        TRAINED | {"UpstreamExamples", "DownstreamExamples"},
        "FullModelTrainer",
        "requirements.lock",
    ),
    "more records": Edit(
        lambda world, folder: _records(world, folder, "upstream"),
        TRAINED | {"UpstreamExamples", "DownstreamExamples", "UpstreamAnomalies"},
        "UpstreamExamples",
        "new data: upstream",
    ),
    "a task": Edit(_second_task, set(), "HubPusher", "its input changes"),
    "another's version": Edit(
        _somebody_else_publishes, STORE | JUDGED, "IncumbentResolver", "what it finds there is new"
    ),
    "a wiped store": Edit(lambda world, _: _wiped_store(world), set(), "HubPusher", "always runs"),
}


@pytest.fixture(scope="module")
def settled(world: World, first: Finished) -> None:
    """The first run's version is the incumbent, and has been judged against itself."""
    world.run()


def _ran(world: World, settings: tuple[str, ...]) -> set[str]:
    """What a run of the command really runs; nothing where it says that there is nothing to do."""
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    outcome = local_runner.run_if_needed(load_recipe(world.recipe, [*TINY, *settings]), world.workdir)
    if outcome.is_repeated:
        return set()
    record = runs.read_run(world.workdir, outcome.run)
    assert record is not None
    states = runs.node_states(record, runs.read_events(world.workdir, outcome.run))
    return {node for node, event in states.items() if event.state == "done"}


def _plan(world: World, settings: tuple[str, ...]) -> Plan:
    from pipelines.planning.plan import plan
    from pipelines.recipe.loader import load_recipe

    return plan(load_recipe(world.recipe, [*TINY, *settings]), world.workdir)


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_predicts_exactly_what_then_runs(
    world: World, settled: None, checkout: Path, tmp_path: Path, name: str
) -> None:
    edit = EDITS[name]
    with contextlib.chdir(world.recipe.parent):
        _ran(world, ())  # whatever the edit before this one left behind
        with edit.made(world, tmp_path) as settings:
            plan = _plan(world, settings)
            foretold = {component.id for component in plan.components if component.state == "run"}
            assert foretold == _ran(world, settings)
    assert not edit.runs or foretold == edit.runs
    said = {component.id: component.why for component in plan.components}
    assert not edit.at or any(why.startswith(edit.why) for why in said[edit.at]), said
    if name in ("nothing", "a page for people", "a page of ours"):
        assert foretold == set() and not plan.something_runs


def test_the_command_tells_what_runs_and_a_run_that_did_nothing_tells_the_last_one(world: World, settled: None) -> None:
    words = (str(world.recipe), "--workdir", str(world.workdir.root))
    assert piecehub("run", *words, "--quiet", "--no-skip").returncode == 0
    before = runs.run_ids(world.workdir)
    seen = piecehub("plan", *words, "--json")
    assert (seen.returncode, seen.stderr) == (0, "")
    states = {component["id"]: component["state"] for component in json.loads(seen.stdout)["components"]}
    assert {node for node, state in states.items() if state == "idle"} == STORE and "run" not in states.values()
    again = piecehub("run", *words, "--json")
    [event] = map(json.loads, again.stdout.splitlines())
    assert again.returncode == 0 and event["message"].startswith("Nothing to do") and event["results"][0]["published"]
    assert runs.run_ids(world.workdir) == before
    other = piecehub("plan", *words, "--quiet", "--set", "gate.min_gain=-0.04")
    assert other.returncode == 10 and "gate.min_gain -0.025 → -0.04" in other.stdout
    assert "Plan: 4 of 14 components to run, 10 from cache." in other.stdout


def test_a_run_that_was_not_published_is_told_again_with_its_exit_code(world: World, settled: None) -> None:
    words = ("run", str(world.recipe), "--workdir", str(world.workdir.root), "--quiet", "--set", "gate.min_gain=0.5")
    one, again = piecehub(*words), piecehub(*words)
    assert (one.returncode, again.returncode) == (4, 4)
    assert again.stdout.startswith("Nothing to do") and "not published: Expected a gain" in again.stdout
