"""The local runner: it publishes, its cache tells the truth, failures are one sentence, and nothing is left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from piecehub.cli.main import cli
from piecehub.containers import code
from piecehub.errors import DataError, EnvironmentProblem, PiecehubError, RecipeError
from piecehub.facts import runs
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.plan import Took, read_plan
from piecehub.facts.runs import Result
from piecehub.facts.workdir import Workdir, inside
from piecehub.lineage import published as lineages
from piecehub.signing.verify import verify_version
from piecehub.store.catalog import Store
from piecehub.store.shelf import StoreShelf
from pipelines import gc
from tests.command_line import piecehub
from tests.pipelines.world import TINY, Finished, World, write_foreign_repository
from tests.terminals import piecehub_on_terminal

EVALUATED = {"FineTuneEvaluator"}
JUDGED = {"PublishGate", "DocumentationWriter", "HubPusher"}
FROM_THE_STORE = {"IncumbentResolver", "HubPusher"}
CUT = {"PieceExtractor", "ReusableExporter", "ReusabilityValidator"}


@pytest.fixture(scope="module")
def settled(world: World, first: Finished) -> Finished:
    """The second run: the first one's version is the incumbent now, so it is judged again."""
    return world.run()


def test_the_first_run_computes_everything_and_publishes(world: World, first: Finished) -> None:
    assert first.handle == "piecehub/digits/1"
    assert {event.state for event in first.states.values()} == {"done"}
    assert len(first.states) == 14
    assert [str(m.handle) for m in Store.open(world.workdir.store).models()] == ["piecehub/digits/1"]
    ended = runs.read_events(world.workdir, first.run)[-1]
    assert ended.results == (Result("digits", True, "piecehub/digits/1"),)


def test_a_dry_run_and_a_plan_know_what_each_component_of_this_run_took(world: World, first: Finished) -> None:
    from pipelines.compiled import compiled
    from pipelines.cost.earlier import taken
    from pipelines.data import examples_folder
    from pipelines.planning.parameters import parameters_by_component
    from pipelines.recipe.loader import load_recipe

    assert all(event.cpu_s > 0 for event in first.states.values())
    # All of them together, in a process that holds TensorFlow: what a package asks for beside this run.
    assert all(256 << 20 < event.peak_bytes < 16 << 30 for event in first.states.values())
    loaded, workdir = load_recipe(str(world.recipe), TINY), world.workdir
    ir = compiled(loaded, workdir, examples_folder(loaded, workdir.data.resolve()), "")
    known = taken(workdir, parameters_by_component(ir))
    assert set(known) == set(first.states)
    ended = first.states["FineTuneEvaluator"]
    assert known["FineTuneEvaluator"] == Took.of(ended, known["FineTuneEvaluator"].run)
    assert ended.cpu_s > 1  # workers, too, which are processes of their own
    assert 100 * 2**20 < ended.memory_bytes < 20 * 2**30 and 10**4 < ended.disk_bytes < 10**8
    plan = read_plan(workdir, first.run)
    assert plan and plan.cost.unknown == () and plan.cost.runs == (first.run,)
    assert plan.cost.disk_bytes == sum(event.disk_bytes for event in first.states.values())


def test_c4_the_validator_of_a_run_reads_the_page_that_the_recipe_will_make(first: Finished) -> None:
    report = ConformanceReport.read(Path(first.states["ReusabilityValidator"].outputs["conformance"]))
    found = {finding.check: finding for finding in report.findings}
    assert "X4" in found and found["X4"].passed is True and "names no task" not in found["X4"].sentence


