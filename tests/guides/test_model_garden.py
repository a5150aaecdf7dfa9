"""G8 and G11 with TensorFlow Model Garden's own BERT code, in an environment of its own (`garden/pyproject.toml`)."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement

from tests.guides import book

_GARDEN = Path(__file__).parent / "garden"
_UV = Path(sys.prefix) / "uv" / "bin" / "uv"  # the Makefile puts it there


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `garden/bert.py` found, run in an environment that is installed for it."""
    root = tmp_path_factory.mktemp("garden")
    python = root / "venv" / "bin" / "python"
    _run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")])
    _run(
        [str(_UV), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(_GARDEN / "garden.lock")]
    )
    (root / "work").mkdir()
    out = _run([str(python), str(_GARDEN / "bert.py"), str(root / "work")])
    return json.loads(out.splitlines()[-1])


def _run(command: list[str]) -> str:
    environment = os.environ | {"PYTHONPATH": str(book.ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
def test_g08_g11_gardens_core_has_the_interface_of_transformer_encoders(found: dict[str, Any]) -> None:
    keys = {"input_word_ids", "input_mask", "input_type_ids"}
    assert {key: found["inputs"][key] for key in keys} == {key: ["int32", [6, 10]] for key in keys}
    assert found["outputs"] == {
        "default": ["float32", [6, 16]],
        "pooled_output": ["float32", [6, 16]],
        "sequence_output": ["float32", [6, 10, 16]],
    }
    assert found["sub_objects_agree"]
    assert found["preprocessor"] == "https://example.org/acme/bert-preprocess/1"
    assert found["trainable"]["exported"] == found["trainable"]["core"] < found["trainable"]["pretrainer"]


@pytest.mark.long
def test_g08_g11_it_computes_and_fine_tunes_like_gardens_own_export(found: dict[str, Any]) -> None:
    assert max(found["difference"].values()) < 2e-6
    losses = found["losses"]
    np.testing.assert_allclose(losses["hub"], losses["garden"], rtol=1e-5)
    np.testing.assert_allclose(losses["keras"], losses["garden"], rtol=1e-4)
    assert losses["keras"][-1] < losses["keras"][0]


def test_g11_the_garden_is_pinned_by_hashes_and_names_no_index() -> None:
    text = (_GARDEN / "garden.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    pins = {Requirement(entry.split()[0]).name: entry for entry in entries}
    assert all("--hash=sha256:" in entry for entry in entries) and "://" not in text
    project = tomllib.loads((_GARDEN / "pyproject.toml").read_text(encoding="utf-8"))
    for wanted in map(Requirement, project["project"]["dependencies"]):
        (pinned,) = Requirement(pins[wanted.name].split()[0]).specifier
        assert wanted.specifier.contains(pinned.version), f"compile garden.lock again: {wanted}"
    assert not set(project["tool"]["uv"]["exclude-dependencies"]) & set(pins)
