"""An encoder is published with its preprocessor: both, or none; and lineage and statement link them."""

import base64
import json
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from piecehub.conformance.consumers import both_layers_train_alike
from piecehub.conformance.loaded import load
from piecehub.errors import PiecehubError, StoreError
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.reusable import export, export_preprocessor
from piecehub.facts.conformance_report import report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.lineage import published as lineages
from piecehub.publishing import offered
from piecehub.publishing.offered import publish
from piecehub.signing.keys import new_key
from piecehub.store.catalog import Store
from tests.command_line import piecehub
from tests.conformance.broken_models import model

PAGE = """# Module {handle}

{says}
<!-- asset-path: {handle}/model.tar.gz -->
{task}<!-- fine-tunable: false -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->

## Overview

{overview}
"""
TOKENS = PAGE.format(
    handle="acme/tokens/1",
    says="Tokens of texts.",
    task="<!-- task: text-preprocessing -->\n",
    overview="Texts as string.",
)
ENCODER = PAGE.format(
    handle="acme/encoder/1",
    says="Embeddings of texts.",
    task="<!-- task: text-embedding -->\n",
    overview="Its preprocessor is `acme/tokens/1`.",
)

pytestmark = pytest.mark.usefixtures("glances_here")


def _tokens(length: int) -> Any:
    texts = keras.Input((), dtype="string", name="texts")
    layer = keras.layers.TextVectorization(output_sequence_length=length, vocabulary=["one", "two"])
    return keras.Model(texts, {"token_ids": keras.layers.Identity()(layer(keras.ops.expand_dims(texts, -1)))})


def _encoder() -> Any:
    ids = keras.Input((6,), dtype="int64", name="token_ids")
    embedded = keras.layers.Embedding(4, 3)(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(embedded)
    return keras.Model({"token_ids": ids}, {"default": keras.layers.Dense(3)(pooled)})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    export_preprocessor(_tokens(6), folder / "tokens")
    export_preprocessor(_tokens(5), folder / "shorter")
    export(_encoder(), folder / "encoder", ExportOptions(preprocessor="acme/tokens/1"))
    (folder / "tokens.md").write_text(TOKENS)
    (folder / "encoder.md").write_text(ENCODER)
    return folder


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        offered, "check_saved_model", lambda folder, *_, **__: report(content_digest(list_files(folder)), [])
    )


def _publish(models: Path, store: Path, pre: str = "tokens", **more: Any) -> str:
    pair = None if pre == "" else (models / pre, models / "tokens.md")
    try:
        done = publish(
            models / "encoder",
            "acme/encoder",
            documentation=models / "encoder.md",
            preprocessor=pair,
            store=store,
            trust=True,
            workdir=store.parent / "work",
            **more,
        )
    except PiecehubError as error:
        return error.sentence
    return str(done.handle)


def test_both_are_published_and_linked(models: Path, tmp_path: Path, unchecked: None) -> None:
    new_key(tmp_path / "key")
    assert _publish(models, tmp_path / "store", signing_key=tmp_path / "key") == "acme/encoder/1"
    store = Store.open(tmp_path / "store")
    tokens, encoder = (store.manifest(Handle.parse(f"acme/{name}/1")) for name in ("tokens", "encoder"))
    assert encoder.facts["preprocessor"] == f"acme/tokens/1@{tokens.digest}"
    assert f"inputs made by acme/tokens/1  {tokens.digest}" in lineages.text(lineages.of_manifest(store, encoder))
    signed = json.loads(store.read_blob(encoder.blob("provenance.dsse.json").digest))
    statement = json.loads(base64.b64decode(signed["payload"]))
    digest = {"piecehubContent": tokens.digest.removeprefix("sha256:")}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependencies == [{"name": "preprocessor/acme/tokens/1", "digest": digest}]
    assert lineages.of_published(store, "acme/tokens/1").lacks


def test_an_encoder_whose_preprocessor_the_store_has_not_is_refused(
    models: Path, tmp_path: Path, unchecked: None
) -> None:
    said = _publish(models, tmp_path / "store", "")
    assert "encoder.md:12: Expected the preprocessor 'acme/tokens/1' in the store" in said
    assert "--with-preprocessor" in said
    assert not (tmp_path / "store").exists()


def test_a_preprocessor_that_gives_something_else_is_refused(models: Path, tmp_path: Path, unchecked: None) -> None:
    said = _publish(models, tmp_path / "store", "shorter")
    assert "Expected 'acme/tokens/1' to give 'token_ids' as int64 [None, 6]. Received: int64 [None, 5]" in said
    assert not (tmp_path / "store").exists()


def test_where_the_encoder_cannot_be_written_neither_is_visible(
    models: Path, tmp_path: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = offered.publish_version

    def fails(store: Any, folder: Path, publisher: str, name: str, **more: Any) -> Any:
        if name == "encoder":
            raise StoreError("Expected room. Received: none.")
        return real(store, folder, publisher, name, **more)

    monkeypatch.setattr(offered, "publish_version", fails)
    assert _publish(models, tmp_path / "store") == "Expected room. Received: none."
    assert Store.open(tmp_path / "store").models() == []
    monkeypatch.setattr(offered, "publish_version", real)
    assert _publish(models, tmp_path / "store") == "acme/encoder/1"
    assert len(Store.open(tmp_path / "store").models()) == 2


def test_d21_holds_a_preprocessor_to_the_same_outputs_in_both_layers(models: Path, tmp_path: Path) -> None:
    """There is nothing to train in it, and no float to make a loss of."""
    found = both_layers_train_alike(load(models / "tokens", TOKENS))
    assert (found.passed, found.sentence) == (
        True,
        "Both layers give the same; no output is a float, and nothing is trained.",
    )
    spec = tf.TensorSpec([None], tf.string, name="inputs")

    def by_chance(root: Any, texts: Any, training: bool) -> Any:
        # The time, for random numbers are those of a seed where somebody set one.
        now = tf.cast(tf.math.floormod(1e6 * tf.timestamp(), 2.0**30), tf.int32)
        return tf.fill([8], now) + 0 * tf.cast(root.state, tf.int32)

    root = model(by_chance, spec, trainable_variables=[], regularization_losses=[])
    tf.saved_model.save(root, str(tmp_path / "chance"))
    found = both_layers_train_alike(load(tmp_path / "chance", TOKENS))
    assert (found.passed, "the same outputs in both layers" in found.sentence) == (False, True)


@pytest.mark.long
def test_both_pass_their_checks_by_one_command(models: Path, tmp_path: Path) -> None:
    words = ["--name", "acme/encoder", "--documentation", str(models / "encoder.md"), "--trust"]
    pair = ["--with-preprocessor", str(models / "tokens"), str(models / "tokens.md")]
    done = piecehub("publish", str(models / "encoder"), *words, *pair, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = piecehub("models", cwd=tmp_path).stdout
    assert "acme/tokens/1" in listed and "acme/encoder/1" in listed
    assert "inputs made by acme/tokens/1" in piecehub("lineage", "acme/encoder/1", cwd=tmp_path).stdout
