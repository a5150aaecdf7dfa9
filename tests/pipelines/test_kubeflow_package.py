"""The package of a real recipe: every component and artifact type of ours compiles, and is importable by its name."""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kfp import components as kfp_components

from piecehub.cli.main import cli
from piecehub.containers.code import recipe_digest
from piecehub.containers.entrypoint import parse
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.store.recipe_code import code_here
from pipelines.data import examples_folder
from pipelines.kubeflow_platform import OnCluster
from pipelines.kubeflow_runner import compile_recipe
from pipelines.recipe.loader import RECIPES, load_recipe

IMAGE = "registry.example/piecehub:0.1.0"
OURS = {
    "DocumentationWriter",
    "FineTuneEvaluator",
    "FullModelTrainer",
    "HubPusher",
    "IncumbentResolver",
    "PieceExtractor",
    "PublishGate",
    "ReusabilityValidator",
    "ReusableExporter",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    compile_recipe(load_recipe("digits"), Workdir(folder / "work"), folder / "digits.yaml", IMAGE)
    return folder / "digits.yaml"


@pytest.fixture(scope="module")
def spec(package):
    return yaml.safe_load(package.read_bytes())


def _titles(spec):
    for component in spec["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for artifact in component.get(side, {}).get("artifacts", {}).values():
                yield yaml.safe_load(artifact["artifactType"]["instanceSchema"])["title"]


def _executor_path(spec, component):
    args = spec["deploymentSpec"]["executors"][f"{component}_executor"]["container"]["args"]
    return args[args.index("--executor_class_path") + 1]


def test_every_component_of_ours_is_in_the_package_and_importable(spec):
    assert spec["components"].keys() >= OURS
    for name in OURS:
        module, _, executor = _executor_path(spec, name).rpartition(".")
        assert module.startswith("components.")
        assert hasattr(importlib.import_module(module), executor)


def test_every_artifact_type_of_ours_is_importable_by_its_title(spec):
    ours = {title for title in _titles(spec) if not title.startswith("tfx.")}
    assert "components.ReusableSavedModel" in ours
    for title in ours:
        module, _, name = title.rpartition(".")
        assert title == getattr(importlib.import_module(module), name).TYPE_NAME


def _never_cached(spec):
    return {name for name, task in spec["root"]["dag"]["tasks"].items() if not task["cachingOptions"]["enableCache"]}


def test_what_touches_the_store_or_makes_data_is_never_cached_and_all_else_is(spec):
    assert _never_cached(spec) == {"IncumbentResolver", "HubPusher", "ExampleWriter"}


def test_the_kfp_sdk_loads_the_package(package):
    assert kfp_components.load_component_from_file(str(package)).name == "digits"


def test_a_package_sends_examples_and_trials_to_beam_if_it_is_told_to(spec, tmp_path):
    flink = ["--runner=FlinkRunner", "--flink_master=flink:8081"]
    compile_recipe(load_recipe("digits"), Workdir(tmp_path / "work"), tmp_path / "beam.yaml", IMAGE, flink)
    on_beam = yaml.safe_load((tmp_path / "beam.yaml").read_bytes())
    for package, expected in ((on_beam, (True, flink)), (spec, (False, ["--runner=FnApiRunner"]))):
        executors = package["deploymentSpec"]["executors"]
        of_tfx = executors.keys() - {"ExampleWriter_executor", "SubmissionCheck_executor"}
        for executor in (executors[label] for label in of_tfx):
            known, rest = parse(["entry", *executor["container"]["args"]])
            assert (known.on_beam, rest) == expected


def test_compiling_again_gives_equal_bytes(package):
    before = package.read_bytes()
    compile_recipe(load_recipe("digits"), Workdir(Path(package.parent / "work")), package, IMAGE)
    assert package.read_bytes() == before


def test_several_tasks_compile_and_the_gate_reads_the_evidence_of_each(tmp_path):
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    loaded = load_recipe(tmp_path / "recipe", [])
    task = loaded.config.task[0]
    two = (task, replace(task, name="digits-again"))
    work = Workdir(tmp_path / "work")
    examples = examples_folder(loaded, work.data.resolve())
    (examples / "digits-again").symlink_to(examples / task.name)
    loaded = replace(loaded, config=replace(loaded.config, task=two))
    compile_recipe(loaded, work, tmp_path / "two.yaml", IMAGE)
    tasks = yaml.safe_load((tmp_path / "two.yaml").read_bytes())["root"]["dag"]["tasks"]
    evaluators = ["FineTuneEvaluatorDigits59", "FineTuneEvaluatorDigitsAgain"]
    for reader in ("PublishGate", "DocumentationWriter", "HubPusher"):
        read = tasks[reader]["inputs"]["artifacts"]
        assert [read[f"evidence-{n}"]["taskOutputArtifact"]["producerTask"] for n in (0, 1)] == evaluators
        assert set(evaluators) <= set(tasks[reader]["dependentTasks"])


def test_what_touches_only_its_artifacts_is_tried_once(spec):
    tasks = spec["root"]["dag"]["tasks"]
    assert {name for name, task in tasks.items() if "retryPolicy" not in task} == {
        "ImportSchemaGen",
        "PublishGate",
        "DocumentationWriter",
        "SubmissionCheck",
    }


def test_several_pieces_compile_with_one_task_each(tmp_path):
    settings = ['piece=[{name="whole", road="whole"}, {name="features", layer="features"}]']
    compile_recipe(load_recipe("digits", settings), Workdir(tmp_path / "work"), tmp_path / "two.yaml", IMAGE)
    spec = yaml.safe_load((tmp_path / "two.yaml").read_bytes())
    each = {f"{name}{piece}" for name in ("IncumbentResolver", "HubPusher") for piece in ("Whole", "Features")}
    assert _never_cached(spec) == {"ExampleWriter", *each}
    assert {"ReusableExporterWhole", "ReusableExporterFeatures"} <= spec["root"]["dag"]["tasks"].keys()


def test_with_a_bucket_for_a_store_no_parameter_names_a_place_that_pods_write(package, tmp_path):
    work = Workdir(package.parent / "work")
    cluster = OnCluster(store="s3://shop/models", store_secret="shop", signing_secret="keys")
    compile_recipe(load_recipe("digits"), work, tmp_path / "bucket.yaml", IMAGE, cluster=cluster)
    spec, platform = yaml.safe_load_all((tmp_path / "bucket.yaml").read_bytes())
    given = {
        (task, key, source["runtimeValue"]["constant"])
        for task, body in spec["root"]["dag"]["tasks"].items()
        for key, source in body.get("inputs", {}).get("parameters", {}).items()
        if "folder" in key and "runtimeValue" in source
    }
    assert not [place for _, _, place in given if place.startswith(str(work.root))]
    assert spec["root"]["inputDefinitions"]["parameters"]["store"]["defaultValue"] == "s3://shop/models"
    assert {place for _, key, place in given if key == "trials_folder"} == {"s3://shop/models/work/trials"}
    assert {place for _, key, place in given if key == "resume_folder"} == {"s3://shop/models/work/training"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    touch_no_bucket = {"ImportSchemaGen", "PublishGate", "DocumentationWriter", "SubmissionCheck"}
    assert executors.keys() == {f"{task}_executor" for task in spec["root"]["dag"]["tasks"].keys() - touch_no_bucket}
    assert kfp_components.load_component_from_file(str(tmp_path / "bucket.yaml")).name == "digits"


def _recipe(folder: Path) -> Path:
    shutil.copytree(RECIPES / "digits", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _compiled(recipe: Path, work: Workdir) -> dict:
    compile_recipe(load_recipe(recipe, []), work, recipe.parent / "package.yaml", IMAGE)
    return yaml.safe_load((recipe.parent / "package.yaml").read_bytes())


def _changed(before: dict, after: dict) -> set[str]:
    """The tasks of which Kubeflow's cache would know that something is another: parameters, or command."""

    def known(spec: dict) -> dict:
        executors = spec["deploymentSpec"]["executors"]
        return {name: (task, executors[f"{name}_executor"]) for name, task in spec["root"]["dag"]["tasks"].items()}

    one, other = known(before), known(after)
    assert one.keys() == other.keys()
    return {name for name in one if one[name] != other[name]}


def test_an_edit_of_the_recipe_reaches_those_tasks_alone_that_read_it(package, tmp_path):
    recipe, work = _recipe(tmp_path / "recipe"), Workdir(package.parent / "work")
    before = _compiled(recipe, work)
    check = "SubmissionCheck"  # reads the recipe's text, and hands on what did not change
    pages = {"ReusabilityValidator", "DocumentationWriter", check}
    runs_its_code = {"ExampleWriter", "FullModelTrainer", "PieceExtractor", "ReusableExporter"}
    for file, text, edited, reach in [
        ("recipe.toml", "min_gain = 0.0", "min_gain = 0.001", {"PublishGate", check}),
        ("recipe.toml", 'limitations = "', 'limitations = "Edited. ', pages),
        ("schema.pbtxt", "feature {", "# edited\nfeature {", {"ImportSchemaGen"}),
    ]:
        whole = (recipe / file).read_text(encoding="utf-8")
        assert text in whole, (file, text)
        (recipe / file).write_text(whole.replace(text, edited, 1), encoding="utf-8")
        assert _changed(before, _compiled(recipe, work)) == reach, edited
        (recipe / file).write_text(whole, encoding="utf-8")
    digests = {
        name: task["inputs"]["parameters"]["code_digest"]["runtimeValue"]["constant"]
        for name, task in before["root"]["dag"]["tasks"].items()
        if "code_digest" in task["inputs"]["parameters"]
    }
    assert {name for name, digest in digests.items() if "+" in digest} == runs_its_code


def test_code_in_an_archive_is_named_to_those_tasks_alone_that_run_it(tmp_path, package):
    recipe, work = _recipe(tmp_path / "recipe"), Workdir(package.parent / "work")
    cluster = OnCluster(code=str(tmp_path / "code"))
    compile_recipe(load_recipe(recipe, []), work, tmp_path / "code.yaml", IMAGE, cluster=cluster)
    tasks = yaml.safe_load((tmp_path / "code.yaml").read_bytes())["root"]["dag"]["tasks"]
    given = {name: task["inputs"]["parameters"] for name, task in tasks.items()}
    called = {
        name: values["recipe_folder"]["runtimeValue"]["constant"]
        for name, values in given.items()
        if "recipe_folder" in values
    }
    (archive,) = (tmp_path / "code").glob("*.tar.gz")
    named = {name for name, place in called.items() if place == str(archive)}
    assert named == {"ExampleWriter", "FullModelTrainer", "PieceExtractor", "ReusableExporter"}
    assert {place for name, place in called.items() if name not in named} == {""}
    with code_here(str(archive)) as there:
        digest = given["FullModelTrainer"]["code_digest"]["runtimeValue"]["constant"]
        assert digest.endswith(f"+{recipe_digest(there, 'model.py')}")
    assert str(recipe) not in (tmp_path / "code.yaml").read_text(encoding="utf-8")


def test_a_schema_travels_as_its_text(spec):
    known, _ = parse(["entry", *spec["deploymentSpec"]["executors"]["ImportSchemaGen_executor"]["container"]["args"]])
    value = spec["root"]["dag"]["tasks"]["ImportSchemaGen"]["inputs"]["parameters"]["schema_file"]["runtimeValue"]
    assert known.text_file == ["schema_file"]
    assert value["constant"] == (RECIPES / "digits" / "schema.pbtxt").read_text(encoding="utf-8")


def _sources(task):
    given = task.get("inputs", {}).get("artifacts", {}).values()
    return [tuple(source["taskOutputArtifact"].values()) for source in given]


def test_c2_no_task_reads_one_output_under_two_names(spec):
    for name, task in spec["root"]["dag"]["tasks"].items():
        assert len(set(_sources(task))) == len(_sources(task)), name


def test_c2_a_task_with_a_schema_of_its_own_reads_both(tmp_path):
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    schema = (tmp_path / "recipe" / "schema.pbtxt").read_text()
    (tmp_path / "recipe" / "own.pbtxt").write_text(f"# its own\n{schema}")
    work = Workdir(tmp_path / "work")
    for own, read in [("own.pbtxt", {"schema", "upstream_schema"}), ("./schema.pbtxt", {"schema"})]:
        loaded = load_recipe(tmp_path / "recipe", [])
        loaded = replace(loaded, config=replace(loaded.config, task=(replace(loaded.config.task[0], schema=own),)))
        compile_recipe(loaded, work, tmp_path / "own.yaml", IMAGE)
        evaluator = yaml.safe_load((tmp_path / "own.yaml").read_bytes())["root"]["dag"]["tasks"]["FineTuneEvaluator"]
        assert {key for key in evaluator["inputs"]["artifacts"] if "schema" in key} == read


def _parameters(spec, task):
    return spec["root"]["dag"]["tasks"][task]["inputs"]["parameters"]


def _own_folder(**data):
    return load_recipe("digits", {"data.module": "", "data.arguments": {}, **{f"data.{k}": v for k, v in data.items()}})


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """The package of a recipe that reads a bucket by spans, with a bucket for a store; nothing of both is there yet."""
    folder = tmp_path_factory.mktemp("listed")
    cluster = OnCluster(store="s3://shop/models", data_secret="records")
    recipe = _own_folder(folder="s3://shop/views/{YYYY}-{MM}-{DD}")
    compile_recipe(recipe, Workdir(folder / "work"), folder / "listed.yaml", IMAGE, cluster=cluster)
    return folder / "listed.yaml"


def test_b5_what_lists_the_data_is_not_cached_and_what_reads_them_is_by_the_listing(listed):
    """An ExampleGen that is never cached makes all after it new, every night."""
    spec = next(iter(yaml.safe_load_all(listed.read_bytes())))
    assert _never_cached(spec) == {"IncumbentResolver", "HubPusher", "DataListing"}
    for task, part in (("UpstreamExamples", "upstream"), ("DownstreamExamples", "digits-5-9")):
        given = _parameters(spec, task)
        for key, what in (("source_folder", "folder"), ("input_fingerprint", "fingerprint")):
            told = {"producerTask": "DataListing", "outputParameterKey": f"{part}-{what}"}
            assert given[key] == {"taskOutputParameter": told}
        assert "DataListing" in spec["root"]["dag"]["tasks"][task]["dependentTasks"]
        assert "DataListing" not in spec["root"]["dag"]["tasks"][task]["inputs"].get("artifacts", {})
    made = spec["components"]["DataListing"]["outputDefinitions"]["parameters"]
    assert made.keys() == {f"{p}-{w}" for p in ("upstream", "digits-5-9") for w in ("folder", "fingerprint")} | {"span"}
    assert spec["root"]["inputDefinitions"]["parameters"].keys() == {"store", "data", "span"}
    assert spec["root"]["dag"]["tasks"]["DataListing"]["retryPolicy"]["maxRetryCount"] == 2


def test_the_kfp_sdk_loads_a_package_whose_parameters_tasks_make(listed):
    assert kfp_components.load_component_from_file(str(listed)).name == "digits"


def test_only_what_sees_the_records_gets_their_credentials(listed):
    _, platform = yaml.safe_load_all(listed.read_bytes())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {label for label in executors if "secretAsEnv" in executors[label]} == {
        "DataListing_executor",
        "UpstreamExamples_executor",
        "DownstreamExamples_executor",
    }
    (secret,) = executors["DataListing_executor"]["secretAsEnv"]
    assert [pair["envVar"] for pair in secret["keyToEnv"]] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


def test_a_package_does_not_change_with_the_data(listed, tmp_path):
    """So the next night's is the same, and what is in the bucket is found when it runs."""
    before = listed.read_bytes()
    cluster = OnCluster(store="s3://shop/models", data_secret="records")
    recipe = _own_folder(folder="s3://shop/views/{YYYY}-{MM}-{DD}")
    compile_recipe(recipe, Workdir(listed.parent / "work"), listed, IMAGE, cluster=cluster)
    assert listed.read_bytes() == before


def test_what_data_py_writes_is_written_when_the_package_runs(spec, tmp_path):
    """Into the working folder on a volume, or without one into a bucket."""
    assert _parameters(spec, "ExampleWriter")["examples_folder"]["runtimeValue"]["constant"].endswith("/work/data")
    told = _parameters(spec, "UpstreamExamples")["source_folder"]["taskOutputParameter"]
    assert told == {"producerTask": "ExampleWriter", "outputParameterKey": "upstream-folder"}
    cluster = OnCluster(store="s3://shop/models", store_secret="shop")
    compile_recipe(load_recipe("digits"), Workdir(tmp_path / "work"), tmp_path / "p.yaml", IMAGE, cluster=cluster)
    spec, platform = yaml.safe_load_all((tmp_path / "p.yaml").read_bytes())
    place = _parameters(spec, "ExampleWriter")["examples_folder"]["runtimeValue"]["constant"]
    assert place == "s3://shop/models/work/examples"
    assert "ExampleWriter_executor" in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert not list(tmp_path.glob("work/data/*/upstream"))


def test_the_parent_comes_from_the_cache_and_whether_it_may_be_used_is_asked_in_every_run(tmp_path):
    """Its resolver was never cached, so everything was trained anew each night."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    store = Workdir(tmp_path / "work").store
    digest = publish(Store.create(store), tmp_path / "model", "acme", "thing", blobs={}, facts={}).digest
    recipe = load_recipe("digits", {"model.parent": "acme/thing/1"})
    compile_recipe(recipe, Workdir(tmp_path / "work"), tmp_path / "p.yaml", IMAGE)
    spec = yaml.safe_load((tmp_path / "p.yaml").read_bytes())
    assert _never_cached(spec) == {"IncumbentResolver", "HubPusher", "ExampleWriter", "ParentLookup"}
    resolver = spec["root"]["dag"]["tasks"]["ParentResolver"]
    told = {"producerTask": "ParentLookup", "outputParameterKey": "digest"}
    assert resolver["inputs"]["parameters"]["digest"] == {"taskOutputParameter": told}
    assert resolver["dependentTasks"] == ["ParentLookup", "SubmissionCheck"]  # where it is refused, nothing is trained
    assert _parameters(spec, "ParentLookup")["digest"]["runtimeValue"]["constant"] == digest
    reading = {
        name
        for name, task in spec["root"]["dag"]["tasks"].items()
        if any(s.get("taskOutputArtifact", {}).get("producerTask") == "ParentLookup" for s in _inputs(task))
    }
    assert reading == set()


def _inputs(task):
    return task.get("inputs", {}).get("artifacts", {}).values()


def test_compile_says_what_each_pod_asks_for_and_writes_that_into_the_package(tmp_path):
    words = ["kubeflow", "compile", "digits", "--workdir", str(tmp_path / "work"), "--image", IMAGE, "--json"]
    done = CliRunner().invoke(cli, [*words, "--set", 'kubeflow.memory="8Gi"', "-o", str(tmp_path / "p.yaml")])
    assert done.exit_code == 0, done.stderr
    asked = {one["task"]: one for one in json.loads(done.stdout)["requests"]}
    spec = yaml.safe_load((tmp_path / "p.yaml").read_bytes())
    assert asked.keys() == spec["root"]["dag"]["tasks"].keys()
    for task, one in asked.items():
        told = spec["deploymentSpec"]["executors"][f"{task}_executor"]["container"]["resources"]
        assert (told["resourceMemoryRequest"], told["resourceCpuRequest"]) == (one["memory"], one["cpu"])
        assert one["memory_from"] != "the most of such components in digits", task
    assert asked["FullModelTrainer"]["memory_from"] == "[kubeflow]"
    assert asked["PublishGate"]["memory_from"] == "measured in digits"
