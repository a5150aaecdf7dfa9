"""What commit a65f8db made still opens, wherever it is unpacked: a working folder, and a Keras file."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.lineage import published as lineages
from piecehub.store.catalog import Store
from piecehub.ui.app import create_app
from tests.command_line import piecehub

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HANDLE = "piecehub/digits/1"
RUN = "20261129-123618-312"
# As README.md has them.
SETTINGS = ("evaluation.seeds=[0,1,2,3,4]", "evaluation.sensitivity_batch_sizes=[8]", "gate.min_gain=-1.0")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """The working folder, in another place than it was made in."""
    root = tmp_path_factory.mktemp("elsewhere") / "moved"
    with tarfile.open(HERE / "workdir.tar.gz") as archive:
        archive.extractall(root, filter="data")
    return Workdir(root / ".piecehub")


def test_the_models_are_listed_and_the_signature_holds(workdir: Workdir) -> None:
    options = ("--workdir", str(workdir.root))
    assert piecehub("models", *options).stdout.startswith(f"{HANDLE}  sha256:")
    told = piecehub("verify", HANDLE, "--key", str(HERE / "key.pub"), *options)
    assert told.returncode == 0, told.stderr
    assert "signed by 'key.pub'" in told.stdout and "as they were published" in told.stdout


def test_lineage_reads_alike_from_the_chain_and_from_ml_metadata(workdir: Workdir) -> None:
    store = Store.open(workdir.store)
    chain = lineages.of_published(store, HANDLE)
    recorded = lineages.from_ml_metadata(workdir.metadata, chain.digest)
    assert lineages.agree(chain, recorded) == []
    text = lineages.text(chain)
    assert "FullModelTrainer" in text and "epochs = 20" in text and "model_arguments.width = 32" in text


def test_the_pages_have_their_plots(workdir: Workdir) -> None:
    client = TestClient(create_app(workdir), base_url="http://127.0.0.1")
    page = client.get(f"/runs/{RUN}")
    plots = re.findall(r'src="(/[^"]+[.]svg)"', page.text)
    assert {plot.rpartition("/")[2] for plot in plots} >= {"accuracy.svg", "gains.svg", "learning_curves.svg"}
    assert [client.get(plot).status_code for plot in plots] == [200] * len(plots)
    assert client.get(f"/models/{HANDLE}").status_code == client.get("/").status_code == 200


def test_a_run_that_is_moved_again_still_has_its_outputs(workdir: Workdir, tmp_path: Path) -> None:
    """New events hold places below the working folder; those of older ones are found by what follows `artifacts`."""
    moved = Workdir(tmp_path / "again")
    shutil.copytree(workdir.root, moved.root)
    record = runs.read_run(moved, RUN)
    assert record is not None
    before = runs.node_states(record, runs.read_events(moved, RUN))["PublishGate"].outputs["blessing"]
    assert Path(before).is_relative_to(moved.root) and (Path(before) / "BLESSED").is_file()
    runs.append_event(moved, RUN, runs.Event(runs.now(), "PublishGate", "done", outputs={"blessing": before}))
    assert str(moved.root) not in (moved.logs / RUN / "events.jsonl").read_text().splitlines()[-1]
    third = Workdir(tmp_path / "third")
    shutil.move(moved.root, third.root)
    after = runs.node_states(record, runs.read_events(third, RUN))["PublishGate"].outputs["blessing"]
    assert Path(after).is_relative_to(third.root) and (Path(after) / "BLESSED").is_file()


def test_ml_metadata_is_told_where_the_artifacts_lie_now(workdir: Workdir, tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    from pipelines.sweep import sweep

    moved = Workdir(tmp_path / "again")
    shutil.copytree(workdir.root, moved.root)
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(moved.metadata)
    before = metadata_store.MetadataStore(config).get_artifacts()
    sweep(moved)
    after = metadata_store.MetadataStore(config).get_artifacts()
    assert {a.id for a in before} == {a.id for a in after}
    assert not any(Path(a.uri).exists() for a in before)
    assert all(Path(a.uri).is_relative_to(moved.root) and Path(a.uri).exists() for a in after)


KERAS_FILE = """
import numpy as np, keras
from piecehub import ReusableLayer
expected = np.load("expected.npz")
model = keras.models.load_model("classifier.keras", safe_mode=False)
np.testing.assert_allclose(model.predict(expected["x"], verbose=0), expected["y"], atol=1e-5)
assert any(isinstance(layer, ReusableLayer) for layer in model.layers)
first = model.get_weights()
for weight in model.trainable_weights:
    weight.assign(weight * 0)
model.load_weights("classifier.weights.h5")
for one, other in zip(first, model.get_weights(), strict=True):
    np.testing.assert_array_equal(one, other)
"""


def test_a_keras_file_opens_after_the_front_door_was_used(tmp_path: Path) -> None:
    with tarfile.open(HERE / "layer.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", "-c", KERAS_FILE]
    done = subprocess.run(command, cwd=tmp_path / "layer", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.long
def test_a_run_on_top_of_it_publishes_or_says_what_is_new(workdir: Workdir, tmp_path: Path) -> None:
    moved = Workdir(tmp_path / "work")
    shutil.copytree(workdir.root, moved.root)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    done = piecehub("run", "digits", *settings, "--workdir", str(moved.root))
    assert done.returncode in (0, 4), done.stderr[-3000:]
    assert re.search(r"(already )?published (as )?piecehub/digits/\d|not published: Expected ", done.stdout)
    assert HANDLE in piecehub("models", "--workdir", str(moved.root)).stdout
