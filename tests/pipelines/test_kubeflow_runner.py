import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import components as kfp_components

from piecehub.errors import RecipeError
from pipelines.kubeflow_runner import compile_package, compile_spec

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
def input_base(tmp_path_factory):
    """Two spans of one record each; the newer one is what a run must read."""
    import tensorflow as tf

    base = tmp_path_factory.mktemp("examples")
    for span in (1, 2):
        (base / f"span-{span}").mkdir()
        feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[span]))
        example = tf.train.Example(features=tf.train.Features(feature={"span": feature}))
        with tf.io.TFRecordWriter(str(base / f"span-{span}" / "records")) as writer:
            writer.write(example.SerializeToString())
    return base


@pytest.fixture(scope="module")
def package(tiny, input_base, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "tiny.yaml"
    compile_package(tiny.tiny_pipeline(str(input_base)), path, IMAGE, never_cached=["UsePiece"])
    return path


@pytest.fixture(scope="module")
def spec(package):
    return yaml.safe_load(package.read_bytes())


def test_the_package_is_one_bare_spec_of_version_2_1_0(spec):
    assert spec["schemaVersion"] == "2.1.0"
    assert spec["pipelineInfo"] == {"name": "tiny"}
    assert spec["root"]["dag"]["tasks"].keys() == {"Examples", "MakePiece", "UsePiece"}


def test_the_kfp_sdk_loads_the_package(package):
    loaded = kfp_components.load_component_from_file(str(package))
    assert loaded.name == "tiny"
    assert loaded.component_spec.inputs["title"].default == "a piece"


def test_compiling_again_gives_equal_bytes_and_leaves_nothing_else(tiny, input_base, package):
    before = package.read_bytes()
    compile_package(tiny.tiny_pipeline(str(input_base)), package, IMAGE, never_cached=["UsePiece"])
    assert package.read_bytes() == before
    assert [p.name for p in package.parent.iterdir()] == ["tiny.yaml"]


def test_containers_run_our_entry_point_in_the_image(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["command"] == ["python", "-P", "-m", "components.kubeflow_entrypoint"]
        assert executor["container"]["image"] == IMAGE


def test_what_stock_tfx_compiles_needs_every_mend(spec):
    tasks = spec["root"]["dag"]["tasks"]
    examples = spec["deploymentSpec"]["executors"]["Examples_executor"]["container"]
    assert "lifecycle" not in examples
    assert "--resolve_span" in examples["args"]
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


def test_an_input_with_several_producers_is_refused_and_nothing_is_written(tiny, tmp_path):
    with pytest.raises(RecipeError, match="input 'pieces' of UseMany"):
        compile_package(tiny.pipeline_with_a_union(), tmp_path / "p.yaml", IMAGE, never_cached=[])
    assert not list(tmp_path.iterdir())


def test_a_bool_parameter_is_refused(tiny, tmp_path):
    with pytest.raises(RecipeError, match=r"Switch\.on\. Received: True"):
        compile_package(tiny.pipeline_with_a_bool(), tmp_path / "p.yaml", IMAGE, never_cached=[])


class Launcher:
    """Runs tasks as the driver and launcher of 2.16 do: placeholders, folders for uris, what they add and leave out.

    Each task is a process of its own, by its compiled command. What it finds otherwise than in a pod is where `s3://`
    lies, the module of its executors, and the interpreter that answers to `python`.
    """

    def __init__(self, spec, root):
        self.spec, self.root, self.outputs, self.results = spec, root, {}, {}
        local = f"executor_input._LOCAL_ROOTS = {{'s3://': '{root}/s3/'}}"
        (root / "sitecustomize.py").write_text(f"from piecehub.containers import executor_input\n{local}\n")

    def run(self, name):
        component = self.spec["components"][name]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        asked = self._executor_input(name, component)
        arguments = [json.dumps(asked) if a == "{{$}}" else a for a in container["args"]]
        self.results[name] = self.start([*container["command"], *arguments])
        if self._output_file(name).exists():
            self.outputs[name] = json.loads(self._output_file(name).read_text())
        return self.results[name]

    def start(self, command):
        """What became of a command in a container, which starts in a folder that hides our packages if it can."""
        (self.root / "cwd" / "components").mkdir(parents=True, exist_ok=True)
        (self.root / "cwd" / "components" / "__init__.py").write_text("raise ImportError('the wrong package')")
        paths = [self.root, Path(__file__).parent, Path(__file__).parents[2]]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        return subprocess.run(
            command, env=environment, cwd=self.root / "cwd", capture_output=True, text=True, check=False
        )

    def _output_file(self, name):
        return self.root / name / "output_metadata.json"

    def _executor_input(self, name, component):
        inputs = self.spec["root"]["dag"]["tasks"][name].get("inputs", {})
        declared = component.get("outputDefinitions", {}).get("artifacts", {})
        outputs = {
            key: {"artifacts": [{"uri": f"s3://bucket/{name}/{key}", "type": value["artifactType"], "metadata": {}}]}
            for key, value in declared.items()
        }
        logs = {"uri": f"s3://bucket/{name}/executor-logs", "type": {"schemaTitle": "system.Artifact"}}
        for key in outputs:
            (self.root / "s3" / "bucket" / name / key).parent.mkdir(parents=True, exist_ok=True)
        return {
            "inputs": {
                "parameterValues": {k: self._value(v) for k, v in inputs.get("parameters", {}).items()},
                "artifacts": {k: self._artifact(v) for k, v in inputs.get("artifacts", {}).items()},
            },
            "outputs": {
                "artifacts": {**outputs, "executor-logs": {"artifacts": [logs]}},
                "outputFile": str(self._output_file(name)),
            },
        }

    def _value(self, source):
        if "componentInputParameter" in source:
            return self.spec["root"]["inputDefinitions"]["parameters"]["title"]["defaultValue"]
        return source["runtimeValue"]["constant"]

    def _artifact(self, source):
        source = source["taskOutputArtifact"]
        made = self.outputs[source["producerTask"]]["artifacts"][source["outputArtifactKey"]]["artifacts"][0]
        notes = {"display_name": "x", "store_session_info": "{}"}
        return {
            "artifacts": [{**made, "type": {"instanceSchema": ""}, "metadata": {**made.get("metadata", {}), **notes}}]
        }


@pytest.fixture(scope="module")
def launched(tiny, spec, tmp_path_factory):
    """The three tasks, run one after another by their compiled commands, up to one that fails."""
    launcher = Launcher(spec, tmp_path_factory.mktemp("pods"))
    for name in ("Examples", "MakePiece", "UsePiece"):
        if launcher.run(name).returncode != 0:
            break
    return launcher


def test_c1_the_compiled_command_runs_as_a_process_of_its_own(launched):
    failed = {name: result.stderr[-2000:] for name, result in launched.results.items() if result.returncode != 0}
    assert failed == {}
    assert launched.outputs.keys() == {"Examples", "MakePiece", "UsePiece"}


def test_c1_what_the_command_cannot_run_is_its_own_error(launched):
    nothing = ["--executor_class_path", "x.Y", "--json_serialized_invocation_args", "{}"]
    done = launched.start(["python", "-P", "-m", "components.kubeflow_entrypoint", *nothing])
    assert done.returncode != 0
    assert "FLAGS must be parsed" not in done.stderr
    assert "'outputs'" in done.stderr


def test_the_newest_span_is_read_and_noted(launched):
    (examples,) = launched.outputs["Examples"]["artifacts"]["examples"]["artifacts"]
    assert examples["metadata"]["custom:span"] == 2
    assert "num_files:1" in examples["metadata"]["input_fingerprint"]


def test_a_component_gets_its_parameters_with_their_types(launched):
    facts = json.loads((launched.root / "s3/bucket/MakePiece/piece/facts.json").read_text())
    assert facts == {"width": 4, "title": "a piece", "span": 2}


def test_facts_and_values_pass_from_task_to_task(launched):
    page = launched.root / "s3/bucket/UsePiece/documentation/documentation.md"
    assert page.read_text() == "4 of 5"


def test_the_launcher_reads_remote_uris_of_declared_outputs_and_no_null(launched):
    for name, output in launched.outputs.items():
        assert output["artifacts"].keys() == launched.spec["components"][name]["outputDefinitions"]["artifacts"].keys()
        for key, listed in output["artifacts"].items():
            (artifact,) = listed["artifacts"]
            assert artifact["uri"] == f"s3://bucket/{name}/{key}"
            assert None not in artifact["metadata"].values()


def test_tfx_is_as_it_was_after_a_task():
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

    from components import kubeflow_entrypoint

    parse = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict
    with kubeflow_entrypoint._ready_artifacts():
        assert kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict is not parse
    assert kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict is parse
