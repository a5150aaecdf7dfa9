"""`piecehub publish`: a model that no run of ours made is checked first, and not recommended for fine-tuning."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner
from starlette.testclient import TestClient
from tf_keras.protobuf import saved_metadata_pb2

from piecehub.cli.main import cli
from piecehub.errors import NotReusableError, RecipeError, StoreError, VersionExists
from piecehub.exporting.reexport import reexport
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport, report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.facts.workdir import Workdir
from piecehub.lineage import published as lineage
from piecehub.publishing import offered as elsewhere
from piecehub.publishing.offered import Offered, publish_made_elsewhere
from piecehub.signing.keys import new_key
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace
from piecehub.store.catalog import Store
from piecehub.ui.app import create_app
from piecehub.ui.static_pages import static_pages
from tests.command_line import piecehub
from tests.conformance.broken_models import of, plain

pytestmark = pytest.mark.usefixtures("glances_here")
PAGE = """# Module acme/rows/3

Features of rows.
<!-- asset-path: acme/rows/3/model.tar.gz -->
<!-- fine-tunable: false -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->

## Overview

Rows of four numbers.
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of(plain)(tmp_path_factory.mktemp("rows") / "model")


@pytest.fixture(scope="module")
def for_serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "model"
    module = tf.Module()
    module.weight = tf.Variable(2.0)
    signature = tf.function(lambda x: {"y": x * module.weight}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return folder


def digest_of(folder: Path) -> str:
    return content_digest(list_files(folder))


def _publish(model: Path, cwd: Path, *options: str, page: str = PAGE) -> subprocess.CompletedProcess[str]:
    (cwd / "page.md").write_text(page)
    fixed = ["--name", "acme/rows", "--documentation", "page.md", "--store", "store", "--trust"]
    return piecehub("publish", str(model), *fixed, *options, cwd=cwd)


def test_a2_a_model_is_published_without_the_file_that_holds_python(rows: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(rows, model)
    described = saved_metadata_pb2.SavedMetadata()
    described.nodes.add(metadata=json.dumps({"class_name": "__lambda__", "config": {"value": ""}}))
    (model / "keras_metadata.pb").write_bytes(described.SerializeToString())
    refused = _publish(model, tmp_path)
    assert (refused.returncode, "S15 fell short" in refused.stderr) == (1, True), refused.stderr
    done = _publish(model, tmp_path, "--without-keras-metadata")
    assert (done.returncode, done.stdout) == (0, f"acme/rows/3  {content_digest(list_files(rows))}\n"), done.stderr
    assert (model / "keras_metadata.pb").is_file()


def test_a_model_that_conforms_is_published_signed_and_verifies(rows: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    done = _publish(rows, tmp_path, "--signing-key", "key")
    digest = content_digest(list_files(rows))
    assert (done.returncode, done.stdout) == (0, f"acme/rows/3  {digest}\n"), done.stderr
    manifest = Store.open(tmp_path / "store").manifest(Handle.parse("acme/rows/3"))
    assert manifest.facts == {"fine_tunable": False, "made_elsewhere": True}
    report = ConformanceReport.from_json(
        Store.open(tmp_path / "store").read_blob(manifest.blob(REPORT_NAME).digest).decode()
    )
    assert (report.conforms, report.digest) == (True, digest)
    verified = piecehub("verify", "acme/rows/3", "--store", "store", "--key", "key.pub", "--json", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["signed"]["trusted_as"] == "key.pub"
    again = _publish(rows, tmp_path)
    assert again.returncode == 0
    assert "published before" in again.stderr


def test_a_model_that_is_good_for_serving_only_is_refused(for_serving: Path, tmp_path: Path) -> None:
    done = _publish(for_serving, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "one that is serving only; S3 fell short" in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("line", ["<!-- fine-tunable: true -->\n", ""])
def test_a_page_that_recommends_fine_tuning_without_evidence_is_refused(line: str, tmp_path: Path) -> None:
    page = PAGE.replace("<!-- fine-tunable: false -->\n", line)
    with pytest.raises(RecipeError, match="'<!-- fine-tunable: false -->'"):
        publish_made_elsewhere(Store.open(tmp_path / "store"), Offered(tmp_path / "absent", page), "acme/rows")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "version", "page", "words"),
    [
        ("acme/rows", 4, PAGE, "a page about 'acme/rows/4'"),
        ("acme/columns", None, PAGE, "a page about 'acme/columns/3'"),
        ("acme", None, PAGE, "Expected 'publisher/name/version'"),
        ("acme/rows", None, "# Rows\n", "the first line '# Module"),
        ("acme/rows", None, "", "the first line '# Module"),
    ],
)
def test_a_page_about_another_version_is_refused_before_anything_is_loaded(
    name: str, version: int | None, page: str, words: str, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store")
    with pytest.raises(RecipeError, match=words):
        publish_made_elsewhere(store, Offered(tmp_path / "absent", page), name, version)


def test_what_the_store_holds_already_is_not_checked_again(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store")
    first = publish_made_elsewhere(store, Offered(rows, PAGE, trusted=True), "acme/rows")
    assert (str(first.handle), first.created) == ("acme/rows/3", True)
    monkeypatch.setattr(elsewhere, "check_saved_model", lambda *_, **__: pytest.fail("it was checked"))
    again = publish_made_elsewhere(store, Offered(rows, PAGE), "acme/rows")
    assert (again.handle, again.created) == (first.handle, False)
    other = of(lambda root, x, training: plain(root, x, training) * 2.0)(tmp_path / "other")
    with pytest.raises(VersionExists):
        publish_made_elsewhere(store, Offered(other, PAGE), "acme/rows")


def _with_parent(rows: Path, parent: str, folder: Path) -> Path:
    shutil.copytree(rows, folder)
    piece_manifest.write(PieceManifest("low-level", {}, {}, [], [], parent=parent), folder)
    return folder


def _lineage_text(store: Store, handle: str) -> str:
    """What `piecehub lineage` says, be it a refusal."""
    try:
        return lineage.text(lineage.of_published(store, handle))
    except StoreError as error:
        return error.sentence


def test_n4_the_parent_of_a_reexported_piece_is_in_lineage_page_and_signed_statement(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open(".piecehub/store")
    monkeypatch.setattr(elsewhere, "check_saved_model", lambda folder, *_, **__: report(digest_of(folder), []))
    parent = publish_made_elsewhere(store, Offered(rows, PAGE), "acme/rows")
    tuned = tf.saved_model.load(str(rows))
    reexport(tuned, "tuned", source="acme/rows/3")
    manifest = piece_manifest.read(Path("tuned"))
    assert manifest is not None and manifest.parent == f"acme/rows/3@{parent.digest}"
    new_key(tmp_path / "key")
    place = SigningPlace(tmp_path / "key", LOCAL_BUILDER)
    offered = Offered(Path("tuned"), PAGE.replace("rows/3", "rows/4"))
    child = publish_made_elsewhere(store, offered, "acme/rows", place=place)
    assert f"fine-tuned from acme/rows/3  {parent.digest}" in _lineage_text(store, str(child.handle))
    found = store.manifest(child.handle)
    client = TestClient(create_app(Workdir(Path(".piecehub"))), base_url="http://127.0.0.1:8470")
    served = client.get(f"/models/{child.handle}").text
    for page in (served, static_pages("http://store").version(store, found, "")):
        told = page.partition('<h2 id="lineage">Lineage</h2>')[2]
        assert "Fine-tuned from <strong>acme/rows/3</strong>" in told and parent.digest in told
    signed = json.loads(store.read_blob(found.blob("provenance.dsse.json").digest))
    statement = json.loads(base64.b64decode(signed["payload"]))
    digest = parent.digest.removeprefix("sha256:")
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependencies == [{"name": "parent/acme/rows/3", "digest": {"piecehubContent": digest}}]


def test_n4_a_parent_that_is_another_one_here_is_refused(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "check_saved_model", lambda folder, *_, **__: report(digest_of(folder), []))
    store = Store.open(tmp_path / "store")
    parent = publish_made_elsewhere(store, Offered(rows, PAGE), "acme/rows")
    page = PAGE.replace("rows/3", "child/1")
    other = _with_parent(rows, f"acme/rows/3@sha256:{'0' * 64}", tmp_path / "other")
    refused = ""
    try:
        publish_made_elsewhere(store, Offered(other, page), "acme/child")
    except NotReusableError as error:
        refused = error.sentence
    assert "Expected the parent 'acme/rows/3'" in refused
    bare = _with_parent(rows, "acme/rows/3", tmp_path / "bare")
    child = publish_made_elsewhere(store, Offered(bare, page), "acme/child")
    assert store.manifest(child.handle).facts.get("parent") == f"acme/rows/3@{parent.digest}"


def test_n6_a_version_without_evidence_is_warned_of_when_it_is_published(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "check_saved_model", lambda folder, *_, **__: report(digest_of(folder), []))
    done = publish_made_elsewhere(Store.open(tmp_path / "store"), Offered(rows, PAGE), "acme/rows")
    for words in ("without evidence", "piecehub store yank acme/rows/3", "piecehub evaluate acme/rows/3"):
        assert words in done.warning
    again = publish_made_elsewhere(Store.open(tmp_path / "store"), Offered(rows, PAGE), "acme/rows")
    assert again.warning == ""
    (tmp_path / "page.md").write_text(PAGE)
    options = ["--name", "acme/rows", "--documentation", str(tmp_path / "page.md"), "--store", str(tmp_path / "other")]
    told = CliRunner().invoke(cli, ["publish", str(rows), *options])
    assert (told.exit_code, told.stdout) == (0, f"acme/rows/3  {done.digest}\n")
    assert told.stderr == f"piecehub: {done.warning}\n"
