"""A run with a key: what it publishes is signed, says what ML Metadata says, and the key stands in no record."""

import base64
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.conformance.sandbox import missing
from piecehub.containers import entrypoint, executor_input
from piecehub.errors import NotVerified, RecipeError, StoreError
from piecehub.facts import provenance
from piecehub.facts.handle import Handle
from piecehub.signing.attest import run_lineage
from piecehub.signing.keys import new_key
from piecehub.signing.slsa import CONTENT_DIGEST, TITLE
from piecehub.store.catalog import Store
from pipelines.kubeflow_platform import OnCluster
from tests.kubeflow import launcher
from tests.kubeflow.cluster import Cluster
from tests.kubeflow.driver import Run
from tests.kubeflow.pods import Node
from tests.kubeflow.tiny import IMAGE, Seeded
from tests.pipelines.world import Finished, World

KEY_NAME = "a-key-that-no-record-names"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / KEY_NAME
    new_key(path)
    return path


@pytest.fixture(scope="module")
def signed(world: World, first: Finished, key: Path) -> Finished:
    """The first run's piece under another name: only the page is written anew."""
    return world.run('piece.name="digits/signed"', signing_key=key)


def _verify(world: World, handle: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "piecehub.cli", "verify", handle, "--workdir", str(world.workdir.root)]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False)