def test_the_evaluator_says_how_far_it_is(world: World, first: Finished) -> None:
    events = [e for e in runs.read_events(world.workdir, first.run) if e.node == "FineTuneEvaluator"]
    notes = [e.message for e in events if e.message]
    trials = [note for note in notes if not note.startswith("comparing with upstream")]
    speed = r"(, [\d.]+ trials/(s|min), [^:]+ left)?"
    assert trials and all(re.fullmatch(rf"trial \d+ of \d+{speed}: [a-zA-Z, -]+, 5 examples", note) for note in trials)
    assert all(e.progress and e.progress.text == e.message for e in events if e.message)
    assert (events[0].state, events[-1].state) == ("running", "done")


def test_a_second_run_publishes_nothing_new_and_comes_from_the_cache(settled: Finished) -> None:
    assert (settled.handle, settled.why) == ("piecehub/digits/1", "The same content was published before.")
    assert settled.ran() == FROM_THE_STORE | JUDGED


def test_e1_on_a_terminal_a_run_is_never_still_and_says_what_comes_from_the_cache(
    world: World, settled: Finished
) -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    folder = str(world.workdir.root)
    seen = piecehub_on_terminal("run", str(world.recipe), *settings, "--workdir", folder, "--no-skip")
    assert seen.code == 0, seen.screen
    assert "published" in seen.stdout and "accuracy with 95 % intervals" in seen.stdout
    assert seen.turns > 8 * seen.seconds / 4, "a spinner turns while TFX is loaded, too"
    screen = seen.screen
    assert screen[0].startswith("  ✓  loading TensorFlow and TFX done ")
    run = runs.run_ids(world.workdir)[0]
    place = next(at for at, line in enumerate(screen) if line == f"digits  14 components  run {run}")
    assert screen[place + 1].endswith(f"/runs/{run}") and "piecehub serve --workdir" in screen[place + 2]
    rows = {line.split()[1]: line.split()[0] for line in screen[place + 3 :] if line[2:3] in "✓↺"}
    assert rows["FullModelTrainer"] == "↺" and rows["HubPusher"] == "✓" and len(rows) == 14
    assert all(len(line) <= 80 for lines in seen.screens(50) for line in lines if line[2:3] in "✓↺·")


