"""The command of every container, as a process of its own, on what needs no TFX."""

import json
import resource
import time
from pathlib import Path

import pytest

from piecehub.containers import code, entrypoint, executor_input, failures
from piecehub.errors import DataError, EnvironmentProblem
from piecehub.store import layout
from piecehub.store.recipe_code import bring_code
from tests.containers.tasks import Task, make_task

_SCHEMA = "tfx.components.schema_gen.import_schema_gen.executor.Executor"
_RESOLVER = "components.incumbent_resolver.IncumbentResolver_Executor"
_STRINGS = ("publisher", "name", "store_folder", "code_digest", "lock_digest")


@pytest.fixture
def schema_task(tmp_path):
    (tmp_path / "schema.pbtxt").write_text('feature { name: "image" type: FLOAT }\n')
    parameters = {"schema_file": str(tmp_path / "schema.pbtxt")}
    task = make_task(tmp_path, _SCHEMA, parameters, {"schema_file": "STRING"}, "schema", "s3://bucket/task/out")
    return Task(task.root, (*task.argv, "--light_function", "piecehub.examples.schema_file.bring_schema"))


@pytest.fixture
def resolver_task(tmp_path):
    """Of a store that is not there yet; `--trials_folder` as a package gives it."""

    def make(code_digest: str, store: str) -> Task:
        values = ("acme", "tiny", store, code_digest, "sha256:0")
        parameters = dict(zip(_STRINGS, values, strict=True))
        kinds = dict.fromkeys(_STRINGS, "STRING")
        task = make_task(tmp_path, _RESOLVER, parameters, kinds, "incumbent", "s3://bucket/task/out")
        light = ("--light_function", "piecehub.store.incumbent.bring_incumbent")
        return Task(task.root, (*task.argv, *light, "--trials_folder", str(tmp_path / "trials")))

    return make


