import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from piecehub.containers.executor_input import with_files
from piecehub.errors import RecipeError
from pipelines import kubeflow_mend
from pipelines.kubeflow_mend import Retries, mend, refuse_parameters, write_yaml


@pytest.fixture
def spec():
    """Two tasks as TFX 1.21 compiles them: examples and a trainer of them."""
    return {
        "pipelineInfo": {"name": "tiny"},
        "schemaVersion": "2.1.0",
        "components": {
            "Examples": {
                "executorLabel": "Examples_executor",
                "outputDefinitions": {"artifacts": {"examples": {"artifactType": {"instanceSchema": ""}}}},
            },
            "Trainer": {
                "executorLabel": "Trainer_executor",
                "inputDefinitions": {"parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}}},
                "outputDefinitions": {"artifacts": {"full_model": {}, "report": {}}},
            },
        },
        "deploymentSpec": {
            "executors": {
                "Examples_executor": {
                    "container": {
                        "image": "i:1",
                        "args": ["--executor_class_path", "x.Examples", "--json_serialized_invocation_args", "{{$}}"],
                    }
                },
                "Trainer_executor": {
                    "container": {"image": "i:1", "args": ["--json_serialized_invocation_args", "{{$}}"]}
                },
            }
        },
        "root": {
            "inputDefinitions": {"parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}}},
            "dag": {
                "tasks": {
                    "Examples": {
                        "cachingOptions": {"enableCache": True},
                        "componentRef": {"name": "Examples"},
                    },
                    "Trainer": {
                        "cachingOptions": {"enableCache": True},
                        "componentRef": {"name": "Trainer"},
                        "inputs": {
                            "artifacts": {"examples": {"taskOutputArtifact": {"producerTask": "Examples"}}},
                            "parameters": {
                                "epochs": {"componentInputParameter": "epochs"},
                                "seed": {"runtimeValue": {"constant": 7.0}},
                            },
                        },
                    },
                }
            },
        },
    }


def _task(spec, name):
    return spec["root"]["dag"]["tasks"][name]


def _container(spec, name):
    return spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def test_the_fixture_itself_is_not_refused(spec):
    kubeflow_mend.refuse(spec)


def test_the_given_spec_is_left_as_it_was(spec):
    before = copy.deepcopy(spec)
    mend(spec, never_cached=["Trainer"], defaults={"epochs": 1}, resources={"Trainer": {"resourceCpuRequest": "1"}})
    assert spec == before


def test_an_example_gen_whose_driver_kubeflow_never_calls_is_refused(spec):
    _container(spec, "Examples")["lifecycle"] = {"preCacheCheck": {"command": ["python"]}}
    with pytest.raises(RecipeError, match=r"the ExampleGen 'Examples_executor'.*use ExampleIngester"):
        mend(spec, never_cached=[])


def test_a_component_that_needs_no_tfx_names_the_function_that_does_its_work(spec):
    mended = mend(spec, never_cached=[], light={"x.Examples": "a.bring_examples"})
    assert _container(mended, "Examples")["args"][-2:] == ["--light_function", "a.bring_examples"]
    assert "--light_function" not in _container(mended, "Trainer")["args"]


def test_what_touches_only_its_artifacts_is_not_tried_again_and_all_else_marks_its_failures(spec):
    mended = mend(spec, never_cached=[], never_again=["x.Examples"], trials_folder="/mnt/trials")
    assert "retryPolicy" not in _task(mended, "Examples")
    assert "--trials_folder" not in _container(mended, "Examples")["args"]
    assert "retryPolicy" in _task(mended, "Trainer")
    assert _container(mended, "Trainer")["args"][-2:] == ["--trials_folder", "/mnt/trials"]


def test_a_component_that_is_never_cached_says_so_and_others_stay_cached(spec):
    mended = mend(spec, never_cached=["Trainer"])
    assert _task(mended, "Trainer")["cachingOptions"] == {"enableCache": False}
    assert _task(mended, "Examples")["cachingOptions"] == {"enableCache": True}


def test_a_misspelt_component_is_refused(spec):
    with pytest.raises(RecipeError, match="Received: 'Tainer'"):
        mend(spec, never_cached=["Tainer"])
    with pytest.raises(RecipeError, match="Received: 'Tainer'"):
        mend(spec, never_cached=[], resources={"Tainer": {}})


def test_every_task_is_retried(spec):
    mended = mend(spec, never_cached=[], retries=Retries(count=4, backoff_s=5, backoff_factor=3.0, within_s=60))
    for name in ("Examples", "Trainer"):
        assert _task(mended, name)["retryPolicy"] == {
            "maxRetryCount": 4,
            "backoffDuration": "5s",
            "backoffFactor": 3.0,
            "backoffMaxDuration": "60s",
        }


def test_a_task_that_has_run_for_days_is_retried_still(spec):
    assert _task(mend(spec, never_cached=[]), "Trainer")["retryPolicy"]["backoffMaxDuration"] == "2592000s"


def test_a_runtime_parameter_keeps_its_default(spec):
    parameter = mend(spec, never_cached=[], defaults={"epochs": 12})["root"]["inputDefinitions"]["parameters"]["epochs"]
    assert parameter == {"parameterType": "NUMBER_INTEGER", "defaultValue": 12, "isOptional": True}


def test_a_default_of_zero_is_a_default(spec):
    parameter = mend(spec, never_cached=[], defaults={"epochs": 0})["root"]["inputDefinitions"]["parameters"]["epochs"]
    assert parameter["defaultValue"] == 0


def test_a_runtime_parameter_without_default_stays_required(spec):
    parameter = mend(spec, never_cached=[])["root"]["inputDefinitions"]["parameters"]["epochs"]
    assert parameter == {"parameterType": "NUMBER_INTEGER"}


def test_resources_reach_the_container_that_they_are_for(spec):
    asked = {"resourceCpuRequest": "2", "resourceMemoryRequest": "4Gi"}
    mended = mend(spec, never_cached=[], resources={"Trainer": asked})
    assert _container(mended, "Trainer")["resources"] == asked
    assert "resources" not in _container(mended, "Examples")


def test_a_bool_is_refused_before_it_becomes_a_number():
    refuse_parameters({"Trainer": {"epochs": 1, "rate": 0.5, "name": "x", "optional": None}})
    with pytest.raises(RecipeError, match=r"Trainer\.shuffle\. Received: True, .* into 1"):
        refuse_parameters({"Trainer": {"shuffle": True}})


def test_a_number_that_would_lose_digits_is_refused(spec):
    value = _task(spec, "Trainer")["inputs"]["parameters"]["seed"]["runtimeValue"]
    value["constant"] = float(2**53)
    kubeflow_mend.refuse(spec)
    value["constant"] = float(2**53 + 2)
    with pytest.raises(RecipeError, match=r"within 2\^53 for Trainer\.seed"):
        kubeflow_mend.refuse(spec)


def test_a_parameter_that_a_task_of_the_package_makes_is_taken(spec):
    told = {"producerTask": "Examples", "outputParameterKey": "digest"}
    _task(spec, "Trainer")["inputs"]["parameters"]["seed"] = {"taskOutputParameter": told}
    with pytest.raises(RecipeError, match="an output of 'Examples', which makes none of that name"):
        kubeflow_mend.refuse(spec)
    spec["components"]["Examples"]["outputDefinitions"]["parameters"] = {"digest": {"parameterType": "STRING"}}
    kubeflow_mend.refuse(spec)


def test_a_parameter_that_another_component_makes_is_refused(spec):
    _task(spec, "Trainer")["inputs"]["parameters"]["seed"] = {"taskOutputParameter": {"producerTask": "Examples_task"}}
    with pytest.raises(RecipeError, match=r"Trainer\.seed that is known at compilation"):
        kubeflow_mend.refuse(spec)


def test_a_condition_is_refused(spec):
    _task(spec, "Trainer")["triggerPolicy"] = {"condition": "inputs.artifacts['x'].artifacts[0].metadata['y'] == 1.0"}
    with pytest.raises(RecipeError, match="Trainer to run without a condition"):
        kubeflow_mend.refuse(spec)


def test_a_resolver_is_refused(spec):
    spec["deploymentSpec"]["executors"]["Trainer_executor"] = {"resolver": {}}
    with pytest.raises(RecipeError, match="the resolver 'Trainer_executor'"):
        kubeflow_mend.refuse(spec)


@pytest.mark.parametrize("name", ["Trainer_2", "Trainer.2", "2nd"])
def test_a_component_id_that_kubeflow_does_not_take_is_refused(spec, name):
    spec["root"]["dag"]["tasks"][name] = spec["root"]["dag"]["tasks"].pop("Trainer")
    with pytest.raises(RecipeError, match=f"Received: '{name}'"):
        kubeflow_mend.refuse(spec)


def test_outputs_of_which_one_begins_with_the_other_are_refused(spec):
    outputs = spec["components"]["Trainer"]["outputDefinitions"]["artifacts"]
    outputs["report_by_class"] = {}
    with pytest.raises(RecipeError, match="Received: 'report' and 'report_by_class'"):
        kubeflow_mend.refuse(spec)


def test_an_output_that_the_launchers_log_begins_with_is_refused(spec):
    spec["components"]["Trainer"]["outputDefinitions"]["artifacts"] = {"executor": {}}
    with pytest.raises(RecipeError, match="Received: 'executor' and 'executor-logs'"):
        kubeflow_mend.refuse(spec)


def test_an_input_may_begin_with_the_name_of_another(spec):
    spec["components"]["Trainer"]["inputDefinitions"]["artifacts"] = {"model": {}, "model_run": {}}
    kubeflow_mend.refuse(spec)


def test_an_argument_that_linux_would_not_take_is_refused(spec):
    _container(spec, "Trainer")["args"].append("x" * (96 * 1024))
    kubeflow_mend.refuse(spec)
    _container(spec, "Trainer")["args"].append("x" * (96 * 1024 + 1))
    with pytest.raises(RecipeError, match=r"in one argument of Trainer_executor\. Received: 98305"):
        kubeflow_mend.refuse(spec)


def test_parameters_that_are_too_long_together_are_refused(spec):
    parameters = _task(spec, "Trainer")["inputs"]["parameters"]
    parameters |= {f"p{i}": {"runtimeValue": {"constant": "x" * 40_000}} for i in range(2)}
    kubeflow_mend.refuse(spec)
    parameters["p2"] = {"runtimeValue": {"constant": "x" * 40_000}}
    with pytest.raises(RecipeError, match="in one argument of Trainer"):
        kubeflow_mend.refuse(spec)


def test_many_artifacts_are_counted_as_what_they_will_take_in_an_argument(spec):
    artifacts = _task(spec, "Trainer")["inputs"]["artifacts"]

    def of_its_own(number: int) -> dict[str, Any]:
        return {"taskOutputArtifact": {"producerTask": "Examples", "outputArtifactKey": f"examples_{number}"}}

    artifacts |= {f"examples_{number}": of_its_own(number) for number in range(94)}
    kubeflow_mend.refuse(spec)
    artifacts |= {f"more_{number}": of_its_own(100 + number) for number in range(2)}
    with pytest.raises(RecipeError, match="in one argument of Trainer"):
        kubeflow_mend.refuse(spec)


def test_the_yaml_reads_back_as_the_spec(spec):
    assert yaml.safe_load(write_yaml(spec)) == spec


def test_specs_that_differ_in_order_only_give_equal_bytes(spec):
    turned = json.loads(json.dumps(spec), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(turned) != list(spec)
    assert write_yaml(turned) == write_yaml(spec)


def test_a_package_that_kubernetes_would_not_take_is_refused(spec):
    for number in range(6):
        _container(spec, "Trainer")["args"].append(f"{number}" * 90_000)
    with pytest.raises(RecipeError, match="package of at most"):
        write_yaml(spec)


def test_mending_refuses_what_it_cannot_mend(spec):
    _task(spec, "Trainer")["triggerPolicy"] = {"condition": "true"}
    with pytest.raises(RecipeError, match="without a condition"):
        mend(spec, never_cached=[])


def _read_twice(spec, producer):
    spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["artifacts"] = {
        "schema": {"taskOutputArtifact": {"producerTask": "Examples", "outputArtifactKey": "schema"}},
        "upstream_schema": {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": "schema"}},
    }


def test_c2_an_output_that_a_task_reads_under_two_names_is_refused(spec):
    _read_twice(spec, "Examples")
    with pytest.raises(RecipeError, match=r"'schema' and 'upstream_schema' from the same output of 'Examples'"):
        kubeflow_mend.refuse(spec)
    spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["artifacts"]["schema"]["taskOutputArtifact"] |= {
        "outputArtifactKey": "statistics"
    }
    kubeflow_mend.refuse(spec)


def test_c2_a_second_task_that_the_cache_takes_for_the_first_is_no_cure(spec):
    spec["root"]["dag"]["tasks"]["Again"] = copy.deepcopy(_task(spec, "Examples"))
    _read_twice(spec, "Again")
    with pytest.raises(RecipeError, match=r"'Examples' and 'Again', of which the cache makes one"):
        mend(spec, never_cached=[])
    mend(spec, never_cached=["Again"])
    _task(spec, "Again")["inputs"] = {"parameters": {"file": {"runtimeValue": {"constant": "another"}}}}
    mend(spec, never_cached=[])


MISREAD = ["08", "1e5", "0o14", "1.e3", "yes", "No", "on", "y", "~", "null", "NULL", "", "2026-11-29", "0x1F", ".5"]
MISREAD += [".inf", "+1", "1_000", "0b11", "12:30:45", "1e+3", "017", ".NaN", "true", "=", "<<", "- a", "# no", "a: b"]


def test_c3_every_text_is_quoted(spec):
    spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["parameters"] |= {
        f"p{i}": {"runtimeValue": {"constant": text}} for i, text in enumerate(MISREAD)
    }
    spec["root"]["dag"]["tasks"]["Trainer"]["labels"] = dict.fromkeys(MISREAD, "x")
    written = write_yaml(spec)
    assert yaml.safe_load(written) == spec
    plain = {t.value for t in yaml.scan(written.decode()) if isinstance(t, yaml.ScalarToken) and t.plain}
    assert plain <= {"true", "false", "7.0"}


def _of_file(spec, file):
    spec["root"]["dag"]["tasks"]["Examples"]["inputs"] = {
        "parameters": {"rules": {"runtimeValue": {"constant": str(file)}}}
    }
    return spec


def test_a_file_travels_as_its_text_and_is_a_file_again_in_the_pod(spec, tmp_path):
    text = "größer: {\n  'a' # b\r\n}"
    (tmp_path / "rules").write_bytes(text.encode())
    mended = mend(_of_file(spec, tmp_path / "rules"), never_cached=[], text_files={"x.Examples": "rules"})
    again = yaml.safe_load(write_yaml(mended))
    value = again["root"]["dag"]["tasks"]["Examples"]["inputs"]["parameters"]["rules"]["runtimeValue"]["constant"]
    assert value == text
    args = again["deploymentSpec"]["executors"]["Examples_executor"]["container"]["args"]
    assert args[-2:] == ["--text_file", "rules"]
    given = {"inputs": {"parameterValues": {"rules": value, "seed": 1}}, "outputs": {}}
    with with_files(given, ["rules"]) as there:
        assert there["inputs"]["parameterValues"].keys() == {"rules", "seed"}
        file = Path(there["inputs"]["parameterValues"]["rules"])
        assert file.read_bytes() == text.encode()
    assert not file.exists() and given["inputs"]["parameterValues"]["rules"] == text


def test_a_file_that_cannot_travel_is_refused(spec, tmp_path):
    def refused(file):
        with pytest.raises(RecipeError) as error:
            mend(_of_file(spec, file), never_cached=[], text_files={"x.Examples": "rules"})
        return error.value.sentence

    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "long").write_bytes(b"x" * 2**17)
    assert "Expected a text in" in refused(tmp_path / "gone") and "No such file" in refused(tmp_path / "gone")
    assert "Expected a text in" in refused(tmp_path / "bytes")
    assert "Received: 131072; make it shorter" in refused(tmp_path / "long")