@pytest.mark.long
def test_as_json_a_run_prints_the_events_that_it_keeps(world: World, settled: Finished) -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    done = piecehub("run", str(world.recipe), *settings, "--workdir", str(world.workdir.root), "--json", "--no-skip")
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    run = runs.run_ids(world.workdir)[0]
    began = next(event for event in told if event["event"] == "run")
    assert (began["run"], began["state"], len(began["components"])) == (run, "running", 14)
    assert {event["event"] for event in told[: told.index(began)]} == {"phase"}
    kept = (world.workdir.logs / run / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == told[told.index(began) + 1 :]
    assert told[-1]["results"] == [asdict(Result("digits", True, settled.handle, settled.why))]
    quiet = piecehub("run", str(world.recipe), *settings, "--workdir", str(world.workdir.root), "--quiet")
    assert (quiet.returncode, quiet.stderr) == (0, "") and "published" in quiet.stdout


@pytest.fixture(scope="module")
def again(world: World, settled: Finished) -> Finished:
    """A third run, for tests that stand next to each other: nothing has changed since."""
    return world.run()


def test_once_the_incumbent_is_known_only_what_sees_the_store_runs(again: Finished) -> None:
    assert again.ran() == FROM_THE_STORE


def test_where_nothing_changed_plan_and_run_say_so_without_tensorflow(world: World, again: Finished) -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    words = [str(world.recipe), *settings, "--workdir", str(world.workdir.root)]
    code = (
        f"import sys; sys.argv[1:] = {['plan', *words, '--json']!r}\nfrom piecehub.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert not {'tensorflow', 'tfx', 'keras', 'apache_beam'} & set(sys.modules)"
    )
    planned = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (planned.returncode, planned.stderr) == (0, "")
    plan = json.loads(planned.stdout)
    states = {component["id"]: component["state"] for component in plan["components"]}
    assert {node for node, state in states.items() if state == "idle"} == FROM_THE_STORE
    assert set(states.values()) == {"idle", "cache"} and (plan["against"], plan["changes"]) == (again.run, [])
    ran = piecehub("run", *words)
    assert (ran.returncode, ran.stderr) == (0, "") and f"That was run {again.run}:" in ran.stdout
    assert "already published as piecehub/digits/1" in ran.stdout and runs.run_ids(world.workdir)[0] == again.run


def test_it_is_never_said_that_nothing_changed_where_something_did(
    world: World, again: Finished, tmp_path: Path
) -> None:
    from pipelines.planning.at_once import nothing_to_do
    from pipelines.recipe.loader import load_recipe

    def is_idle(*settings: str, devices: str = "", signed_by: str = "") -> bool:
        loaded = load_recipe(world.recipe, [*TINY, *settings])
        return nothing_to_do(loaded, world.workdir, devices, signed_by) is not None

    assert is_idle()
    assert not is_idle("gate.min_gain=-0.03") and not is_idle('documentation.limitations="None."')
    assert not is_idle(devices="cpu:2") and not is_idle(signed_by="sha256:0")
    (world.recipe / "helper.py").write_text("")
    assert not is_idle()
    (world.recipe / "helper.py").unlink()
    examples = Path(again.states["UpstreamExamples"].outputs["examples"])
    for place in (examples, world.workdir.data, world.workdir.metadata, world.workdir.store):
        place.rename(tmp_path / "away")
        assert not is_idle(), place
        (tmp_path / "away").rename(place)
    later = runs.Run("99990101-000000-000", "digits", str(world.recipe), runs.now(), os.getpid(), ())
    runs.write_run(world.workdir, later)
    for state in ("", "failed", "stopped"):
        if state:
            runs.append_event(world.workdir, later.run, runs.Event(runs.now(), "", state))
        assert not is_idle(), state
    shutil.rmtree(world.workdir.runs / later.run)
    assert is_idle()


def test_a_new_margin_runs_only_the_gate_the_documentation_and_the_pusher(world: World, settled: Finished) -> None:
    assert world.run("gate.non_inferiority_margin=0.05").ran() == FROM_THE_STORE | JUDGED


def test_an_edit_of_the_pages_runs_nothing(world: World, settled: Finished, checkout: Path) -> None:
    before = code.code_digest("components.publish_gate")
    with (checkout / "piecehub" / "ui" / "app.py").open("ab") as page:
        page.write(b"\n# an edit\n")
    assert world.run().ran() == FROM_THE_STORE
    with (checkout / "piecehub" / "transfer" / "gate.py").open("ab") as gate:
        gate.write(b"\n# an edit\n")
    assert code.code_digest("components.publish_gate") != before


def test_b2_another_checkout_and_an_edit_of_the_rule_in_the_file_train_nothing(
    world: World, settled: Finished, tmp_path: Path
) -> None:
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    checkout = tmp_path / "elsewhere" / "recipe"
    shutil.copytree(world.recipe, checkout)
    text = (checkout / "recipe.toml").read_text()
    (checkout / "recipe.toml").write_text(re.sub(r"min_gain = .*", "min_gain = -0.03", text))
    outcome = local_runner.run(load_recipe(checkout, [s for s in TINY if "min_gain" not in s]), world.workdir)
    record = runs.read_run(world.workdir, outcome.run)
    assert record is not None
    states = runs.node_states(record, runs.read_events(world.workdir, outcome.run))
    assert {node for node, event in states.items() if event.state == "done"} == FROM_THE_STORE | JUDGED


@pytest.mark.long
def test_b2_an_edit_of_a_file_that_the_model_may_read_trains_again(world: World, settled: Finished) -> None:
    (world.recipe / "vocab.txt").write_text("words")
    try:
        assert "FullModelTrainer" in world.run().ran()
    finally:
        (world.recipe / "vocab.txt").unlink()


@pytest.mark.long
def test_a_new_learning_rate_trains_again_and_runs_all_after_it(world: World, settled: Finished) -> None:
    ran = world.run("train.learning_rate=0.0021").ran()
    assert ran == {"FullModelTrainer"} | CUT | EVALUATED | JUDGED | FROM_THE_STORE


def test_e3_a_run_gives_signs_of_life(world: World, settled: Finished) -> None:
    assert (world.workdir.logs / settled.run / "heartbeat").is_file()


def test_a_wiped_store_is_published_to_again(world: World, settled: Finished) -> None:
    kept = world.workdir.root / "kept"
    world.workdir.store.rename(kept)
    try:
        again = world.run()
        assert again.handle == "piecehub/digits/1"
        assert again.ran() <= FROM_THE_STORE | JUDGED
        assert again.ran() >= FROM_THE_STORE
    finally:
        shutil.rmtree(world.workdir.store)
        kept.rename(world.workdir.store)


@pytest.fixture
def put_back(world: World, settled: Finished, tmp_path: Path) -> Iterator[None]:
    """Afterwards the folder is what it was; a copy would not do, for the cache knows artifacts by their paths."""
    shutil.copytree(world.workdir.root, tmp_path / "kept")
    yield
    shutil.rmtree(world.workdir.root)
    shutil.move(tmp_path / "kept", world.workdir.root)


def _assert_versions_stand(workdir: Workdir) -> None:
    """Every published version verifies, and both records tell one lineage of it."""
    store = Store.open(workdir.store)
    for manifest in store.models():
        assert verify_version(StoreShelf(store), manifest.handle).digest == manifest.digest
        published = lineages.of_manifest(store, manifest)
        recorded = lineages.from_ml_metadata(workdir.metadata, manifest.digest, str(manifest.handle))
        assert lineages.agree(published, recorded) == []


def test_after_a_gc_versions_stand_and_the_next_run_makes_anew_what_it_would_have_taken_from_the_cache(
    world: World, settled: Finished, put_back: None
) -> None:
    newest = world.run("gate.non_inferiority_margin=0.07")
    blessing = Path(settled.states["PublishGate"].outputs["blessing"])
    assert blessing.is_dir()
    gone = [thing.shown for thing in gc.collect(world.workdir, 1) if thing.goes]
    assert inside(world.workdir, str(blessing)) in gone and f"runs/{settled.run}" in gone
    assert not blessing.exists() and newest.run in runs.run_ids(world.workdir)
    _assert_versions_stand(world.workdir)
    again = world.run()
    assert (again.handle, again.why) == ("piecehub/digits/1", "The same content was published before.")
    assert again.ran() == FROM_THE_STORE | JUDGED, "what is gone is made anew, and the rest comes from the cache"
    assert world.run().ran() == FROM_THE_STORE


@pytest.mark.long
def test_after_a_gc_that_kept_nothing_the_next_run_makes_everything_anew(
    world: World, settled: Finished, put_back: None
) -> None:
    shutil.rmtree(world.workdir.store)
    gc.collect(world.workdir, 0)
    assert not [p for p in world.workdir.artifacts.glob("*/*/[!.]*/*") if p.is_dir()]
    assert runs.run_ids(world.workdir) == [] and not list(world.workdir.trials.glob("*/*"))
    again = world.run()
    assert again.handle == "piecehub/digits/1" and again.ran() == set(again.states)


@pytest.mark.long
def test_a_gc_beside_a_killed_run_a_live_run_and_ten_old_ones(world: World, settled: Finished, put_back: None) -> None:
    second = world.run("train.learning_rate=0.0021", "gate.non_inferiority_margin=0.2")
    for number in range(10):
        world.run(f"gate.non_inferiority_margin=0.0{number}")
    dead = _training(world, "train.epochs=4000")
    dead.kill()
    dead.wait()
    [checkpoint] = world.workdir.training.iterdir()
    killed = runs.run_ids(world.workdir)[0]
    live = _training(world, "train.epochs=5000")
    try:
        going_on = runs.run_ids(world.workdir)[0]
        listed = {thing.shown: thing for thing in gc.collect(world.workdir, 2)}
        assert live.poll() is None
    finally:
        live.kill()
        live.wait()
    assert checkpoint.is_dir()
    told = {run: listed[f"runs/{run}"] for run in (going_on, killed, second.run, settled.run)}
    assert [told[run].goes for run in (going_on, killed, settled.run)] == [False, False, True]
    assert told[going_on].why == "it goes on" and sum(t.goes for n, t in listed.items() if n.startswith("runs/")) >= 9
    assert len(Store.open(world.workdir.store).models()) >= 2 and second.handle == "piecehub/digits/2"
    _assert_versions_stand(world.workdir)
    assert world.run("gate.non_inferiority_margin=0.05").ran() >= FROM_THE_STORE | JUDGED


def _training(world: World, *settings: str) -> "subprocess.Popen[bytes]":
    """A run in a process of its own, which has left a checkpoint, and trains on."""
    words = [word for setting in (*TINY, *settings) for word in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", str(world.recipe), *words]
    before = set(world.workdir.training.glob("*/checkpoint.npz"))
    process = subprocess.Popen([*command, "--workdir", str(world.workdir.root)], stderr=subprocess.DEVNULL)
    while not set(world.workdir.training.glob("*/checkpoint.npz")) - before:
        assert process.poll() is None
        time.sleep(0.1)
    return process


@pytest.mark.long
def test_random_weights_are_not_published(world: World, settled: Finished) -> None:
    before = [m.handle for m in Store.open(world.workdir.store).models()]
    settings = [word for setting in (*TINY, "train.epochs=0") for word in ("--set", setting)]
    done = CliRunner().invoke(cli, ["run", str(world.recipe), "--workdir", str(world.workdir.root), *settings])
    assert done.exit_code == 4
    assert "not published: Expected a gain over from scratch" in done.stdout
    [result] = runs.read_events(world.workdir, runs.run_ids(world.workdir)[0])[-1].results
    assert not result.published and result.why.startswith("Expected a gain over from scratch")
    assert [m.handle for m in Store.open(world.workdir.store).models()] == before


def _records(world: World, folder: Path, *, label: object = 0) -> None:
    """The run's own examples, and one more record whose label is `label`, or missing."""
    import numpy as np

    from piecehub.examples.records import write_records
    from pipelines.data import examples_folder
    from pipelines.recipe.loader import load_recipe

    source = examples_folder(load_recipe(str(world.recipe), TINY), world.workdir.data)
    shutil.copytree(source, folder)
    example = {"image": np.zeros((8, 8, 1), np.float32)} | ({} if label is None else {"label": np.asarray(label)})
    write_records(folder / "upstream" / "train" / "odd", [example] * 3, shards=1)
    (folder / "upstream" / "train" / "odd" / "part-00000-of-00001.tfrecord").rename(
        folder / "upstream" / "train" / "part-odd.tfrecord"
    )
    (folder / "upstream" / "train" / "odd").rmdir()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        pytest.param(None, "feature 'label'", id="missing", marks=pytest.mark.long),
        pytest.param(77, "feature 'label'", id="out of range"),
    ],
)
def test_n11_a_record_that_breaks_the_schema_stops_the_run_where_it_is_found(
    world: World, first: Finished, tmp_path: Path, label: object, words: str
) -> None:
    _records(world, tmp_path / "data", label=label)
    sentence = f"^UpstreamAnomalies failed. Expected examples that keep the schema.*{words}"
    for _ in range(2):  # the second time what was found comes from the cache
        with pytest.raises(PiecehubError, match=sentence):
            world.run('data.module=""', f'data.folder="{tmp_path / "data"}"')
        run = runs.run_ids(world.workdir)[0]
        record = runs.read_run(world.workdir, run)
        assert record is not None
        states = runs.node_states(record, runs.read_events(world.workdir, run))
        assert states["UpstreamAnomalies"].state == "failed"
        assert states["FullModelTrainer"].state == states["HubPusher"].state == "not run"


