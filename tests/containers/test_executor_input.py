import copy

from piecehub.containers import executor_input

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


def test_what_the_driver_found_is_a_fact_of_the_output():
    found = {"artifacts": {"report": {"artifacts": [{"uri": "x", "metadata": {"span": 2.0}}]}}}
    value = executor_input.with_driver_facts(_asked(), found)
    assert _output(value)["metadata"] == {"span": 2.0}
    assert _output(value)["uri"] == "minio://bucket/root/report"


def test_the_launcher_gets_its_remote_uris_back_and_no_null():
    written = {
        "artifacts": {
            "report": {"artifacts": [{"uri": "/minio/bucket/root/report", "metadata": {"blessed": 0.0, "none": None}}]}
        }
    }
    value = executor_input.for_launcher(written, _asked())
    assert value["artifacts"]["report"]["artifacts"] == [
        {"uri": "minio://bucket/root/report", "metadata": {"blessed": 0.0}}
    ]
