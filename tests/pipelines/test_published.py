"""What the tiny run published, as consumers and reviewers meet it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from piecehub.facts.handle import Handle
from piecehub.lineage import published as lineages
from piecehub.store.catalog import Store
from tests.docstring_examples import run_example
from tests.pipelines.world import Finished, World

_FINE_TUNE = """
import sys
import numpy as np, tensorflow_hub as hub, tf_keras
from sklearn.datasets import load_digits
digits = load_digits()
late = digits.target >= 5
x, y = digits.images[late][:200, ..., None].astype("float32"), digits.target[late][:200] - 5
piece = hub.KerasLayer(sys.argv[1], trainable=True)
model = tf_keras.Sequential([piece, tf_keras.layers.Dense(5)])
model.build((None, 8, 8, 1))
np.save(sys.argv[2], piece(x, training=False).numpy())
moving = [v for v in piece.weights if not any(v is t for t in piece.trainable_weights)]
before = [v.numpy() for v in moving]
assert piece.losses and all(float(loss) > 0 for loss in piece.losses), piece.losses
model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
loss = model.fit(x, y, epochs=4, verbose=0).history["loss"]
assert loss[-1] < loss[0], loss
assert moving and all((v.numpy() != b).any() for v, b in zip(moving, before))
"""


@pytest.fixture(scope="module")
def server(world: World, first: Finished) -> Iterator[str]:
    """`piecehub serve` in a process of its own; the address that it printed."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", "serve", "--port", "0", "--workdir", str(world.workdir.root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(word for line in process.stderr for word in line.split() if word.startswith("http://"))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield address.rstrip("/.,;")
    finally:
        process.terminate()
        process.wait(10)


def test_the_unmodified_client_fine_tunes_it_and_outputs_are_those_before_the_export(
    world: World, first: Finished, server: str, tmp_path: Path
) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    from piecehub.extraction.piece import rebuild_piece

    outputs = tmp_path / "outputs.npy"
    environment = {"TFHUB_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-P", "-c", _FINE_TUNE, f"{server}/{first.handle}", str(outputs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    digits = load_digits()
    images = digits.images[digits.target >= 5][:200, ..., None].astype("float32")
    piece = rebuild_piece(Path(first.states["PieceExtractor"].outputs["piece"]), world.recipe)
    np.testing.assert_allclose(np.load(outputs), piece(images, training=False).numpy(), rtol=0, atol=1e-6)


def test_ml_metadata_and_the_published_chain_tell_the_same_lineage(world: World, first: Finished) -> None:
    from piecehub.containers.code import code_digest, lock_digest
    from tests.in_memory import split_digests

    manifest = Store.open(world.workdir.store).manifest(Handle.parse(first.handle))
    published = lineages.of_manifest(Store.open(world.workdir.store), manifest)
    recorded = lineages.from_ml_metadata(world.workdir.metadata, manifest.digest)
    assert lineages.agree(published, recorded) == []
    steps = {step.component: step for step in published.steps}
    assert set(steps) >= {"FullModelTrainer", "PieceExtractor", "ReusableExporter", "FineTuneEvaluator", "PublishGate"}
    assert json.loads(steps["FullModelTrainer"].parameters["train"])["epochs"] == 16
    assert steps["FineTuneEvaluator"].code_digest == code_digest("components.fine_tune_evaluator")
    assert published.lock_digests == (lock_digest(),)
    assert published.evidence and published.blessing
    splits = {data.role: dict(data.splits) for data in published.data}
    source = Path(first.states["UpstreamExamples"].outputs["examples"])
    assert splits["upstream"] == split_digests(str(source))
    raw = next(p for p in world.workdir.data.iterdir() if p.name != "keys")
    assert splits["upstream"] == split_digests(str(raw / "upstream"))
    assert splits["downstream"] == split_digests(str(raw / "digits-5-9"))


def test_lineage_tells_it_without_tensorflow(world: World, first: Finished) -> None:
    code = (
        "import sys; from piecehub.cli.main import main\n"
        f"sys.argv[1:] = ['lineage', '{first.handle}', '--json', '--workdir', '{world.workdir.root}']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end\n"
        "assert not {'tensorflow', 'tfx', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["handle"] == first.handle
    assert {data["role"] for data in told["data"]} == {"upstream", "downstream"}


def test_the_documentation_has_the_numbers_of_the_evidence(world: World, first: Finished) -> None:
    store = Store.open(world.workdir.store)
    blob = store.manifest(Handle.parse(first.handle)).blob("documentation.md")
    assert blob is not None
    page = store.blob_path(blob.digest).read_text("utf-8")
    lines = page.splitlines()
    assert lines[0] == f"# Module {first.handle}"
    evidence = json.loads((Path(first.states["FineTuneEvaluator"].outputs["evidence"]) / "evidence.json").read_text())
    for cell in evidence["cells"]:
        assert f"{100 * cell['mean']:.1f} %" in page
    assert "<!-- fine-tunable: true -->" in lines
    header = lines[: next(i for i, line in enumerate(lines) if line.startswith("## "))]
    assert [line for line in header[3:] if line and not line.startswith("<!-- ")] == []


def test_pages_of_the_run_and_the_model_show_what_happened(first: Finished, server: str) -> None:
    import urllib.request

    def page(path: str) -> str:
        with urllib.request.urlopen(server + path) as answer:
            return answer.read().decode()

    assert first.handle.rpartition("/")[0] in page("/")
    run = page(f"/runs/{first.run}")
    assert "<svg" in run
    assert all(node in run for node in first.states)
    assert "accuracy" in page(f"/models/{first.handle}")


def test_the_blessing_and_the_metrics_are_stock_artifacts(first: Finished) -> None:
    from tensorflow_model_analysis import load_eval_result

    assert (Path(first.states["PublishGate"].outputs["blessing"]) / "BLESSED").is_file()
    result = load_eval_result(first.states["FineTuneEvaluator"].outputs["evaluation"], model_name="fine_tuning")
    assert result.slicing_metrics


def test_it_is_compared_with_its_evidence_and_the_data_that_it_was_made_from(world: World, first: Finished) -> None:
    from click.testing import CliRunner

    from piecehub.cli.main import cli

    words = ["compare", first.handle, first.handle, "--workdir", str(world.workdir.root)]
    lines = CliRunner().invoke(cli, words).stdout.splitlines()
    for where in ("upstream train", "upstream eval", "downstream pool", "downstream test"):
        assert f"  {where + ' data':<22}the same" in lines
    assert "digits-5-9: accuracy with 95 % intervals" in lines
    assert any(line.startswith("  fine-tuning, B minus A: +0.0 points [+0.0, +0.0]; at least +0.0") for line in lines)
    said = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert said["a"]["data"] == said["b"]["data"] and all(said["a"]["data"].values())


@pytest.mark.long
def test_the_example_of_run_comes_from_the_cache(
    world: World, first: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_recipe").symlink_to(world.recipe)
    (tmp_path / "work").symlink_to(world.workdir.root)
    run_example("run", tmp_path, monkeypatch)
