"""Each dynamic check has models that fall short at it and at nothing else, and good models fall short nowhere."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from piecehub.comparing.interface import interface_of
from piecehub.conformance import advice, behaviour, golden_outputs, practice, training
from piecehub.conformance.described import describe
from piecehub.conformance.dynamic import crashed, dynamic_findings
from piecehub.conformance.graph import read_graph
from piecehub.conformance.loaded import Loaded, load
from piecehub.conformance.xla import xla_finding
from piecehub.exporting import reusable
from piecehub.facts.conformance_report import Finding
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.piece_manifest import GOLDEN_FILE
from tests.conformance.broken_models import BROKEN, ROWS, model, of, plain, save
from tests.conformance.good_models import GOOD
from tests.exporting.model_kinds import KINDS

NUMBERS = [f"D{number}" for number in range(1, 36) if number != 19]
# What falls short with it, by its nature.
ALSO = {
    "native text": {"D21"},  # hub.KerasLayer fails at it, which is why it is a fault
    "trainable but not listed": {"D11"},  # nothing uses it
    "trainable but frozen": {"D11"},  # no tape watches it
    "a combination without a trace": {"D6"},  # for twice=True nothing was traced in training
    "no training trace": {"D21"},  # hub.KerasLayer finds none either
    "half of the weights NaN": {"D4"},  # their loss is NaN too
    "dropout on the output": {"D16"},  # nor is its rate told
    "a variable that grows": {"D21"},  # nor can Keras 3 have a variable of open shape
    "float64 inputs": {"D21"},  # hub.KerasLayer casts to float32, which no trace takes
    "loss of rank 2": {"D21"},  # nor can it be added to another loss
    "loss with an argument": {"D21"},  # neither layer can call it
    "random inference": {"D7", "D18", "S13"},  # nothing equals itself
    "at most 32 examples": {"D26", "D35"},  # larger batches are refused there too
}
# Whose steps TensorFlow takes long to differentiate; `.ci/run` runs them too.
_LONG = ("native LSTM", "transformer")


def _short(findings: list[Finding]) -> set[str]:
    return {found.check for found in findings if found.passed is False and found.level != "info"}


def _by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {found.check: found for found in findings}


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_caught_by_its_own_check(name: str, tmp_path: Path) -> None:
    make, check, words = BROKEN[name]
    findings = dynamic_findings(make(tmp_path / "model"))
    assert _short(findings) == {check} | ALSO.get(name, set()), [f for f in findings if f.passed is False]
    sentence = _by_check(findings)[check].sentence
    assert re.search(words, sentence), sentence
    assert sentence.startswith("Expected ") and "Received: " in sentence
    assert set(NUMBERS) <= set(_by_check(findings))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("at most 32 examples", behaviour.examples_independent),
        ("inference that other inputs change", behaviour.inference_pure),
        ("variables inside a loop", training.differentiates_again),
    ],
)
def test_what_only_one_step_of_a_check_sees_is_caught_by_it(name: str, check: Any, tmp_path: Path) -> None:
    make, number, words = BROKEN[name]
    verdict = check(load(make(tmp_path / "model")))
    assert verdict.passed is False and re.search(words, verdict.sentence), (number, verdict.sentence)
    assert check(load(of(plain)(tmp_path / "good"))).passed is True


class _InFunctionsWithoutGradient(Loaded):
    """A piece whose outputs have gradients, but not inside of a tf.function."""

    def train(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def passed_on(outputs: Any) -> Any:
            def backward(upstream: Any) -> Any:
                if not tf.executing_eagerly():
                    raise ValueError("no gradient in a graph")
                return upstream

            return outputs, backward

        return passed_on(super().train(inputs))


def test_a_gradient_that_a_function_cannot_take_again_falls_short(tmp_path: Path) -> None:
    """No SavedModel is known that a persistent tape takes and a function does not, so this one is made of two parts."""
    loaded = load(of(plain)(tmp_path / "model"))
    verdict = training.differentiates_again(_InFunctionsWithoutGradient(loaded.obj, loaded.graph, loaded.folder))
    assert verdict.passed is False
    assert "Received: ValueError in a tf.function, after a gradient outside of it" in verdict.sentence


def test_each_check_of_level_fail_has_a_broken_model() -> None:
    # They need what lies beside a model: their tests stand below, and in tests/transfer/faulty_pieces.py.
    elsewhere = {"D20", "D22", "D31"}
    assert set(NUMBERS) - elsewhere <= {check for _, check, _ in BROKEN.values()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in _LONG else name for name in GOOD]
)
def test_a_good_model_falls_short_nowhere(name: str, tmp_path: Path) -> None:
    findings = dynamic_findings(GOOD[name](tmp_path / "model"))
    assert [found for found in findings if found.passed is False] == []
    assert [found.check for found in findings if found.passed is None and found.level != "info"] == []


def test_the_digits_like_piece_of_the_session_passes_every_check(made: Any) -> None:
    before = content_digest(list_files(made.saved_model))
    findings = _by_check(dynamic_findings(made.saved_model))
    assert [found for found in findings.values() if found.passed is False] == []
    assert findings["D20"].passed is findings["D21"].passed is findings["X3"].passed is True
    assert "0.9" in findings["D14"].sentence  # the momentum that its recipe sets
    assert content_digest(list_files(made.saved_model)) == before


@pytest.mark.parametrize(
    ("name", "check", "hyperparameter"),
    [
        ("momentum 0.9999", advice.momentum_fits, "batch_norm_momentum"),
        ("dropout that nobody tells", advice.dropout_rate_told, "dropout_rate"),
    ],
)
def test_n11_what_consumers_should_set_is_told_with_how_to_let_them(
    name: str, check: Any, hyperparameter: str, tmp_path: Path
) -> None:
    sentence = check(load(BROKEN[name][0](tmp_path / "model"))).sentence
    assert (
        f"let consumers set it: `piecehub.export(…, ExportOptions(hyperparameters=('{hyperparameter}',)))`" in sentence
    )
    assert f"in a recipe `hyperparameters = ['{hyperparameter}']` of its [piece]" in sentence


def test_golden_outputs_that_are_not_recomputed_fall_short(made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.saved_model, folder)
    with np.load(folder / GOLDEN_FILE) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["output"] = arrays["output"] + 0.01
    np.savez(folder / GOLDEN_FILE, **arrays)
    findings = dynamic_findings(folder)
    assert _short(findings) == {"D20"}
    assert "a difference of 0.01" in _by_check(findings)["D20"].sentence


def test_a_strangers_manifest_may_not_choose_any_tolerance(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    reusable.export(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), folder)
    manifest = folder / "assets.extra" / "piecehub.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "golden": {**values["golden"], "tolerance": 1e9}}))
    with np.load(folder / GOLDEN_FILE) as file:
        arrays = {name: file[name] for name in file.files}
    # Half precision may need 0.01, and nothing needs more.
    for shift, passed in ((0.005, True), (0.05, False)):
        np.savez(folder / GOLDEN_FILE, **{**arrays, "output": arrays["output"] + shift})
        assert golden_outputs.outputs_agree(load(folder)).passed is passed


def test_a_vocabulary_that_was_mixed_up_falls_short_at_the_golden_outputs(tmp_path: Path) -> None:
    folder, kind = tmp_path / "model", KINDS["text_vectorization"]
    reusable.export(kind.build(), folder, golden_inputs=kind.inputs())  # synthetic words may be in no vocabulary
    (asset,) = (path for path in (folder / "assets").iterdir())
    asset.write_text("".join(reversed(asset.read_text().splitlines(keepends=True))))
    assert _short(dynamic_findings(folder)) == {"D20"}


def test_a_damaged_manifest_is_a_finding(made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.saved_model, folder)
    (folder / "assets.extra" / "piecehub.json").write_text("{")
    findings = _by_check(dynamic_findings(folder))
    assert findings["D20"].passed is False
    assert "manifest" in findings["D20"].sentence


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:200] + b"?" + raw[201:]])
def test_a6_damaged_golden_outputs_are_a_finding_and_end_no_process(damage: Any, made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.saved_model, folder)
    path = folder / GOLDEN_FILE
    path.write_bytes(damage(path.read_bytes()))
    ended = ""
    try:
        assert _short(dynamic_findings(folder)) == {"D20"}
    except zipfile.BadZipFile as error:
        ended = repr(error)
    assert ended == ""


def test_a_constraint_that_is_lost_is_told_or_warned_of(tmp_path: Path) -> None:
    layer = keras.layers.Dense(3, kernel_constraint="non_neg")
    piece = keras.Sequential([keras.Input((4,)), layer])
    reusable.export(piece, tmp_path / "model")
    warned = _by_check(dynamic_findings(tmp_path / "model"))["X2"]
    assert (warned.level, warned.passed) == ("warn", False)
    assert "constraint" in warned.sentence
    told = "The kernel was constrained to be non-negative."
    assert _by_check(dynamic_findings(tmp_path / "model", told))["X2"].passed is True


def test_c13_nested_outputs_are_one_finding(tmp_path: Path) -> None:
    findings = dynamic_findings(BROKEN["outputs two levels deep"][0](tmp_path / "model"))
    assert [found.check for found in findings if found.passed is False] == ["D33"]
    assert {f.sentence for f in findings if f.passed is None} == {"Could not be made, since D33 fell short."}


def test_c13_training_may_be_traced_as_a_tensor(tmp_path: Path) -> None:
    root = model(_doubled_in_training, traces=())
    root.__call__.get_concrete_function(ROWS, tf.TensorSpec([], tf.bool))
    folder = save(root, tmp_path / "model", lambda inputs: root(inputs, tf.constant(False)))
    findings = dynamic_findings(folder)
    assert _short(findings) == set(), [f for f in findings if f.passed is False]
    assert "training=True and False" in _by_check(findings)["D6"].sentence
    assert describe(folder).hyperparameters == []
    assert {call.training for call in interface_of(read_graph(folder), None).calls} == {True, False}


def _doubled_in_training(root: Any, x: Any, training: Any) -> Any:
    return x @ root.w * tf.where(training, 2.0, 1.0) + 0.0 * root.state


def test_dropout_is_told_by_the_page_too(tmp_path: Path) -> None:
    folder = BROKEN["dropout that nobody tells"][0](tmp_path / "model")
    found = _by_check(dynamic_findings(folder, "It was trained with a dropout rate of 0.3."))["D16"]
    assert found.passed is True


def test_moving_the_seed_at_inference_is_told_and_passes(tmp_path: Path) -> None:
    def forward(root: Any, x: Any, training: bool) -> Any:
        root.seed.assign_add(1)
        return x @ root.w + 0.0 * root.state

    findings = dynamic_findings(of(forward)(tmp_path / "model"))
    assert "integer state" in _by_check(findings)["D8"].sentence
    assert _short(findings) == set()


def test_xla_compiles_numbers_and_no_strings(tmp_path: Path) -> None:
    numbers = xla_finding(of(plain)(tmp_path / "numbers"))
    assert (numbers.check, numbers.level, numbers.passed) == ("D19", "info", True)
    strings = xla_finding(GOOD["native words"](tmp_path / "strings"))
    assert (strings.level, strings.passed) == ("info", False)
    assert "Table" in strings.sentence or "Lookup" in strings.sentence


def test_python_inside_is_gone_in_a_fresh_process(tmp_path: Path) -> None:
    def forward(root: Any, x: Any, training: bool) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda a: a, [x @ root.w], tf.float32), [None, 3])

    of(forward)(tmp_path / "model")
    code = (
        "import sys, pathlib; from piecehub.conformance.dynamic import dynamic_findings\n"
        "print([f.check for f in dynamic_findings(pathlib.Path(sys.argv[1])) if f.passed is False])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], capture_output=True, text=True)
    assert done.stdout == "['D1']\n", done.stderr[-2000:]


def test_a_crash_leaves_every_other_check_unmade() -> None:
    findings = _by_check(crashed("Expected a process that ends well. Received: signal 11; look at its operations."))
    assert findings["D1"].passed is False and "signal 11" in findings["D1"].sentence
    assert {found.passed for check, found in findings.items() if check != "D1"} == {None}
    assert set(NUMBERS) <= set(findings)


# Kinds that strangers' models are of (test_strangers_models.py), each as a small one.


def test_a_step_that_is_small_enough_lowers_a_loss_that_bends_sharply(tmp_path: Path) -> None:
    def handed_on(root: Any, x: Any, training: bool) -> Any:
        """Most of the loss is of what no weight reaches, so the step of a linear model is far too long."""
        return {"inputs": 30.0 * x, "default": 0.001 * (x @ root.w) + 0.0 * root.state}

    verdict = training.step_lowers_loss(load(of(handed_on)(tmp_path / "model")))
    assert verdict.passed is True, verdict.sentence


def test_a_head_on_a_map_sees_the_mean_over_its_places(tmp_path: Path) -> None:
    def on_a_map(scale: float) -> Any:
        def forward(root: Any, x: Any, training: bool) -> Any:
            return tf.tile(tf.reshape(scale * (x @ root.w), [-1, 1, 1, 3]), [1, 60, 60, 1]) + 0.0 * root.state

        return practice.trains_at_common_rates(load(of(forward)(tmp_path / f"{scale}")))

    assert on_a_map(1.0).passed is True, on_a_map(1.0).sentence
    assert on_a_map(3000.0).passed is False


def test_a_signature_that_takes_other_inputs_is_not_compared(tmp_path: Path) -> None:
    root = model(plain)
    rows = {"rows": tf.io.FixedLenFeature([4], tf.float32)}
    folder = save(
        root,
        tmp_path / "model",
        lambda examples: root(tf.io.parse_example(examples, rows)["rows"]),
        tf.TensorSpec([None], tf.string),
    )
    verdict = behaviour.serves_the_same(load(folder))
    assert (verdict.passed, verdict.sentence[:42]) == (None, "'serving_default' takes other inputs than "), verdict


class _Two(tf_keras.Model):
    """Two outputs in a tuple, which tf_keras serves as 'output_1' and 'output_2'."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = tf_keras.layers.Dense(3)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return self.dense(inputs), 2.0 * self.dense(inputs)


@pytest.mark.parametrize("others", [False, True])
def test_outputs_that_a_signature_counts_from_1_are_the_same(others: bool, tmp_path: Path) -> None:
    built = _Two()
    built(np.ones((2, 4), "f4"))
    serve = tf.function(lambda inputs: dict(zip(("output_1", "output_2"), built(inputs), strict=True)))
    other = tf.function(lambda inputs: {"output_1": built(inputs)[0], "output_2": 3.0 * built(inputs)[0]})
    signature = (other if others else serve).get_concrete_function(ROWS)
    built.save(str(tmp_path / "model"), save_format="tf", signatures={"serving_default": signature})
    assert behaviour.serves_the_same(load(tmp_path / "model")).passed is not others
