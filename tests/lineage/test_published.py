"""A small history, told twice: as a chain of statements, and in ML Metadata as TFX writes it."""

import importlib
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ml_metadata import metadata_store

from piecehub.errors import EnvironmentProblem, NotVerified, StoreError
from piecehub.extras import LOCK
from piecehub.facts import provenance
from piecehub.facts.content import content_digest, list_files, sha256_bytes
from piecehub.facts.handle import Handle
from piecehub.facts.provenance import Input, Provenance
from piecehub.lineage import metadata
from piecehub.lineage import published as lineage
from piecehub.lineage import recorded as folders
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.store.tokens import Tokens
from tests.command_line import piecehub
from tests.loopback import answering, served

# Generated code, which a type checker cannot read.
mlmd: Any = importlib.import_module("ml_metadata.proto.metadata_store_pb2")

TRAIN, POOL = {"train": "sha256:aa", "eval": "sha256:ab"}, {"pool": "sha256:ba", "test": "sha256:bb"}
MODEL_DIGEST = "sha256:" + "5" * 64


def examples(splits):
    return Input("Examples", "sha256:whole", splits)


def chain(model_digest="sha256:reusable", rate=0.5) -> Provenance:
    """Trainer -> extractor -> exporter -> evaluators of two tasks -> gate -> writer."""

    def step(component, output, inputs, **parameters):
        digest = model_digest if output == "reusable_model" else f"sha256:{component}-{output}-{len(parameters)}"
        return provenance.make(component, output, digest, inputs, parameters, f"sha256:code-{component}", "sha256:lock")

    def of(kind, made):
        return [Input(kind, made.statement["digest"], None, made)]

    schema = [Input("Schema", "sha256:schema")]
    full = step("Trainer", "full_model", {"examples": [examples(TRAIN)], "schema": schema}, epochs=3, rate=rate)
    piece = step("Extractor", "piece", {"full_model": of("components.FullModel", full)}, layer="features")
    model = step("Exporter", "reusable_model", {"piece": of("components.Piece", piece)})
    tasks = {}
    for task in ("a", "bb"):
        inputs = {"reusable_model": of("components.ReusableSavedModel", model), "examples": [examples(POOL)]}
        tasks[task] = step("Evaluator", "evidence", inputs, task=task, **({"more": 1} if task == "bb" else {}))
    evidence = [i for made in tasks.values() for i in of("components.Evidence", made)]
    blessing = step("Gate", "blessing", {"evidence": evidence}, margin=0.0)
    return step(
        "Writer",
        "documentation",
        {"reusable_model": of("components.ReusableSavedModel", model), "blessing": of("ModelBlessing", blessing)},
        description="words",
    )


