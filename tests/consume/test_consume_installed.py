"""`piecehub[tf]` in an environment of its own: published pieces are used, fine-tuned and checked without TFX."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.consume.layer import ReusableLayer
from piecehub.facts.conformance_report import ConformanceReport

ROOT = Path(__file__).parents[2]
UV = Path(sys.prefix) / "uv" / "bin" / "uv"  # the Makefile puts it there
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


@dataclass(frozen=True)
class Installed:
    """An environment with nothing but `piecehub[tf]`, and a folder to work in."""

    bin: Path
    work: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, which sees nothing of this checkout."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.work, env=environment | {"TF_CPP_MIN_LOG_LEVEL": "2"}, capture_output=True, text=True, timeout=600,
        )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, since setuptools builds beside it."""
    folder = tmp_path_factory.mktemp("source")
    for package in ("piecehub", "components", "pipelines"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, folder)
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`piecehub[tf]` with the versions of the lock, where the lock names them."""
    root = tmp_path_factory.mktemp("installed")
    overrides = root / "overrides.txt"
    overrides.write_text("\n".join(PROJECT["tool"]["uv"]["override-dependencies"]) + "\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "venv"], check=True)
    done = _uv(
        "install", "--python", root / "venv" / "bin" / "python", "--overrides", overrides,
        "--constraints", ROOT / "requirements.lock", f"{source}[tf]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (root / "work").mkdir()
    return Installed(root / "venv" / "bin", root / "work")


def _uv(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [UV, "pip", command, "--quiet", "--no-config", *arguments], capture_output=True, text=True, timeout=1200
    )


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
    wanted = " ".join(PROJECT["project"]["optional-dependencies"]["pipeline"])
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
@pytest.mark.parametrize("glibc", ["2_36", "2_39"])
def test_the_page_says_where_an_installation_needs_overrides(source: Path, tmp_path: Path, glibc: str) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"piecehub[tf] @ {source.as_uri()}\n")
    platform = f"x86_64-manylinux_{glibc}"
    done = _uv("compile", wanted, "--python-version", "3.11", "--python-platform", platform)
    page = (ROOT / "docs" / "consume.md").read_text(encoding="utf-8")
    named = re.search(r"with a glibc before (\d+)\.(\d+)", page)
    assert named, "docs/consume.md no longer says which machines need overrides"
    too_old = tuple(map(int, glibc.split("_"))) < tuple(map(int, named.groups()))
    assert (done.returncode != 0) == too_old, done.stderr