def test_labels_of_a_wrong_type_stop_the_run_before_training(world: World, first: Finished, tmp_path: Path) -> None:
    import numpy as np

    from piecehub.examples.records import write_records

    for part, splits in [("upstream", ("train", "eval")), ("digits-5-9", ("pool", "test"))]:
        for split in splits:
            example = {"image": np.zeros((8, 8, 1), np.float32), "label": np.asarray(b"four")}
            write_records(tmp_path / part / split, [example] * 4, shards=1)
    with pytest.raises(PiecehubError, match=r"Expected examples that keep the schema.*'label'"):
        world.run('data.module=""', f'data.folder="{tmp_path}"')


def test_an_empty_split_is_one_sentence(world: World, first: Finished, tmp_path: Path) -> None:
    _records(world, tmp_path / "data")
    for file in (tmp_path / "data" / "digits-5-9" / "pool").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="Expected records in the split 'digits-5-9/pool'"):
        world.run('data.module=""', f'data.folder="{tmp_path / "data"}"')


def test_a_missing_layer_is_found_before_any_training(world: World) -> None:
    with pytest.raises(RecipeError, match="'nothing'"):
        world.run('piece.layer="nothing"')


def test_a_recipe_module_that_raises_is_one_sentence(world: World, tmp_path: Path) -> None:
    model = world.recipe / "broken.py"
    model.write_text("raise RuntimeError('by design')\n")
    with pytest.raises(RecipeError, match=r"RuntimeError.*by design"):
        world.run('model.module="broken.py"')