@dataclass
class Recorder:
    """Writes a chain into ML Metadata the way that TFX and the door of our components do."""

    path: Path
    made: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.path)
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)

    def artifact(self, type_name, **properties):
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        artifact = mlmd.Artifact(type_id=type_id, uri="somewhere", state=mlmd.Artifact.LIVE)
        set_properties(artifact, properties)
        return self.store.put_artifacts([artifact])[0]

    def execution(self, component, node, properties, inputs, outputs):
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=component))
        execution = mlmd.Execution(type_id=type_id, last_known_state=mlmd.Execution.COMPLETE)
        set_properties(execution, properties)
        contexts = [self.context("node", f"digits.v2.{node}"), self.context("pipeline", "digits.v2")]
        [execution_id] = self.store.put_executions([execution])
        self.store.put_attributions_and_associations(
            [], [mlmd.Association(execution_id=execution_id, context_id=c) for c in contexts]
        )
        events = [(a, key, n, mlmd.Event.INPUT) for key, ids in inputs.items() for n, a in enumerate(ids)]
        events += [(a, key, 0, mlmd.Event.OUTPUT) for key, a in outputs.items()]
        self.store.put_events(
            [
                mlmd.Event(
                    artifact_id=a,
                    execution_id=execution_id,
                    type=kind,
                    path=mlmd.Event.Path(steps=[mlmd.Event.Path.Step(key=key), mlmd.Event.Path.Step(index=n)]),
                )
                for a, key, n, kind in events
            ]
        )
        return execution_id

    def context(self, type_name, name):
        type_id = self.store.put_context_type(mlmd.ContextType(name=type_name))
        found = self.store.get_context_by_type_and_name(type_name, name)
        return found.id if found else self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])[0]

    def stock(self, type_name):
        artifact = self.artifact(type_name)
        self.execution(f"tfx.components.{type_name}Gen", f"{type_name}Gen", {}, {}, {"out": artifact})
        return artifact

    def record(self, told: Provenance, type_name: str) -> int:
        """Records the statement and all before it; returns the artifact's id."""
        if told.digest in self.made:
            return self.made[told.digest]
        statement = told.statement
        inputs = {
            key: [
                self.record(Provenance(told.chain[i["statement"]], told.ancestors), i["type"])
                if i["statement"]
                else self.stock(i["type"])
                for i in references
            ]
            for key, references in statement["inputs"].items()
        }
        splits = {k: i["splits"] for k, references in statement["inputs"].items() for i in references if "splits" in i}
        notes = {"content_digest": statement["digest"], "provenance_digest": told.digest}
        artifact = self.artifact(type_name, **notes, **({"input_splits": json.dumps(splits)} if splits else {}))
        digests = {key: statement[key] for key in ("code_digest", "lock_digest")}
        parameters = statement["parameters"] | digests | {"recipe_folder": "/home", "__execution_result__": "{}"}
        name = f"components.rooms.{statement['component']}"
        self.execution(name, f"{statement['component']}.x", parameters, inputs, {statement["output"]: artifact})
        self.made[told.digest] = artifact
        return artifact

    def push(self, documentation: int, handle="piecehub/digits/1", digest=MODEL_DIGEST, why=""):
        facts = {"pushed": 1, "handle": handle, "saved_model_digest": digest, "why": why}
        artifact = self.artifact("PushedModel", **facts)
        digests = {"code_digest": "sha256:p", "lock_digest": "sha256:lock"}
        inputs = {"documentation": [documentation]}
        return self.execution("components.p.HubPusher", "HubPusher", digests, inputs, {"pushed_model": artifact})


def set_properties(thing, properties):
    for key, value in properties.items():
        kind = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(thing.custom_properties[key], kind, value)


@pytest.fixture
def recorded(tmp_path):
    recorder = Recorder(tmp_path / "metadata.sqlite")
    recorder.push(recorder.record(chain(), "components.Documentation"))
    return recorder


def test_ml_metadata_and_the_chain_agree(recorded):
    told = lineage.from_chain(chain(), MODEL_DIGEST, "piecehub/digits/1")
    assert lineage.agree(told, lineage.from_ml_metadata(recorded.path, MODEL_DIGEST)) == []


def test_a_difference_is_named(recorded):
    told = lineage.from_chain(chain(rate=0.25), MODEL_DIGEST, "piecehub/digits/1")
    [difference] = lineage.agree(told, lineage.from_ml_metadata(recorded.path, MODEL_DIGEST))
    assert "parameters.rate: 0.25 in one, 0.5 in the other" in difference


def test_a_missing_component_is_a_difference():
    whole = chain()
    [gate] = [s for s in whole.ancestors.values() if s["component"] == "Gate"]
    shorter = lineage.from_chain(Provenance(gate, whole.ancestors), MODEL_DIGEST)
    longer = lineage.from_chain(chain(), MODEL_DIGEST)
    assert "components: 6 entries in one, 7 in the other." in lineage.agree(shorter, longer)


def test_the_lineage_names_data_code_parameters_and_evaluation(recorded):
    told = lineage.from_ml_metadata(recorded.path, MODEL_DIGEST).to_json()
    assert [(d["role"], d["component"], d["splits"]) for d in told["data"]] == [
        ("upstream", "Trainer", TRAIN),
        ("downstream", "Evaluator", POOL),
    ]
    assert [c["component"] for c in told["components"]] == [
        *("Trainer", "Extractor", "Exporter", "Evaluator", "Evaluator", "Gate", "Writer")
    ]
    assert told["components"][0]["parameters"] == {"epochs": 3, "rate": 0.5}
    assert told["components"][1]["code_digest"] == "sha256:code-Extractor"
    assert len(told["evaluation"]["evidence"]) == 2
    assert told["evaluation"]["blessing"] == ["sha256:Gate-blessing-1"]
    assert told["handle"] == "piecehub/digits/1"


