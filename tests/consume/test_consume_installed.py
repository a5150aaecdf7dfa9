"""The wheel in environments of its own: with the extra `tf` pieces are used, fine-tuned and checked without TFX.

By the lock, a recipe runs.

What is quick, of the core alone, is in tests/tooling/test_wheel.py.
"""

import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.consume.layer import ReusableLayer
from piecehub.facts.conformance_report import ConformanceReport
from tests.conftest import Once
from tests.installed import ROOT, Installed, build, environment, wheel_in
from tests.pipelines.world import TINY

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OF_THE_PIPELINE = {"tfx", "apache-beam", "kfp", "pyarrow", "scikit-learn", "tensorflow-data-validation", "tfx-bsl"}

# What a consumer does, who has neither the recipe nor TFX: see docs/consume.md.
PROGRAM = """
import json, sys
from importlib.metadata import distributions

import numpy as np

import piecehub

assert "tensorflow" not in sys.modules
folder, images, labels = sys.argv[1], *(np.load(sys.argv[2])[name] for name in ("images", "labels"))
features = piecehub.load(folder)(images, training=False).numpy()

import keras
from piecehub.consume.layer import ReusableLayer

layer = ReusableLayer(folder, trainable=True)
outputs = layer(images).numpy()
before = [variable.numpy() for variable in layer.trainable_weights]
model = keras.Sequential([keras.Input(images.shape[1:]), layer, keras.layers.Dense(2)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
history = model.fit(images, labels, epochs=3, batch_size=16, verbose=0).history
model.save("tuned.keras")
again = keras.models.load_model("tuned.keras", safe_mode=False)
print(json.dumps({
    "from": piecehub.__file__,
    "installed": sorted(found.name.lower().replace("_", "-") for found in distributions()),
    "features": features.tolist(),
    "outputs": outputs.tolist(),
    "loss": history["loss"],
    "changed": [not np.allclose(a, b.numpy()) for a, b in zip(before, layer.trainable_weights, strict=True)],
    "kept": float(np.abs(again.predict(images, verbose=0) - model.predict(images, verbose=0)).max()),
    "tfx": [name for name in sys.modules if name.partition(".")[0] in ("tfx", "apache_beam")],
}))
"""


@pytest.fixture(scope="module")
def wheel(once: Once) -> Path:
    """The wheel of this checkout."""
    return wheel_in(once("wheel", build))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What `pip install piecehub[tf]` makes of an empty environment."""
    installed = environment(tmp_path_factory.mktemp("tf"), with_pip=True)
    installed.pip_install(f"{wheel}[tf]")
    return installed


@pytest.fixture(scope="module")
def found(made: Any, installed: Installed) -> dict[str, Any]:
    """What `PROGRAM` found there about the session's piece."""
    data = installed.work / "data.npz"
    np.savez(data, images=made.images[:64], labels=made.labels[:64])
    done = installed.run("python", "-P", "-c", PROGRAM, str(made.saved_model), str(data))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_nothing_of_tfx_is_installed_or_imported(found: dict[str, Any], installed: Installed) -> None:
    assert Path(found["from"]).is_relative_to(installed.bin.parent)
    assert {"piecehub", "tensorflow", "tf-keras", "tensorflow-hub"} <= set(found["installed"])
    assert not OF_THE_PIPELINE & set(found["installed"]) and found["tfx"] == []
    wanted = " ".join(PROJECT["dependency-groups"]["pipeline"])
    assert all(name in wanted for name in OF_THE_PIPELINE - {"tfx-bsl"})


@pytest.mark.long
def test_a_piece_is_loaded_and_computes_as_here(found: dict[str, Any], made: Any) -> None:
    here = np.asarray(ReusableLayer(made.saved_model)(made.images[:64]))
    for there in (found["features"], found["outputs"]):
        np.testing.assert_allclose(there, here, atol=1e-6)
    assert np.ptp(here) > 0.01


@pytest.mark.long
def test_it_is_fine_tuned_and_saved(found: dict[str, Any]) -> None:
    assert found["loss"][-1] < found["loss"][0]
    assert found["changed"] and all(found["changed"])
    assert found["kept"] == 0.0


@pytest.mark.long
def test_it_is_checked_there_too(made: Any, installed: Installed) -> None:
    done = installed.run("piecehub", "check", str(made.saved_model), "--json", "--trust")
    assert done.returncode == 0, done.stderr[-3000:]
    report = ConformanceReport.from_json(done.stdout)
    assert report.conforms and len(report.findings) > 30


@pytest.mark.long
def test_its_doctor_is_content_and_the_pipeline_is_said_to_come_by_the_lock(installed: Installed) -> None:
    done = installed.run("piecehub", "doctor", "--extra", "tf")
    assert done.returncode == 0, done.stdout
    assert "\nok       tf         numpy" in done.stdout and "\nnote     pipeline   not installed; call" in done.stdout
    run = installed.run("piecehub", "run", "digits")
    assert (run.returncode, run.stdout) == (3, "")
    assert "Expected the package 'tfx' for this command. Received: none; call `pip install --no-deps -r " in run.stderr


@pytest.mark.long
def test_what_the_sentence_says_brings_an_extra(wheel: Path, tmp_path: Path) -> None:
    installed = environment(tmp_path, with_pip=True)
    installed.pip_install(wheel)
    said = installed.run("piecehub", "keys", "new", "key.pem")
    command = said.stderr.partition("call `")[2].partition("`")[0]
    assert said.returncode == 3 and command == "pip install 'piecehub[sign]'"
    brought = installed.run("/bin/bash", "-c", command)
    assert brought.returncode == 0, brought.stderr
    assert installed.run("piecehub", "keys", "new", "key.pem").returncode == 0
    assert installed.run("piecehub", "doctor", "--extra", "sign").returncode == 0


@pytest.mark.long
def test_the_pipeline_comes_by_the_lock_and_runs_beside_folders_of_its_names(wheel: Path, tmp_path: Path) -> None:
    """As README tells it; then in a repository as most TFX projects are."""
    installed = environment(tmp_path, with_pip=True)
    with zipfile.ZipFile(wheel) as opened:
        (installed.work / "requirements.lock").write_bytes(opened.read("piecehub/requirements.lock"))
    installed.pip_install("--no-deps", "-r", "requirements.lock")
    installed.pip_install("--no-deps", wheel)
    for name in ("pipelines", "components"):
        (installed.work / name).mkdir()
        (installed.work / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    doctor = installed.run("piecehub", "doctor", "--extra", "pipeline")
    assert doctor.returncode == 0 and "\nok       pipeline   all " in doctor.stdout, doctor.stdout
    assert "\nnote     names " in doctor.stdout
    settings = [word for setting in TINY for word in ("--set", setting)]
    run = installed.run("python", "-m", "piecehub", "run", "digits", *settings, PYTHONPATH=".")
    assert run.returncode == 0, run.stderr[-3000:]
    assert "piecehub/digits/1" in run.stdout
    again = installed.run("piecehub", "run", "digits", *settings)
    assert again.returncode == 0 and again.stdout.startswith("Nothing to do"), "nothing has changed since"
    program = installed.run("python", "-c", "import piecehub; piecehub.run('digits')")
    assert f"Received: '{installed.work / 'components'}' and" in program.stderr
