"""The replayed launcher does what the real one was seen to do, and fails where that one loses data in silence."""

import json
from pathlib import Path

import pytest

from tests.kubeflow import launcher
from tests.kubeflow.launcher import DataLost, LauncherFailed, ObjectStore

ASKED = {
    "inputs": {"artifacts": {"model": {"artifacts": [{"uri": "s3://b/run/Make/1/model"}]}}},
    "outputs": {
        "artifacts": {
            "report": {"artifacts": [{"uri": "s3://b/run/Check/2/report"}]},
            "executor-logs": {"artifacts": [{"uri": "s3://b/run/Check/2/executor-logs"}]},
        },
        "outputFile": "/s3/b/run/Check/2/output_metadata.json",
    },
}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@pytest.fixture
def pod(tmp_path: Path, store: ObjectStore) -> Path:
    launcher.prepare(ASKED, store, tmp_path / "pod")
    return tmp_path / "pod"


def _told(pod: Path, value: dict) -> None:
    launcher.inside(pod, ASKED["outputs"]["outputFile"]).write_text(json.dumps(value))


def _report(pod: Path, uri: str = "s3://b/run/Check/2/report", **facts: object) -> dict:
    folder = launcher.inside(pod, "/s3/b/run/Check/2/report")
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text("{}")
    return {"artifacts": {"report": {"artifacts": [{"uri": uri, "metadata": facts}]}}}


def test_what_was_written_is_uploaded_and_its_facts_are_told(pod: Path, store: ObjectStore) -> None:
    _told(pod, _report(pod, failures=0.0))
    assert launcher.collect(ASKED, store, pod) == {"report": ("s3://b/run/Check/2/report", {"failures": 0.0})}
    assert [p.name for p in store.root.rglob("*") if p.is_file()] == ["report.json"]


def test_a_task_without_an_output_file_is_told_of_by_what_it_declares(pod: Path, store: ObjectStore) -> None:
    _report(pod)
    assert launcher.collect(ASKED, store, pod) == {"report": ("s3://b/run/Check/2/report", {})}


def test_a_local_uri_is_lost_data(pod: Path, store: ObjectStore) -> None:
    _told(pod, _report(pod, uri="/s3/b/run/Check/2/report"))
    with pytest.raises(DataLost, match="the local uri /s3/b/run/Check/2/report"):
        launcher.collect(ASKED, store, pod)


def test_an_empty_output_is_lost_data_and_so_is_a_missing_one(pod: Path, store: ObjectStore) -> None:
    with pytest.raises(DataLost, match="'report' is empty or missing"):
        launcher.collect(ASKED, store, pod)
    launcher.inside(pod, "/s3/b/run/Check/2/report/empty").mkdir(parents=True)
    with pytest.raises(DataLost, match="'report' is empty or missing"):
        launcher.collect(ASKED, store, pod)


def test_the_output_file_is_read_strictly(pod: Path, store: ObjectStore) -> None:
    _told(pod, {**_report(pod), "more": 1})
    with pytest.raises(LauncherFailed, match="unknown field more"):
        launcher.collect(ASKED, store, pod)
    _told(pod, _report(pod, gain=None))
    with pytest.raises(LauncherFailed, match="null"):
        launcher.collect(ASKED, store, pod)


def test_inputs_come_by_plain_prefix_and_outputs_have_no_folder_yet(tmp_path: Path, store: ObjectStore) -> None:
    """So the mend refuses outputs of which one begins with another's name."""
    for name in ("model", "model_run", "other"):
        (tmp_path / name).write_text(name)
        store.upload(tmp_path / name, f"s3://b/run/Make/1/{name}/file")
    launcher.prepare(ASKED, store, tmp_path / "pod")
    found = {p.relative_to(tmp_path / "pod").as_posix() for p in (tmp_path / "pod").rglob("*")}
    assert {name for name in found if name.endswith("file")} == {
        "s3/b/run/Make/1/model/file",
        "s3/b/run/Make/1/model_run/file",
    }
    assert "s3/b/run/Check/2" in found
    assert "s3/b/run/Check/2/report" not in found