def test_a_step_from_the_cache_is_told_once(recorded):
    before = lineage.from_ml_metadata(recorded.path, MODEL_DIGEST)
    documentation = recorded.made[chain().digest]
    recorded.execution("components.rooms.Writer", "Writer", {}, {}, {"documentation": documentation})
    recorded.push(documentation, why="The same content was published before.")
    assert lineage.from_ml_metadata(recorded.path, MODEL_DIGEST) == before


def test_the_push_that_made_the_version_is_taken(recorded):
    other = recorded.record(chain(rate=0.25), "components.Documentation")
    recorded.push(other, why="The same content was published before.")
    assert lineage.from_ml_metadata(recorded.path, MODEL_DIGEST).steps[0].parameters["rate"] == 0.5
    recorded.push(other)  # into a store that was made anew
    assert lineage.from_ml_metadata(recorded.path, MODEL_DIGEST).steps[0].parameters["rate"] == 0.25


def test_one_content_under_two_names_is_told_apart_by_its_handle(recorded):
    recorded.push(recorded.record(chain(rate=0.25), "components.Documentation"), handle="piecehub/other/1")
    told = lineage.from_ml_metadata(recorded.path, MODEL_DIGEST, "piecehub/digits/1")
    assert (told.handle, told.steps[0].parameters["rate"]) == ("piecehub/digits/1", 0.5)


@pytest.mark.parametrize("digest", ["sha256:" + "6" * 64, ""])
def test_a_content_that_was_never_pushed_is_one_sentence(recorded, digest):
    with pytest.raises(StoreError, match="Expected a push of"):
        lineage.from_ml_metadata(recorded.path, digest)