def test_a_light_component_takes_under_two_seconds_of_the_processor(resolver_task, tmp_path):
    task = resolver_task(code.code_digest("components.incumbent_resolver"), str(tmp_path / "store"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = task.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0
    (told,) = task.told["artifacts"]["incumbent"]["artifacts"]
    assert told["uri"] == "s3://bucket/task/out"
    assert told["metadata"].keys() == {"version", "content_digest", "provenance_digest", "tfx_version"}
    assert told["metadata"]["version"] == 0.0
    statement = json.loads((task.output / "provenance.json").read_text())["statement"]
    assert statement["component"] == "IncumbentResolver"
    assert statement["parameters"] == {"name": "tiny", "publisher": "acme"}


def _own_task(
    root: Path, executor: str, function: str, parameters: dict[str, str], outputs: list[str], recipe: str = ""
) -> Task:
    """One that only Kubeflow has (pipelines/kubeflow_tasks.py): its outputs are parameters."""
    digest = code.code_digest(executor.rpartition(".")[0], recipe, parameters.get("module", ""))
    parameters = {**parameters, "code_digest": digest, "lock_digest": "sha256:0"}
    told = {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in outputs}
    logs = {"executor-logs": {"artifacts": [{"name": "executor-logs", "uri": "s3://bucket/task/logs", "type": {}}]}}
    asked = {
        "inputs": {"parameterValues": parameters},
        "outputs": {"parameters": told, "artifacts": logs, "outputFile": str(root / "out.json")},
    }
    spec = {"parameters": {name: {"parameterType": "STRING"} for name in parameters}}
    arguments = ("--executor_class_path", executor, "--json_serialized_invocation_args", json.dumps(asked))
    arguments += ("--json_serialized_inputs_spec_args", json.dumps(spec), "--light_function", function)
    return Task(root, arguments)


def _listing(root: Path, outputs: list[str]) -> Task:
    told = {"place": str(root / "own" / "{SPAN}"), "parts": '{"upstream": ["train"]}'}
    return _own_task(root, "piecehub.store.data.DataListing_Executor", "piecehub.store.data.list_data", told, outputs)


def test_the_listing_of_the_data_starts_light_and_tells_parameters(tmp_path):
    (tmp_path / "own" / "17" / "upstream" / "train").mkdir(parents=True)
    (tmp_path / "own" / "17" / "upstream" / "train" / "part-0").write_text("not read")
    task = _listing(tmp_path, ["upstream-folder", "upstream-fingerprint", "span"])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = task.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0
    told = task.told["parameterValues"]
    assert (told["upstream-folder"], told["span"]) == (str(tmp_path / "own" / "{SPAN}" / "upstream"), "17")
    assert len(told["upstream-fingerprint"]) == 64
    (tmp_path / "own" / "17" / "upstream" / "train" / "part-0").write_text("")
    done = task.run()
    assert done.stderr.splitlines()[-1].endswith("and the newest, 17, lacks 'upstream/train'; write it.")


def test_an_output_parameter_without_a_value_is_refused(tmp_path):
    """Its consumer would never start, and the launcher's words would not say why."""
    (tmp_path / "own" / "17" / "upstream" / "train").mkdir(parents=True)
    (tmp_path / "own" / "17" / "upstream" / "train" / "part-0").write_text("not read")
    done = _listing(tmp_path, ["upstream-folder", "upstream-fingerprint", "span", "more"]).run()
    assert done.stderr.splitlines()[-1].startswith("Expected a value for each output parameter of the package: more,")
    assert not (tmp_path / "out.json").exists()


DATA_PY = """
def write(folder, count):
    for split in ("upstream/train", "upstream/eval", "a/pool", "a/test"):
        (folder / split).mkdir(parents=True)
        (folder / split / "part-0").write_text("x" * (count if split == "a/pool" else 1))
"""


def test_what_data_py_writes_is_laid_down_by_content_and_named_by_part(tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "data.py").write_text(DATA_PY)
    parts = {"upstream": ["train", "eval"], "a": ["pool", "test"]}
    outputs = [f"{part}-{what}" for part in parts for what in ("folder", "fingerprint")]

    def written(count: int, place: str = "") -> dict[str, str]:
        given = {"recipe_folder": place or str(tmp_path / "recipe"), "module": "data.py", "parts": json.dumps(parts)}
        given |= {"examples_folder": str(tmp_path / "to"), "arguments": json.dumps({"count": count})}
        executor = "piecehub.training.written_examples.ExampleWriter_Executor"
        function = "piecehub.training.written_examples.lay_down_examples"
        task = _own_task(tmp_path, executor, function, given, outputs, recipe=str(tmp_path / "recipe"))
        done = task.run()
        assert done.returncode == 0, done.stderr
        return task.told["parameterValues"]

    archive = bring_code(tmp_path / "recipe", "data.py", str(tmp_path / "code"))
    first, again, other = written(1), written(1, archive), written(2)
    assert first == again
    assert {key for key in first if first[key] != other[key]} == {"a-folder", "a-fingerprint"}
    assert Path(other["a-folder"]).name == other["a-fingerprint"]
    assert (Path(other["a-folder"]) / "pool" / "part-0").read_text() == "xx"
    assert sorted(path.name for path in (tmp_path / "to").iterdir() if path.name != "tmp") == sorted(
        {first["a-fingerprint"], other["a-fingerprint"], first["upstream-fingerprint"]}
    )
    (tmp_path / "recipe" / "data.py").write_text("def write(folder, count):\n    raise ValueError('no such table')\n")
    with pytest.raises(AssertionError, match=r"Expected 'data.py' to write the examples\. Received: ValueError"):
        written(1)


def test_a_light_component_imports_neither_tfx_nor_the_components(resolver_task, tmp_path):
    look = (
        "import sys; from piecehub.containers import entrypoint; status = entrypoint.main(['entry', *sys.argv[1:]]);"
        "print(status, [m for m in ('tfx', 'tensorflow', 'keras', 'apache_beam', 'components') if m in sys.modules])"
    )
    task = resolver_task(code.code_digest("components.incumbent_resolver"), str(tmp_path / "store"))
    done = task.run(start=("-c", look))
    assert done.stdout == "0 []\n", done.stderr


def test_a_schema_is_copied_as_it_is(schema_task):
    done = schema_task.run()
    assert done.returncode == 0, done.stderr
    assert (schema_task.output / "schema.pbtxt").read_text() == 'feature { name: "image" type: FLOAT }\n'
    (told,) = schema_task.told["artifacts"]["schema"]["artifacts"]
    assert told["metadata"].keys() == {"tfx_version"}


def test_the_sentence_of_a_failure_is_the_last_line_and_nothing_is_left_for_the_launcher(schema_task):
    (schema_task.root / "schema.pbtxt").write_text("feature { nonsense }")
    done = schema_task.run()
    assert done.returncode == 1
    *before, last = done.stderr.splitlines()
    assert last.startswith("Expected a schema as text in ")
    assert any(line.startswith("Traceback") for line in before)
    assert not (schema_task.root / "out.json").exists()


def test_a_failure_that_is_none_of_ours_ends_in_a_sentence_too(schema_task):
    done = schema_task.run("--light_function", "piecehub.examples.schema_file.gone")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Executor failed. AttributeError: module 'piecehub.examples")


def test_the_next_attempt_repeats_the_sentence_of_one_that_failed_for_good(resolver_task, tmp_path):
    task = resolver_task("sha256:other", str(tmp_path / "store"))
    first = task.run()
    sentence = first.stderr.splitlines()[-1]
    assert sentence.startswith("Expected the code of IncumbentResolver that the pipeline was compiled with.")
    started = time.monotonic()
    # Whatever it would do now: the first attempt said that nothing helps.
    second = task.run("--executor_class_path", "components.not_even.There_Executor", "--light_function", "")
    assert time.monotonic() - started < 3
    assert (second.returncode, second.stdout, second.stderr) == (1, "", f"{sentence}\n")


def test_a_failure_that_may_pass_is_tried_again(resolver_task, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / layout.STORE_FILE).write_text('{"schema": 99}')
    task = resolver_task(code.code_digest("components.incumbent_resolver"), str(tmp_path / "store"))
    assert task.run().returncode == 1
    (tmp_path / "store" / layout.STORE_FILE).unlink()
    done = task.run()
    assert done.returncode == 0, done.stderr


def test_a_failure_of_one_task_is_none_of_another(tmp_path):
    failures.leave(str(tmp_path), "/minio/b/run/Task/1/output_metadata.json", "Expected. Received.")
    assert failures.known(str(tmp_path), "/minio/b/run/Task/1/output_metadata.json") == "Expected. Received."
    assert failures.known(str(tmp_path), "/minio/b/run/Task/2/output_metadata.json") == ""


def test_where_a_failure_cannot_be_marked_it_is_only_tried_again(tmp_path):
    (tmp_path / "file").write_text("")
    failures.leave(str(tmp_path / "file"), "x", "Expected. Received.")
    assert failures.known(str(tmp_path / "file"), "x") == ""


def test_what_may_pass_is_told_by_its_class():
    assert EnvironmentProblem("x").may_pass
    assert not DataError("x").may_pass


def test_the_command_of_a_package_is_this_module():
    known, beams = entrypoint.parse(
        ["entry", "--executor_class_path", "x", "--json_serialized_invocation_args", "{}", "--runner=F"]
    )
    assert (known.light_function, known.trials_folder, known.on_beam, beams) == ("", "", False, ["--runner=F"])
    assert executor_input.local_path("s3://b/k") == "/s3/b/k"
