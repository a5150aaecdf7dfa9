"""X1, X4 and D22: model pages that keep TensorFlow Hub's form and agree with their model, and pages that do not."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from piecehub.conformance.common_apis import declared_apis_hold
from piecehub.conformance.described import of_specs
from piecehub.conformance.documentation_rules import check_documentation, page_conforms
from piecehub.conformance.dynamic import dynamic_findings
from piecehub.conformance.loaded import load
from piecehub.conformance.verdict import Verdict
from piecehub.facts.conformance_report import Finding
from tests.conformance.broken_models import model, of, plain, save

PAGE = """# Module acme/rows/1

Features of rows.
<!-- asset-path: acme/rows/1/model.tar.gz -->
<!-- fine-tunable: true -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->

## Overview

Rows of four numbers.
"""
IMAGES = tf.TensorSpec([None, 12, 10, 3], tf.float32, name="inputs")
IMAGE_PAGE = PAGE.replace("<!-- format", "<!-- task: image-feature-vector -->\n<!-- format").replace(
    "Rows of four numbers.", "Images of 12 x 10 pixels, RGB in [0, 1]."
)


ENCODER_PAGE = IMAGE_PAGE.replace("image-feature-vector", "text-embedding") + "Its preprocessor is acme/words/1.\n"


def _pooled(root: Any, x: Any, training: bool) -> Any:
    return tf.pad(tf.reduce_mean(x, axis=[1, 2]), [[0, 0], [0, 1]]) @ root.w + 0.0 * root.state


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of(plain)(tmp_path_factory.mktemp("rows") / "model")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of(_pooled, IMAGES)(tmp_path_factory.mktemp("images") / "model")


def _x4(text: str, folder: Path) -> Finding:
    return next(found for found in check_documentation(text, folder) if found.check == "X4")


def _d22(text: str, folder: Path) -> Verdict:
    return declared_apis_hold(load(folder, text))


def test_a_page_of_a_tabular_model_needs_no_task(rows: Path) -> None:
    found = _x4(PAGE, rows)
    assert found.passed is True, found.sentence
    assert "no task" in found.sentence


def test_a_page_of_an_image_model_conforms(images: Path) -> None:
    assert _x4(IMAGE_PAGE, images).passed is True, _x4(IMAGE_PAGE, images).sentence


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# Module acme/rows/1", "# Module acme/rows/1 ", "first line"),
        ("# Module acme/rows/1", "# Module Acme/rows/1", "first line"),
        ("# Module acme/rows/1", "# Module acme/rows", "first line"),
        ("Features of rows.\n", "\n", "a description"),
        ("<!-- asset-path: acme/rows/1/model.tar.gz -->\n", "", "no asset-path"),
        ("model.tar.gz", "model.zip", "a value of 'asset-path'"),
        ("fine-tunable: true", "fine-tunable: yes", "a value of 'fine-tunable'"),
        ("<!-- format", "<!-- fine-tunable: false -->\n<!-- format", "'fine-tunable' once"),
        ("format: saved_model_2", "format: keras", "a value of 'format'"),
        ("license: apache-2.0", "license: wtfpl", "a value of 'license'"),
        ("license: apache-2.0", "dataset: my-own-rows", "a value of 'dataset'"),
        ("license: apache-2.0", "task: tabular-classification", "a value of 'task'"),
        ("license: apache-2.0", "interactive-model-name: vision", "'interactive-model-name'"),
        ("license: apache-2.0", "colab: https://example.com/x", "a value of 'colab'"),
        ("<!-- license: apache-2.0 -->", "Some text.", "only metadata"),
    ],
)  # fmt: skip
def test_a_page_that_breaks_a_rule_falls_short(old: str, new: str, words: str, rows: Path) -> None:
    assert old in PAGE
    found = _x4(PAGE.replace(old, new), rows)
    assert found.passed is False and found.level == "fail"
    assert words in found.sentence


@pytest.mark.parametrize(
    ("spec", "domain"),
    [(tf.TensorSpec([None], tf.string), "text"), (tf.RaggedTensorSpec([None, None], tf.string, 1), "")],
)
def test_texts_need_a_task_and_their_words_none(spec: Any, domain: str) -> None:
    described = of_specs([spec], [], 1)
    assert described.domain == domain
    found = page_conforms(PAGE.replace("of rows", "of words"), described)
    assert found.passed is not bool(domain), found.sentence


def test_a_page_of_an_image_model_needs_a_task_and_the_size(images: Path) -> None:
    assert "no task" in _x4(PAGE, images).sentence
    assert "nothing about 12 pixels" in _x4(IMAGE_PAGE.replace("12 x 10", "small"), images).sentence


def test_a_page_may_not_call_fine_tunable_what_is_not(tmp_path: Path) -> None:
    root = model(plain, trainable_variables=[], regularization_losses=[])
    folder = save(root, tmp_path / "model")
    assert "no variable is trainable" in _x4(PAGE, folder).sentence
    honest = PAGE.replace("fine-tunable: true", "fine-tunable: false")
    assert _x4(honest, folder).passed is True
    findings = {found.check: found for found in dynamic_findings(folder, honest)}
    assert findings["D3"].passed is True
    assert [found for found in findings.values() if found.passed is False] == []


def test_a_page_tells_every_hyperparameter(tmp_path: Path) -> None:
    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False, scale: Any = 1.0) -> Any:
            return inputs @ self.w * scale

    root: Any = Root()
    root.w = tf.Variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    for training in (False, True):
        spec = tf.TensorSpec([None, 4], tf.float32)
        root.__call__.get_concrete_function(spec, training=training)
        root.__call__.get_concrete_function(spec, training=training, scale=tf.TensorSpec([], tf.float32))
    tf.saved_model.save(root, str(tmp_path / "model"))
    assert "nothing about 'scale'" in _x4(PAGE, tmp_path / "model").sentence
    assert _x4(PAGE + "\n`scale` (default 1.0) multiplies.\n", tmp_path / "model").passed is True


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ({"weight_decay": 0.004}, "trained with a weight decay of 0.004"),
        ({"use_ema": True}, "the weights are exponential moving averages"),
        ({"l1_regularization_strength": 0.1}, "Ftrl with L1 of 0.1"),
        ({"l2_regularization_strength": 0.1}, "Ftrl with L2 of 0.1"),
        ({"l2_shrinkage_regularization_strength": 0.1}, "an L2 shrinkage of 0.1"),
    ],
)
def test_a_page_that_is_silent_about_the_optimizer_falls_short(
    optimizer: dict[str, Any], told: str, rows: Path
) -> None:
    (silent, _), (honest, _) = (check_documentation(text, rows, optimizer) for text in (PAGE, PAGE + told))
    assert (silent.check, silent.level, silent.passed) == ("X1", "fail", False)
    assert next(iter(optimizer)) in silent.sentence
    assert honest.passed is True


def test_an_optimizer_that_regularizes_nothing_needs_no_word(rows: Path) -> None:
    assert check_documentation(PAGE, rows, {"weight_decay": None, "use_ema": False})[0].passed is True
    unknown = check_documentation(PAGE, rows)[0]
    assert (unknown.level, unknown.passed) == ("info", None)


def test_a_declared_common_api_is_held(images: Path) -> None:
    assert _d22(IMAGE_PAGE, images).passed is True, _d22(IMAGE_PAGE, images).sentence
    assert "[0, 1]" in _d22(IMAGE_PAGE.replace(" in [0, 1]", ""), images).sentence


def test_a_declared_common_api_that_is_not_held_falls_short(rows: Path, images: Path) -> None:
    for text, folder, words in (
        (IMAGE_PAGE, rows, "images as float32"),
        (IMAGE_PAGE.replace("image-feature-vector", "text-embedding"), images, "texts as string"),
        (IMAGE_PAGE.replace("image-feature-vector", "text-preprocessing"), images, "texts as string"),
    ):
        found = _d22(text, folder)
        assert found.passed is False
        assert words in found.sentence


def test_no_declared_common_api_is_no_fault(rows: Path) -> None:
    found = next(found for found in dynamic_findings(rows, PAGE) if found.check == "D22")
    assert (found.level, found.passed) == ("info", None)


def test_an_encoder_of_preprocessed_text_names_its_embedding_default(tmp_path: Path) -> None:
    specs = {name: tf.TensorSpec([None, 6], tf.int32, name=name) for name in ("input_mask", "input_word_ids")}
    page = ENCODER_PAGE

    def forward(key: str) -> Any:
        def call(root: Any, inputs: Any, training: bool) -> Any:
            tokens = tf.one_hot(inputs["input_word_ids"] + inputs["input_mask"], 4) @ root.w + 0.0 * root.state
            return {key: tf.reduce_mean(tokens, axis=1), "sequence_output": tokens}

        return call

    for key in ("default", "embedding"):
        root = model(forward(key), specs)
        tf.saved_model.save(root, str(tmp_path / key))
    assert _d22(page, tmp_path / "default").passed is True, _d22(page, tmp_path / "default").sentence
    assert "'default'" in _d22(page, tmp_path / "embedding").sentence
    without = _d22(page.replace("preprocessor", "companion"), tmp_path / "default")
    assert "names the encoder's preprocessor. Received: nothing" in without.sentence


def test_an_encoder_gives_a_sequence_as_long_as_its_inputs(tmp_path: Path) -> None:
    specs = {"input_word_ids": tf.TensorSpec([None, 6], tf.int32, name="input_word_ids")}

    def forward(root: Any, inputs: Any, training: bool) -> Any:
        tokens = tf.one_hot(inputs["input_word_ids"], 4) @ root.w + 0.0 * root.state
        return {"default": tf.reduce_mean(tokens, axis=1), "sequence_output": tf.transpose(tokens, [0, 2, 1])}

    tf.saved_model.save(model(forward, specs), str(tmp_path / "model"))
    assert (
        "'sequence_output' as long as the inputs. Received: float32 (5, 3, 6)"
        in _d22(ENCODER_PAGE, tmp_path / "model").sentence
    )


def test_features_do_not_grow_with_the_image(tmp_path: Path) -> None:
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, name="inputs")

    def flat(root: Any, x: Any, training: bool) -> Any:
        return tf.reshape(tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1]]) @ root.w, [tf.shape(x)[0], -1]) + 0.0 * root.state

    tf.saved_model.save(model(flat, spec), str(tmp_path / "flat"))
    tf.saved_model.save(model(_pooled, spec), str(tmp_path / "pooled"))
    assert "3072 for 32 pixels and 192 for 8 pixels" in _d22(IMAGE_PAGE, tmp_path / "flat").sentence
    assert _d22(IMAGE_PAGE, tmp_path / "pooled").passed is True


def test_a_classification_page_says_what_its_classes_are(images: Path) -> None:
    page = IMAGE_PAGE.replace("image-feature-vector", "image-classification")
    assert "what the classes are. Received: nothing" in _d22(page, images).sentence
    assert _d22(page + "The classes are cat, dog and bird, in this order.\n", images).passed is True


def test_a_preprocessor_is_the_same_in_training_and_has_its_steps(tmp_path: Path) -> None:
    spec = tf.TensorSpec([None], tf.string, name="inputs")
    page = IMAGE_PAGE.replace("image-feature-vector", "text-preprocessing")

    def forward(changes: bool) -> Any:
        def call(root: Any, texts: Any, training: bool) -> Any:
            ids = tf.strings.length(texts)[:, tf.newaxis]
            return {"input_word_ids": ids + 1 if training and changes else ids}

        return call

    def step(dtype: tf.DType) -> Any:
        def tokenize(texts: Any) -> Any:
            return tf.cast(tf.strings.unicode_decode(texts, "UTF-8"), dtype)

        return tf.function(tokenize, input_signature=[spec])

    def saved(name: str, *, changes: bool = False, **steps: Any) -> str:
        root = model(forward(changes), spec, trainable_variables=[], regularization_losses=[], **steps)
        tf.saved_model.save(root, str(tmp_path / name))
        return _d22(page, tmp_path / name).sentence

    pack = tf.function(lambda texts: texts, input_signature=[spec])
    assert "'training' has no effect" in saved("changes", changes=True)
    assert "no tokenize and no bert_pack_inputs" in saved("bare")
    assert "Received: no bert_pack_inputs" in saved("half", tokenize=step(tf.int32))
    assert "int32 ragged" in saved("wide", tokenize=step(tf.int64), bert_pack_inputs=pack)
    assert "are those of text-preprocessing" in saved("good", tokenize=step(tf.int32), bert_pack_inputs=pack)