def test_missing_metadata_is_one_sentence_and_makes_no_file(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        lineage.from_ml_metadata(tmp_path / "metadata.sqlite", MODEL_DIGEST)
    assert not (tmp_path / "metadata.sqlite").exists()


def test_an_execution_is_known_by_its_node(recorded):
    [trainer] = recorded.store.get_executions_by_type("components.rooms.Trainer")
    assert metadata.node_id(recorded.store, trainer.id) == "Trainer.x"


def publish_with(tmp_path, blobs, facts=None):
    model = tmp_path / "saved_model"
    model.mkdir(exist_ok=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    store = Store.create(tmp_path / "store")
    publish(store, model, "piecehub", "digits", blobs=blobs, facts=facts or {})
    return store


def test_a_published_version_tells_its_lineage(tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    told = chain(content_digest(list_files(tmp_path)))
    made_by = {"runner": "kubeflow", "run": "8c1a", "image": "piecehub:1"}
    store = publish_with(tmp_path, {"provenance.json": told.to_json().encode()}, {"made_by": made_by})
    found = lineage.of_published(store, "piecehub/digits")
    assert found == lineage.of_published(store, "piecehub/digits/1")
    assert found.to_json()["made_by"] == made_by
    assert found.steps[0].component == "Trainer"
    text = lineage.text(found)
    for fact in (
        "piecehub/digits/1",
        *TRAIN.values(),
        *POOL.values(),
        "sha256:code-Exporter",
        "epochs = 3",
        "sha256:lock",
        "read schema            sha256:schema",
        "made by kubeflow, run 8c1a, image piecehub:1",
    ):
        assert fact in text


def test_a_version_on_a_server_tells_the_lineage_that_its_store_tells(tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    told = chain(content_digest(list_files(tmp_path)))
    store = publish_with(tmp_path, {"provenance.json": told.to_json().encode()})
    expected = lineage.of_published(store, "piecehub/digits/1")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    token = "open-sesame"
    (tmp_path / "token").write_text(token + "\n")
    tokens = Tokens({"piecehub": frozenset({sha256_bytes(token.encode())})})
    with served(tmp_path / "store", tokens) as url:
        assert lineage.of_address(f"{url}/piecehub/digits/1", token=token) == expected
        words = ("lineage", f"{url}/piecehub/digits/1", "--token-file", str(tmp_path / "token"))
        done = piecehub(*words, "--json", cwd=empty)
        assert json.loads(done.stdout) == expected.to_json(), done.stderr
        refused = piecehub("lineage", f"{url}/piecehub/digits/1", cwd=empty)
        assert (refused.returncode, "401" in refused.stderr) == (3, True), refused.stderr
        unversioned = piecehub("lineage", f"{url}/piecehub/digits", "--token-file", str(tmp_path / "token"), cwd=empty)
        assert (unversioned.returncode, "publisher/name/version" in unversioned.stderr) == (2, True), unversioned.stderr
    assert list(empty.iterdir()) == []


def test_a_server_that_hands_out_another_chain_than_its_manifest_names_is_refused(tmp_path):
    store = publish_with(tmp_path, {"provenance.json": chain().to_json().encode()})
    blob = store.manifest(Handle.parse("piecehub/digits/1")).blob("provenance.json")
    manifest = store.manifest(Handle.parse("piecehub/digits/1")).to_json().encode()
    other = store.read_blob(blob.digest).replace(b"Trainer", b"Dresser")
    route = "/api/v1/models/piecehub/digits/1"
    answers = {f"{route}/manifest": (200, {}, manifest), f"{route}/blobs/{blob.digest}": (200, {}, other)}
    with answering(answers) as url, pytest.raises(NotVerified, match=r"provenance\.json.*with the digest"):
        lineage.of_address(f"{url}/piecehub/digits/1")


def test_a_chain_about_another_model_is_refused(tmp_path):
    store = publish_with(tmp_path, {"provenance.json": chain().to_json().encode()})
    with pytest.raises(StoreError, match="about other models"):
        lineage.of_published(store, "piecehub/digits/1")


def test_of_a_version_without_a_chain_is_told_that_no_run_made_it(tmp_path):
    publish_with(tmp_path, {})
    with served(tmp_path / "store") as url:
        for name in ("piecehub/digits/1", f"{url}/piecehub/digits/1"):
            done = piecehub("lineage", name, "--store", str(tmp_path / "store"))
            assert (done.returncode, done.stderr) == (0, "")
            first, _, last = done.stdout.splitlines()
            assert first.startswith("piecehub/digits/1  sha256:")
            assert "No run of piecehub made it: it was published without a record" in last
    found = json.loads(piecehub("lineage", "piecehub/digits/1", "--store", str(tmp_path / "store"), "--json").stdout)
    assert (found["data"], found["components"]) == ([], [])


def test_an_unknown_version_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match=rf"Received: 'piecehub/none'.* in '{re.escape(str(tmp_path))}"):
        lineage.of_published(Store.open(tmp_path), "piecehub/none")


def test_the_published_piece_that_it_starts_from_is_told():
    parameters = {"handle": "acme/parent/3", "digest": "sha256:abc"}
    resolved = provenance.make("ParentResolver", "parent", "sha256:folder", {}, parameters, "sha256:c", "sha256:lock")
    inputs = {"parent": [Input("components.ParentPiece", "sha256:folder", None, resolved)]}
    made = provenance.make("Writer", "documentation", "sha256:d", inputs, {}, "sha256:w", "sha256:lock")
    found = lineage.from_chain(made, MODEL_DIGEST, "acme/child/1")
    assert found.to_json()["parents"] == [parameters]
    assert "fine-tuned from acme/parent/3  sha256:abc" in lineage.text(found)
    plain = lineage.from_chain(chain(), MODEL_DIGEST)
    assert plain.to_json()["parents"] == [] and "fine-tuned" not in lineage.text(plain)


def test_without_ml_metadata_the_chain_tells_and_what_reads_it_says_what_to_install(
    recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ml_metadata", None)
    for read in (lambda: lineage.from_ml_metadata(recorded.path, MODEL_DIGEST), lambda: folders.read(recorded.path)):
        with pytest.raises(EnvironmentProblem) as refused:
            read()
        assert refused.value.sentence == (
            f"Expected the package 'ml_metadata' for what runs recorded in '{recorded.path}'. Received: none; call "
            f"`pip install --no-deps -r {LOCK}`."
        )
    assert lineage.from_chain(chain(), MODEL_DIGEST).steps