def test_a_store_that_cannot_be_written_is_one_sentence(world: World, first: Finished, tmp_path: Path) -> None:
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    (tmp_path / "store").write_text("a file stands where the store should be")
    with pytest.raises(EnvironmentProblem, match="Expected a folder that can be written"):
        local_runner.run(load_recipe(str(world.recipe), TINY), Workdir(tmp_path))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workdir, Path]]:
    """A run in a process of its own that was killed while it trained."""
    root = tmp_path_factory.mktemp("killed")
    write_foreign_repository(root / "repository")
    workdir = Workdir(root / "work")
    process = _start(root)
    try:
        _wait_for(workdir, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    yield workdir, root


def _start(root: Path) -> subprocess.Popen[bytes]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", "recipe", "--workdir", str(root / "work"), *settings]
    with (root / "output.txt").open("ab") as output:
        return subprocess.Popen(command, cwd=root / "repository", stdout=output, stderr=output, start_new_session=True)


def _wait_for(workdir: Workdir, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        for run in runs.run_ids(workdir):
            if any(e.node == "FullModelTrainer" for e in runs.read_events(workdir, run)):
                time.sleep(1)
                return
        time.sleep(0.2)
    raise AssertionError("the training never began")


@pytest.mark.long
def test_a_killed_run_leaves_nothing_and_the_next_one_publishes_the_same_content(
    killed: tuple[Workdir, Path], world: World, first: Finished
) -> None:
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    workdir, root = killed
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(workdir.metadata)
    running = [
        e for e in metadata_store.MetadataStore(config).get_executions() if e.last_known_state == mlmd.Execution.RUNNING
    ]
    assert len(running) == 1
    assert _start(root).wait() == 0, (root / "output.txt").read_text()[-2000:]
    states = {e.id: e.last_known_state for e in metadata_store.MetadataStore(config).get_executions()}
    assert states[running[0].id] == mlmd.Execution.FAILED
    assert mlmd.Execution.RUNNING not in states.values()
    assert not list(workdir.artifacts.glob(f"*/*/*/{running[0].id}"))
    mine, other = Store.open(workdir.store).models(), Store.open(world.workdir.store).models()
    assert mine[0].digest in {m.digest for m in other}