def test_what_a_run_publishes_with_a_key_verifies(world: World, first: Finished, signed: Finished, key: Path) -> None:
    public = f"{key}.pub"
    done = _verify(world, signed.handle, "--key", public, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signed"]["builder"] == "urn:piecehub:builder:local"
    unsigned = _verify(world, first.handle, "--key", public)
    assert unsigned.returncode == 1
    assert f"Expected a signature of '{first.handle}'. Received: none" in unsigned.stderr


def test_its_provenance_says_what_the_lineage_says(world: World, signed: Finished) -> None:
    from piecehub.lineage import published as lineages

    store = Store.open(world.workdir.store)
    manifest = store.manifest(Handle.parse(signed.handle))
    envelope = json.loads(store.read_blob(manifest.blob(TITLE).digest))
    definition = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["buildDefinition"]
    told = lineages.from_ml_metadata(world.workdir.metadata, manifest.digest, signed.handle)
    splits = {digest for data in told.data for digest in data.splits.values()}
    needed = {
        f"sha256:{hexadecimal}" for i in definition["resolvedDependencies"] for hexadecimal in i["digest"].values()
    }
    assert splits and splits <= needed
    assert {part for step in told.steps for part in step.code_digest.split("+")} <= needed
    trainer = next(c for c in definition["externalParameters"]["components"] if c["component"] == "FullModelTrainer")
    recorded = next(step for step in told.steps if step.component == "FullModelTrainer")
    assert trainer["parameters"]["train"] == json.loads(recorded.parameters["train"])
    assert trainer["parameters"]["train"]["epochs"] == 16
    assert not any(key.endswith("_folder") for c in definition["externalParameters"]["components"] for key in c)
    assert CONTENT_DIGEST in json.dumps(definition)


def test_the_key_and_its_path_stand_in_no_record(world: World, signed: Finished, key: Path) -> None:
    secret = key.read_bytes().splitlines()[1]
    read = 0
    for path in world.workdir.root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            read += len(data)
            assert KEY_NAME.encode() not in data and secret not in data, path
    assert read > 1_000_000


def test_a_key_that_cannot_sign_stops_the_run_before_it_computes(world: World, first: Finished, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    runs_before = sorted(world.workdir.runs.iterdir())
    with pytest.raises(RecipeError, match="Expected a private key"):
        world.run(signing_key=tmp_path / "key")
    assert sorted(world.workdir.runs.iterdir()) == runs_before


def test_provenance_that_ml_metadata_contradicts_is_not_signed(world: World, signed: Finished, tmp_path: Path) -> None:
    model = Path(signed.states["ReusableExporter"].outputs["reusable_model"]) / "saved_model"
    page = Path(signed.states["DocumentationWriter"].outputs["documentation"])
    assert run_lineage(model, page, world.workdir.metadata).data
    copy = tmp_path / "metadata.sqlite"
    shutil.copyfile(world.workdir.metadata, copy)
    with sqlite3.connect(copy) as database:
        changed = database.execute(
            "UPDATE ExecutionProperty SET string_value = json_set(string_value, '$.epochs', 9) "
            "WHERE name = 'train' AND json_extract(string_value, '$.epochs') = 16"
        )
        assert changed.rowcount >= 1
    database.close()
    with pytest.raises(
        NotVerified, match=r"differences, the first: components\[\d+\]\.parameters\.train.*epochs\W+16\D.*epochs\W+9\D"
    ):
        run_lineage(model, page, copy)


def test_a_page_that_ml_metadata_does_not_know_is_not_signed(world: World, signed: Finished, tmp_path: Path) -> None:
    model = Path(signed.states["ReusableExporter"].outputs["reusable_model"]) / "saved_model"
    page = Path(signed.states["DocumentationWriter"].outputs["documentation"])
    chain = provenance.read(page)
    assert chain is not None
    forged = provenance.Provenance(chain.statement | {"parameters": {"license_id": "mit"}}, chain.ancestors)
    provenance.write(tmp_path, forged)
    with pytest.raises(StoreError, match="Expected an artifact with the statement"):
        run_lineage(model, tmp_path, world.workdir.metadata)
    with pytest.raises(NotVerified, match=r"Expected 'provenance\.json'"):
        run_lineage(model, tmp_path / "nothing", None)


@pytest.fixture(scope="module")
def on_kubeflow(world: World, first: Finished, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """A cluster that has what the first run made up to its evidence; it publishes into a store of its own."""
    root = tmp_path_factory.mktemp("kubeflow")
    secrets = {"signing": {"key.pem": key.read_bytes()}}
    node = Node(image=[world.recipe], claims={"work": world.workdir.root}, secrets=secrets)
    cluster = Cluster(root, node)
    return Seeded.by(first, world.recipe, world.workdir, cluster, OnCluster(signing_secret="signing", volume="work"))


@pytest.mark.skipif(bool(missing()), reason=f"needs bubblewrap: {missing()}")
def test_on_kubeflow_tasks_run_by_their_compiled_commands_up_to_a_signed_version(
    world: World, on_kubeflow: Seeded, key: Path, tmp_path: Path
) -> None:
    """Two tasks through TFX, and all that start light, each as a process of its own; what lies between was made here.

    Whole packages are run by tests/kubeflow/test_package_runs.py, which takes long.
    """
    light = {"ImportSchemaGen", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
    spec, platform = on_kubeflow.package
    named = json.loads(json.dumps(spec).replace('"constant": "digits"', '"constant": "digits/kubeflow"'))
    ran = on_kubeflow.cluster.run([named, platform], only={*light, "DownstreamExamples", "DownstreamAnomalies"})
    assert ran.failed == "", ran.logs()
    assert {task for task, (pod,) in ran.pods.items() if pod.cpu_s > 4} == {"DownstreamExamples", "DownstreamAnomalies"}
    outcome = json.loads((ran.output("HubPusher", "pushed_model") / "outcome.json").read_text(encoding="utf-8"))
    assert outcome["handle"] == "piecehub/digits/kubeflow/1"
    assert ran.pods["HubPusher"][0].last_line == "Published piecehub/digits/kubeflow/1."
    done = _verify(world, outcome["handle"], "--key", f"{key}.pub", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signed"]["builder"] == "urn:piecehub:builder:kubeflow"
    _lineage_of_a_cluster(world, outcome["handle"], ran.run.run_id, tmp_path)


def _lineage_of_a_cluster(world: World, handle: str, run_id: str, elsewhere: Path) -> None:
    """What is told of it where nobody has the records of the run: all that its chain has, the run, and the image."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", "lineage", handle, "--store", str(world.workdir.store)]
    told = subprocess.run([*command, "--json"], cwd=elsewhere, capture_output=True, text=True, check=True).stdout
    found = json.loads(told)
    assert found["made_by"] == {"runner": "kubeflow", "run": run_id, "image": IMAGE.partition("/")[2]}
    assert {each["component"] for each in found["components"]} >= {"FullModelTrainer", "PublishGate"}
    assert all(each["code_digest"].startswith("sha256:") for each in found["components"])
    assert {data["role"] for data in found["data"]} == {"upstream", "downstream"}
    store = Store.open(world.workdir.store)
    envelope = json.loads(store.read_blob(store.manifest(Handle.parse(handle)).blob(TITLE).digest))
    statement = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    assert statement["runDetails"]["metadata"]["invocationId"] == run_id
    assert statement["buildDefinition"]["resolvedDependencies"][-1]["name"] == f"image/{IMAGE.partition('/')[2]}"


@pytest.mark.parametrize(
    "task", ["ImportSchemaGen", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"]
)
def test_on_kubeflow_a_light_start_leaves_the_same_bytes_as_one_through_tfx(
    on_kubeflow: Seeded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str
) -> None:
    monkeypatch.setattr(executor_input, "_LOCAL_ROOTS", {"minio://": f"{tmp_path}/minio/"})
    monkeypatch.setattr("tests.kubeflow.driver.LOCAL_ROOTS", {"minio://": f"{tmp_path}/minio/"})
    run = Run(on_kubeflow.package[0], "minio://b/root", "run")
    asked = run.executor_input(task, on_kubeflow.cluster.metadata, "0")
    _, *_, light = argv = launcher.argv(run.container(task), asked, attempt=0)
    assert argv[-2] == "--light_function" and light.startswith("piecehub.")
    left = []
    for more in ((), ("--light_function", "")):
        shutil.rmtree(tmp_path / "minio", ignore_errors=True)
        launcher.prepare(asked, on_kubeflow.cluster.store, Path("/"))
        assert entrypoint.main([*argv[3:], *more]) == 0
        folder = tmp_path / "minio" / "b" / "root" / "digits" / "run" / task
        left.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert len(left[0]) > 1
    assert left[0] == left[1]
