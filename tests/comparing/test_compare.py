"""`piecehub compare`: on folders, with evidence beside them, and on published versions."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from piecehub.cli.main import cli
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.rule import Rule
from tests.comparing.conftest import Make

VERDICT = {"rule": asdict(Rule(non_inferiority_margin=0.05))}


def _compare(*words: Any) -> Result:
    return CliRunner().invoke(cli, ["compare", *map(str, words)])


def _json(*words: Any) -> dict[str, Any]:
    return json.loads(_compare(*words, "--json").stdout)


def _publish(store: Path, folder: Path, evidence: Evidence | None = None, **facts: Any) -> None:
    files = sorted(evidence.folder.iterdir()) if evidence else []
    blobs: dict[str, Path | bytes] = {f"evidence/{evidence.task}/{path.name}": path for path in files if evidence}
    publish(Store.create(store), folder, "lab", "trees", blobs=blobs, facts=facts)


def test_the_same_files_are_a_drop_in(folder: Make) -> None:
    found = _compare(folder(), folder())
    assert found.exit_code == 0
    assert found.stdout.splitlines()[-1].endswith("they are the same files.")
    assert "≠" not in found.stdout


def test_other_weights_without_evidence_fit_by_their_interface_only(folder: Make) -> None:
    a, b = folder(), folder(seed=1)
    found = _compare(a, b)
    assert found.exit_code == 0
    assert found.stdout.splitlines()[-1] == (
        f"{b} has the interface of {a}; whether it fine-tunes as well is not known, for there is no evidence of either."
    )
    assert _json(a, b)["drop_in"] == "interface only"


def test_another_width_is_no_drop_in_and_the_exit_code_says_so(folder: Make) -> None:
    a, b = folder(), folder(width=6)
    found = _compare(a, b)
    assert found.exit_code == 1
    assert found.stdout.splitlines()[-1] == (
        f"{b} is no drop-in for {a}: Expected outputs float32 [batch, 4]. Received: float32 [batch, 6]. (1 more)"
    )
    assert "≠ outputs               float32 [batch, 4]" in found.stdout
    assert "≠ parameters            8 " in found.stdout  # 1 channel times 4, and 4 biases
    said = _json(a, b)
    assert (said["a"]["parameters"], said["b"]["parameters"]) == (8, 12)
    assert said["a"]["size_bytes"] == sum(path.stat().st_size for path in a.rglob("*") if path.is_file())
    assert said["operations"] == {}


def test_operations_that_differ_are_counted(folder: Make) -> None:
    a, b = folder(), folder(dropout=0.5)
    said = _json(a, b)["operations"]
    assert said["StatelessRandomUniformV2"][0] == 0 < said["StatelessRandomUniformV2"][1]
    assert "≠ operations differ in" in _compare(a, b).stdout
    assert _json(b, a)["operations"] == {name: counts[::-1] for name, counts in said.items()}


@pytest.mark.parametrize(
    ("accuracy", "words", "drop_in"),
    [(0.9, (), "yes"), (0.8, (), "no"), (0.8, ("--margin", "50"), "yes"), (0.9, ("--margin", "0"), "no")],
)
def test_evidence_beside_a_folder_decides(
    folder: Make, make_evidence: Any, accuracy: float, words: tuple[str, ...], drop_in: str
) -> None:
    old, new = make_evidence(folder="old"), make_evidence(folder="new", fine_tuning=accuracy)
    arguments = folder(), folder(seed=1), "--evidence-a", old.folder, "--evidence-b", new.folder, *words
    said = _json(*arguments)
    assert said["drop_in"] == drop_in
    difference = said["tasks"][0]["difference"]
    paired = (new.scores["fine_tuning"] - old.scores["fine_tuning"]).mean()
    np.testing.assert_allclose(difference["estimate"], paired)
    assert difference["low"] <= difference["bound"] <= difference["estimate"] <= difference["high"]
    text = _compare(*arguments)
    assert text.exit_code == (drop_in == "no")
    assert f"fine-tuning, B minus A: {100 * paired:+.1f} points [" in text.stdout


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seeds": 6}, "the protocol is another"),
        ({"task": "leaves"}, "there is no evidence of B"),
        ({"without": "fine_tuning"}, "the protocol is another"),
        ({"device": "gpu"}, "A was measured on a cpu, B on a gpu"),
    ],
)
def test_what_cannot_be_paired_is_said(folder: Make, make_evidence: Any, change: dict[str, Any], why: str) -> None:
    old, new = make_evidence(folder="old"), make_evidence(folder="new", **change)
    found = _compare(folder(), folder(seed=1), "--evidence-a", old.folder, "--evidence-b", new.folder)
    assert found.exit_code == 0
    assert f"fine-tuning cannot be compared: {why}" in found.stdout
    assert found.stdout.splitlines()[-1].endswith(f"is not known, for {why}.")


def test_published_versions_bring_their_evidence_and_their_rule(
    folder: Make, make_evidence: Any, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    old, new = make_evidence(folder="old"), make_evidence(folder="new", fine_tuning=0.88)
    _publish(work / "store", folder(), old, verdict=VERDICT)
    _publish(work / "store", folder(seed=1), new, verdict=VERDICT)
    found = _compare("lab/trees/1", "lab/trees/2", "--workdir", work)
    assert found.exit_code == 0, found.stdout
    assert "and -5 would do" in found.stdout  # the margin that version 1 was published by
    assert found.stdout.splitlines()[-1].startswith(
        "lab/trees/2 is a drop-in for lab/trees/1: the same interface, and fine-tuned -"
    )
    # Nothing was published that tells the data.
    assert "data                  not known of A and B" in found.stdout


def test_what_is_no_model_is_told_in_one_sentence(folder: Make, tmp_path: Path) -> None:
    found = _compare(folder(), tmp_path / "nothing")
    assert "Expected a folder, an archive," in str(found.exception)
    (tmp_path / "empty").mkdir()
    found = _compare(folder(), tmp_path / "empty")
    assert "saved_model.pb" in str(found.exception)


@pytest.mark.parametrize(
    ("emptied", "said"),
    [
        ("saved_model.pb", "S2. Expected one MetaGraph with the tag 'serve'. Received: none, as of an empty file"),
        ("variables/variables.index", "S12. Expected a checkpoint that can be read whole"),
        ("variables/variables.data-00000-of-00001", "S12. Expected a checkpoint that can be read whole"),
    ],
)
def test_e14_a_file_of_0_bytes_is_named_and_nothing_is_said_of_the_rest(
    folder: Make, tmp_path: Path, emptied: str, said: str
) -> None:
    a, b = folder(), tmp_path / "model"
    shutil.copytree(a, b)
    (b / emptied).write_bytes(b"")
    for found in (_compare(a, b), _compare(b, a)):
        assert found.stdout == ""
        assert str(found.exception).startswith(f"'{b}' falls short of {said}")


def test_damaged_evidence_is_told(folder: Make, make_evidence: Any) -> None:
    old, new = make_evidence(folder="old"), make_evidence(folder="new")
    (new.folder / "predictions.parquet").write_bytes(b"PAR1")
    found = _compare(folder(), folder(seed=1), "--evidence-a", old.folder, "--evidence-b", new.folder)
    assert type(found.exception).__name__ == "DataError"
