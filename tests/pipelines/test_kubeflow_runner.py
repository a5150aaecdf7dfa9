import importlib
import importlib.util
import inspect
import json
import sys
from pathlib import Path

import pytest
import yaml
from kfp import components as kfp_components

from piecehub.errors import RecipeError
from pipelines.kubeflow_runner import LIGHT, compile_package, compile_spec

IMAGE = "registry.example/piecehub:0.1.0"


@pytest.fixture(scope="module")
def tiny():
    # By path: another package named `tests` may be installed. The entry point imports the executors by this name.
    path = Path(__file__).with_name("kubeflow_tiny.py")
    found = importlib.util.spec_from_file_location("kubeflow_tiny", path)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules["kubeflow_tiny"] = module
    found.loader.exec_module(module)
    yield module
    del sys.modules["kubeflow_tiny"]


@pytest.fixture(scope="module")
def package(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "tiny.yaml"
    compile_package(tiny.tiny_pipeline(), path, IMAGE, never_cached=["UsePiece"])
    return path


@pytest.fixture(scope="module")
def spec(package):
    return yaml.safe_load(package.read_bytes())


def test_the_package_is_one_bare_spec_of_version_2_1_0(spec):
    assert spec["schemaVersion"] == "2.1.0"
    assert spec["pipelineInfo"] == {"name": "tiny"}
    assert spec["root"]["dag"]["tasks"].keys() == {"MakePiece", "UsePiece"}


def test_the_kfp_sdk_loads_the_package(package):
    loaded = kfp_components.load_component_from_file(str(package))
    assert loaded.name == "tiny"
    assert loaded.component_spec.inputs["title"].default == "a piece"


def test_compiling_again_gives_equal_bytes_and_leaves_nothing_else(tiny, package):
    before = package.read_bytes()
    compile_package(tiny.tiny_pipeline(), package, IMAGE, never_cached=["UsePiece"])
    assert package.read_bytes() == before
    assert [p.name for p in package.parent.iterdir()] == ["tiny.yaml"]


def test_containers_run_our_entry_point_in_the_image(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["command"] == ["python", "-P", "-m", "piecehub.containers.entrypoint"]
        assert executor["container"]["image"] == IMAGE


def test_what_stock_tfx_compiles_needs_every_mend(spec):
    tasks = spec["root"]["dag"]["tasks"]
    assert all("retryPolicy" in task for task in tasks.values())
    assert tasks["UsePiece"]["cachingOptions"] == {"enableCache": False}
    assert tasks["MakePiece"]["cachingOptions"] == {"enableCache": True}
    assert spec["root"]["inputDefinitions"]["parameters"]["title"]["defaultValue"] == "a piece"


@pytest.mark.parametrize("image", ["piecehub", "piecehub:latest", "localhost:5000/piecehub"])
def test_an_image_whose_name_says_nothing_of_its_content_is_refused(image, tmp_path):
    with pytest.raises(RecipeError, match="tag that never moves"):
        compile_package(None, tmp_path / "p.yaml", image, never_cached=[])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("image", ["piecehub:0.1.0", "localhost:5000/piecehub:1", "piecehub@sha256:" + "0" * 64])
def test_a_pinned_image_is_taken(image, tiny):
    spec = compile_spec(tiny.pipeline_of_one(), image, never_cached=[])
    assert spec["deploymentSpec"]["executors"]["MakeAny_executor"]["container"]["image"] == image


def test_another_format_than_yaml_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"ends with '\.yaml'"):
        compile_package(None, tmp_path / "p.json", IMAGE, never_cached=[])  # pyright: ignore[reportArgumentType]


def test_an_input_with_several_producers_is_one_input_from_each(tiny, tmp_path):
    pipeline = tiny.pipeline_with_a_union()
    compile_package(pipeline, tmp_path / "p.yaml", IMAGE, never_cached=[])
    spec = yaml.safe_load((tmp_path / "p.yaml").read_bytes())
    task = spec["root"]["dag"]["tasks"]["UseMany"]
    read = {key: source["taskOutputArtifact"]["producerTask"] for key, source in task["inputs"]["artifacts"].items()}
    assert read == {"pieces-0": "MakePiece0", "pieces-1": "MakePiece1"}
    assert task["dependentTasks"] == ["MakePiece0", "MakePiece1"]
    args = spec["deploymentSpec"]["executors"]["UseMany_executor"]["container"]["args"]
    declared = json.loads(args[args.index("--json_serialized_inputs_spec_args") + 1])["artifacts"]
    assert declared.keys() == spec["components"]["UseMany"]["inputDefinitions"]["artifacts"].keys() == read.keys()
    # The pipeline itself is as it was.
    assert [node.inputs.keys() for node in pipeline.components if node.id == "UseMany"] == [{"pieces"}]


def test_an_example_gen_is_refused_and_nothing_is_written(tiny, tmp_path):
    with pytest.raises(RecipeError, match="ExampleGen 'ImportExampleGen_executor'"):
        compile_package(tiny.pipeline_with_an_example_gen(), tmp_path / "p.yaml", IMAGE, never_cached=[])
    assert not list(tmp_path.iterdir())


def test_a_bool_parameter_is_refused(tiny, tmp_path):
    with pytest.raises(RecipeError, match=r"Switch\.on\. Received: True"):
        compile_package(tiny.pipeline_with_a_bool(), tmp_path / "p.yaml", IMAGE, never_cached=[])


def test_tfx_is_as_it_was_after_a_task():
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

    from components import kubeflow_entrypoint

    parse = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict
    with kubeflow_entrypoint._ready_artifacts():
        assert kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict is not parse
    assert kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict is parse


def test_a_value_is_read_before_a_component_asks_for_it(tmp_path):
    from tfx.types.standard_artifacts import String

    from components import kubeflow_entrypoint

    (tmp_path / "value").write_text("a text")
    value = String()
    value.uri = str(tmp_path / "value")
    kubeflow_entrypoint._make_ready(value)
    assert value.value == "a text"


@pytest.mark.parametrize("executor", LIGHT)
def test_the_function_of_a_light_component_takes_what_the_component_does(executor):
    module, _, name = LIGHT[executor].rpartition(".")
    takes = set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    if executor.startswith("tfx."):
        assert takes == {"schema", "schema_file"}
        return
    module, _, component = executor.removesuffix("_Executor").rpartition(".")
    spec = getattr(importlib.import_module(module), component).SPEC_CLASS
    known = {*spec.PARAMETERS, *spec.INPUTS, *spec.OUTPUTS}
    assert takes == known - {"code_digest", "lock_digest"}
    assert len(spec.OUTPUTS) == 1
