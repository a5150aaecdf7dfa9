import copy
import shutil
from pathlib import Path

import pytest

from piecehub.containers import executor_input
from piecehub.errors import PiecehubError

_SPEC = {
    "artifacts": {"piece": {"artifactType": {"instanceSchema": "title: components.Piece\ntype: object\n"}}},
    "parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}},
}


def _asked() -> executor_input.Json:
    """What the driver and launcher of Kubeflow Pipelines 2.16 pass to a task with one input and one output."""
    return {
        "inputs": {
            "parameterValues": {"epochs": 3.0},
            "artifacts": {
                "piece": {
                    "artifacts": [
                        {
                            "name": "7",
                            "type": {"instanceSchema": ""},
                            "uri": "s3://bucket/root/piece",
                            "metadata": {
                                "feature_width": 32.0,
                                "display_name": "piece",
                                "store_session_info": "{}",
                                "lost": None,
                            },
                        }
                    ]
                }
            },
        },
        "outputs": {
            "artifacts": {
                "report": {"artifacts": [{"uri": "minio://bucket/root/report", "type": {"schemaTitle": "a.B"}}]},
                "executor-logs": {"artifacts": [{"uri": "minio://bucket/logs", "type": {"schemaTitle": "system.A"}}]},
            },
            "outputFile": "/tmp/out.json",
        },
    }


def _input(value: executor_input.Json) -> executor_input.Json:
    return value["inputs"]["artifacts"]["piece"]["artifacts"][0]


def _output(value: executor_input.Json) -> executor_input.Json:
    return value["outputs"]["artifacts"]["report"]["artifacts"][0]


def test_every_scheme_of_the_launcher_has_its_folder():
    assert executor_input.local_path("s3://b/k/x") == "/s3/b/k/x"
    assert executor_input.local_path("gs://b/k") == "/gcs/b/k"
    assert executor_input.local_path("minio://b/k") == "/minio/b/k"


def test_another_uri_stays_as_it_is():
    assert executor_input.local_path("/mnt/data") == "/mnt/data"


def test_the_launchers_log_is_no_output_of_ours():
    assert executor_input.for_tfx(_asked(), _SPEC)["outputs"]["artifacts"].keys() == {"report"}


def test_an_input_gets_the_type_that_the_component_declares():
    assert _input(executor_input.for_tfx(_asked(), _SPEC))["type"] == _SPEC["artifacts"]["piece"]["artifactType"]


def test_an_input_without_a_declared_type_keeps_its_own():
    asked = _asked()
    _input(asked)["type"] = {"schemaTitle": "components.Piece"}
    assert _input(executor_input.for_tfx(asked, {}))["type"] == {"schemaTitle": "components.Piece"}


def test_artifacts_are_where_the_launcher_puts_them():
    value = executor_input.for_tfx(_asked(), _SPEC)
    assert _input(value)["uri"] == "/s3/bucket/root/piece"
    assert _output(value)["uri"] == "/minio/bucket/root/report"


def test_only_our_own_facts_reach_the_component():
    assert _input(executor_input.for_tfx(_asked(), _SPEC))["metadata"] == {"feature_width": 32.0}


def test_what_was_passed_is_left_as_it_was():
    asked = _asked()
    before = copy.deepcopy(asked)
    executor_input.for_tfx(asked, _SPEC)
    assert asked == before


def test_a_task_without_inputs_or_artifacts_passes():
    assert executor_input.for_tfx({"outputs": {"outputFile": "/o"}}, {}) == {"outputs": {"outputFile": "/o"}}


def test_an_input_of_several_artifacts_is_one_again_in_the_order_of_its_numbers():
    asked = _asked()
    one = asked["inputs"]["artifacts"].pop("piece")
    for number in (10, 2, 0):
        named = copy.deepcopy(one)
        named["artifacts"][0]["uri"] = f"s3://bucket/{number}"
        asked["inputs"]["artifacts"][executor_input.one_of_several("piece", number)] = named
    spec = {"artifacts": {f"piece-{number}": _SPEC["artifacts"]["piece"] for number in (0, 2, 10)}}
    joined = executor_input.for_tfx(asked, spec)["inputs"]["artifacts"]
    assert joined.keys() == {"piece"}
    assert [a["uri"] for a in joined["piece"]["artifacts"]] == ["/s3/bucket/0", "/s3/bucket/2", "/s3/bucket/10"]
    assert {a["type"]["instanceSchema"] for a in joined["piece"]["artifacts"]} == {
        _SPEC["artifacts"]["piece"]["artifactType"]["instanceSchema"]
    }


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What TFX writes of an output that holds a file."""
    monkeypatch.setitem(executor_input._LOCAL_ROOTS, "minio://", f"{tmp_path}/minio/")
    folder = tmp_path / "minio" / "bucket" / "root" / "report"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    return {"artifacts": {"report": {"artifacts": [{"uri": str(folder), "metadata": {"blessed": 0.0, "none": None}}]}}}


def test_the_launcher_gets_its_remote_uris_back_and_no_null(written):
    value = executor_input.for_launcher(written, _asked())
    assert value["artifacts"]["report"]["artifacts"] == [
        {"uri": "minio://bucket/root/report", "metadata": {"blessed": 0.0}}
    ]


def test_an_output_in_which_nothing_was_written_is_refused(written):
    folder = Path(written["artifacts"]["report"]["artifacts"][0]["uri"])
    (folder / "report.json").unlink()
    (folder / "empty").mkdir()
    with pytest.raises(PiecehubError, match=r"Expected files in the output 'report'\. Received: none"):
        executor_input.for_launcher(written, _asked())


def test_an_output_that_is_not_there_is_refused_though_tfx_does_not_tell_of_it(written):
    shutil.rmtree(written["artifacts"]["report"]["artifacts"][0]["uri"])
    with pytest.raises(PiecehubError, match=r"Expected files in the output 'report'\. Received: none"):
        executor_input.for_launcher({"artifacts": {}}, _asked())


def test_a_local_uri_that_would_be_left_to_the_launcher_is_refused(written, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "report.json").write_text("{}")
    written["artifacts"]["report"]["artifacts"][0]["uri"] = str(tmp_path / "elsewhere")
    with pytest.raises(
        PiecehubError, match=r"uri of an object store \(gs://, minio://, s3://\) for the output 'report'"
    ):
        executor_input.for_launcher(written, _asked())


def test_an_output_that_is_one_file_is_there(written):
    folder = Path(written["artifacts"]["report"]["artifacts"][0]["uri"])
    shutil.rmtree(folder)
    folder.write_text("5")
    assert executor_input.for_launcher(written, _asked())["artifacts"].keys() == {"report"}
