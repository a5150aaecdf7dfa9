"""`piecehub doctor` and `--version`: what is here, and what to do about what is not."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piecehub import extras
from piecehub.cli import machine
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from tests.command_line import piecehub


def _rows(folder: Path, *words: str, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = piecehub("doctor", "--json", *words, cwd=folder, **variables)
    return done.returncode, {row["what"]: row for row in json.loads(done.stdout)}


def test_this_environment_has_everything(tmp_path: Path) -> None:
    words = [word for extra in extras.MODULES for word in ("--extra", extra)]
    code, rows = _rows(tmp_path, *words, TFHUB_CACHE_DIR=str(tmp_path / "cache"))
    assert code == 0 and {row["state"] for name, row in rows.items() if name != "sandbox"} == {"ok"}
    packages = ["core", "recipes", "sign", "tf", "pipeline"]
    assert list(rows) == ["Python", *packages, "names", "sandbox", "machine", "GPU", "disk", "hub cache"]
    assert f"tensorflow {importlib.metadata.version('tensorflow')}" in rows["tf"]["found"]
    assert not list(tmp_path.iterdir())


def test_it_imports_nothing_of_what_it_tells_of(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['piecehub', 'doctor']\n"
        "from piecehub.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'tensorflow', 'keras', 'numpy', 'tfx', 'ml_metadata'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


def test_folders_that_are_in_the_way_are_named(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "components.py").touch()
    (tmp_path / "lib" / "pipelines").mkdir(parents=True)
    (tmp_path / "lib" / "pipelines" / "__init__.py").touch()
    code, rows = _rows(tmp_path)
    assert (code, rows["names"]["state"]) == (0, "note")
    assert rows["names"]["found"].endswith(f": {tmp_path / 'components.py'}")
    found = machine.look((), None, tmp_path)
    assert [row.state for row in found if row.what == "names"] == ["ok"]


def test_a_disk_that_cannot_be_used_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    [row] = [row for row in machine.look((), None, tmp_path / "work") if row.what == "disk"]
    assert row == machine.Row(
        "disk", "missing", f"'{tmp_path}' cannot be written", "name another folder with --workdir"
    )
    monkeypatch.undo()
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 1 << 60)
    [row] = [row for row in machine.look((), None, tmp_path / "work") if row.what == "disk"]
    assert (row.state, row.do) == ("missing", "free some, such as by `piecehub workdir gc`")


def test_a_store_answers_or_the_line_says_why_not(tmp_path: Path) -> None:
    place = Workdir(tmp_path / "work").store
    code, rows = _rows(tmp_path, "--store", str(place))
    assert (code, rows["store"]["state"]) == (3, "missing")
    assert rows["store"]["do"] == f"call `piecehub store init --store {place}` to make one"
    Store.create(place)
    code, rows = _rows(tmp_path, "--store", str(place))
    assert (code, rows["store"]["found"]) == (0, f"'{place}' answers")
    code, rows = _rows(tmp_path, "--store", "ftp://elsewhere/x")
    assert code == 3 and "Expected a folder, or a uri s3://" in rows["store"]["found"]


def _with_versions(monkeypatch: pytest.MonkeyPatch, **others: str) -> dict[str, machine.Row]:
    known = machine.version_of
    monkeypatch.setattr(machine, "version_of", lambda name: others.get(name.replace("-", "_"), known(name)))
    return {row.what: row for row in machine.look((), None, Path("work"))}


def test_a_package_in_another_version_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _with_versions(monkeypatch, tensorflow="2.15.0", tf_keras="", click="7.0")
    assert rows["tf"].state == rows["core"].state == rows["pipeline"].state == "missing"
    assert rows["tf"].found == "tensorflow is 2.15.0, which is not <2.22,>=2.21, tf-keras is not installed"
    assert rows["tf"].do == "call `pip install 'piecehub[tf]'`"
    assert "tensorflow 2.15.0 (locked: 2.21.0)" in rows["pipeline"].found
    assert "click is 7.0, which is not >=8.1" in rows["core"].found


def test_gpus_are_told_and_whether_tensorflow_can_use_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB'\necho 'NVIDIA H200, 143771 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    without = _with_versions(monkeypatch, nvidia_cudnn_cu12="")["GPU"]
    assert without.found.startswith("2: NVIDIA H200, 143771 MiB, NVIDIA H200")
    assert without.state == "note" and "tensorflow[and-cuda]==2.21" in without.do
    assert _with_versions(monkeypatch, nvidia_cudnn_cu12="9.1")["GPU"].state == "ok"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert _with_versions(monkeypatch)["GPU"].found.startswith("none")


def test_the_version_tells_the_stack() -> None:
    done = piecehub("--version")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0] == f"piecehub {importlib.metadata.version('piecehub')}"
    assert lines[1].startswith(f"Python {sys.version.split()[0]}, Linux")
    told: dict[str, Any] = dict(line.split(" ", 1) for line in lines[2:])
    assert told["tfx"] == importlib.metadata.version("tfx") and told["keras"] == importlib.metadata.version("keras")


def test_the_start_of_any_other_command_does_not_pay_for_it() -> None:
    code = "import sys, piecehub.cli.main; print('importlib.metadata' in sys.modules, 'subprocess' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
