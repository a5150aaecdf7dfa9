"""`piecehub export` and `piecehub page`: from a saved Keras model to a page that can be published."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from piecehub.cli.main import cli
from piecehub.conformance import common_apis, documentation_terms
from piecehub.conformance.page import parse
from piecehub.errors import NotReusableError, PieceError, PiecehubError, RecipeError
from piecehub.publishing import exported as exported_models
from tests.command_line import piecehub

OWN = """
import keras

@keras.saving.register_keras_serializable("flowers")
class Scaled(keras.layers.Layer):
    def __init__(self, by=2.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, inputs):
        return self.by * inputs

    def get_config(self):
        return {**super().get_config(), "by": self.by}

class Tower(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scaled, self.dense = Scaled(), keras.layers.Dense(3, kernel_regularizer="l2")

    def call(self, inputs):
        return self.dense(self.scaled(inputs))
"""


def _classifier() -> keras.Model:
    images = keras.Input((12, 10, 3), name="image")
    x = keras.layers.Conv2D(4, 3, kernel_regularizer="l2")(images)
    x = keras.layers.GlobalAveragePooling2D(name="features")(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Dense(5, name="logits")(keras.layers.Dropout(0.2)(x)), name="flowers")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of images that was compiled and fitted, as `.keras` and `.h5`."""
    folder = tmp_path_factory.mktemp("saved")
    model = _classifier()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.random.default_rng(0).random((8, 12, 10, 3), np.float32), np.arange(8) % 5, verbose=0)
    model.save(folder / "flowers.keras")
    model.save(folder / "flowers.h5")
    return folder


@pytest.fixture(scope="module")
def exported(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of the exported features, and the command that made it."""
    folder = tmp_path_factory.mktemp("exported") / "flowers"
    return folder, piecehub("export", str(saved / "flowers.keras"), "--layer", "features", "-o", str(folder))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `_run` exports is made here, where TensorFlow is loaded already."""
    monkeypatch.setattr(exported_models, "run_fresh", lambda _, arguments: exported_models.export_here(**arguments))


def _run(*words: str | Path) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=True)


def _refused(result: Result, kind: type[PiecehubError]) -> str:
    assert isinstance(result.exception, kind), (result.exception, result.output)
    return result.exception.sentence


def test_export_writes_a_piece_and_says_what_it_is_and_what_comes_next(exported: tuple[Path, Any], saved: Path) -> None:
    folder, done = exported
    assert done.returncode == 0, done.stderr
    for words in (
        f"{folder}  sha256:",
        "input                  float32 [batch, 12, 10, 3]",
        "output                 float32 [batch, 4]",
        "variables              6, of which 4 can be trained",
        "parameters             128",
        "regularization losses  1",
    ):
        assert words in done.stdout
    assert "next:\n" in done.stderr
    for command in (f"check {folder}", f"page {folder}", f"publish {folder}"):
        assert f"piecehub {command}" in done.stderr
    images = np.random.default_rng(1).random((3, 12, 10, 3), np.float32)
    model: Any = keras.models.load_model(saved / "flowers.keras")
    expected = keras.Model(model.input, model.get_layer("features").output)(images)
    np.testing.assert_allclose(tf.saved_model.load(str(folder))(images), expected, atol=1e-6)


def test_a_legacy_h5_file_is_exported_whole(saved: Path, tmp_path: Path) -> None:
    done = _run("export", saved / "flowers.h5", "-o", tmp_path / "flowers", "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert (told["output"]["shape"], told["parameters"], len(told["variables"])) == ([None, 5], 153, 9)


def test_a_misspelt_layer_is_answered_with_the_one_that_was_meant(saved: Path, tmp_path: Path) -> None:
    done = _run("export", saved / "flowers.keras", "--layer", "featurs", "-o", tmp_path / "flowers")
    said = _refused(done, PieceError)
    assert "did you mean 'features'?" in said and "image, conv2d" in said
    assert list(tmp_path.iterdir()) == []


def test_python_in_a_model_is_run_only_if_it_is_trusted(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Lambda(lambda x: 2 * x)(inputs))).save(tmp_path / "l.keras")
    said = _refused(_run("export", tmp_path / "l.keras", "-o", tmp_path / "piece"), NotReusableError)
    assert "pass --trust if you trust who made it" in said
    assert not (tmp_path / "piece").exists()
    done = _run("export", tmp_path / "l.keras", "-o", tmp_path / "piece", "--trust")
    assert done.exit_code == 0, done.exception


def test_classes_of_its_own_come_by_code(tmp_path: Path) -> None:
    (tmp_path / "tower.py").write_text(OWN)
    program = "import numpy, tower; m = tower.Tower(); m(numpy.ones((2, 4), 'float32')); m.save('tower.keras')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    said = _refused(_run("export", tmp_path / "tower.keras", "-o", tmp_path / "piece"), NotReusableError)
    assert "--code" in said and "Tower" in said
    done = _run("export", tmp_path / "tower.keras", "--code", tmp_path / "tower.py", "-o", tmp_path / "piece")
    assert done.exit_code == 0, done.exception
    assert "regularization losses  1" in done.stdout
    said = _refused(_run("export", "x.keras", "--code", tmp_path / "none.py", "-o", tmp_path / "b"), RecipeError)
    assert "Expected a Python file" in said


def test_a_folder_that_holds_something_is_left_alone(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    said = _refused(_run("export", saved / "flowers.keras", "-o", tmp_path), RecipeError)
    assert "Expected a new or empty folder" in said
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_frozen_layers_are_told_with_the_option_that_settles_it(tmp_path: Path) -> None:
    model = _classifier()
    for layer in model.layers[:3]:
        layer.trainable = False
    model.save(tmp_path / "frozen.keras")
    said = _refused(_run("export", tmp_path / "frozen.keras", "-o", tmp_path / "piece"), NotReusableError)
    assert "`--frozen unfreeze`" in said
    done = _run("export", tmp_path / "frozen.keras", "--frozen", "unfreeze", "-o", tmp_path / "piece")
    assert "of which 6 can be trained" in done.stdout


def test_what_a_model_takes_can_be_told(tmp_path: Path) -> None:
    assert "Expected JSON for --inputs" in _refused(
        _run("export", "m.keras", "-o", tmp_path / "piece", "--inputs", "{"), RecipeError
    )
    assert "shape" in _refused(_run("export", "m.keras", "-o", tmp_path / "piece", "--inputs", "[3]"), RecipeError)


def test_what_is_no_keras_model_is_named(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).export(tmp_path / "served", verbose=False)
    said = _refused(_run("export", tmp_path / "served", "-o", tmp_path / "piece"), NotReusableError)
    assert "without 'keras_metadata.pb'" in said and "export the .keras file" in said
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 60)
    said = _refused(_run("export", tmp_path / "model.tflite", "-o", tmp_path / "piece"), RecipeError)
    assert "TensorFlow Lite" in said
    assert "does not exist" in _refused(_run("export", tmp_path / "no.keras", "-o", tmp_path / "piece"), RecipeError)
    assert not (tmp_path / "piece").exists()


def test_a_saved_model_of_keras_2_is_exported_where_it_is_trusted(tmp_path: Path) -> None:
    import tf_keras

    inputs = tf_keras.Input((4,))
    features = tf_keras.layers.Dense(3, name="features")(inputs)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(features))
    model.save(str(tmp_path / "old"), save_format="tf")
    said = _refused(_run("export", tmp_path / "old", "-o", tmp_path / "piece"), RecipeError)
    assert "Expected --trust" in said
    done = _run("export", tmp_path / "old", "--trust", "--layer", "features", "-o", tmp_path / "piece")
    assert done.exit_code == 0, done.exception
    assert "float32 [batch, 3]" in done.stdout
    said = _refused(_run("export", tmp_path / "old", "--trust", "--layer", "feature", "-o", tmp_path / "b"), PieceError)
    assert "did you mean 'features'?" in said


def test_hdf5_of_keras_2_is_named_by_what_keras_does_not_read_in_it(tmp_path: Path) -> None:
    import tf_keras

    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, 2.0 * tf_keras.layers.Dense(3)(inputs))
    model.save(str(tmp_path / "old.h5"))
    model.save_weights(str(tmp_path / "old weights.h5"))
    said = _refused(_run("export", tmp_path / "old.h5", "-o", tmp_path / "piece"), NotReusableError)
    assert "Keras 2 saved it, with operations that Keras 3 does not know; pass --trust" in said
    said = _refused(_run("export", tmp_path / "old weights.h5", "-o", tmp_path / "piece"), NotReusableError)
    assert "weights without a model; build the model" in said
    done = _run("export", tmp_path / "old.h5", "--trust", "-o", tmp_path / "piece")
    assert done.exit_code == 0, done.exception


def test_commands_that_come_next_can_be_called_as_they_stand(saved: Path, tmp_path: Path) -> None:
    done = _run("export", saved / "flowers.keras", "-o", tmp_path / "my piece")
    assert f"piecehub check '{tmp_path}/my piece'" in done.output
    assert f"piecehub publish '{tmp_path}/my piece' --name" in done.output
    said = _refused(_run("export", tmp_path / "my piece", "-o", tmp_path / "again"), RecipeError)
    assert f"`piecehub page '{tmp_path}/my piece'`" in said


def test_a_layer_that_keras_does_not_know_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("Scaled", "Unheard"))
    program = (
        "import keras, own; keras.Sequential([keras.Input((4,)), own.Unheard(), keras.layers.Dense(2)]).save('o.keras')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    said = _refused(_run("export", tmp_path / "o.keras", "-o", tmp_path / "piece"), NotReusableError)
    assert "Received: it holds class 'Unheard', which Keras does not know; name the Python file" in said


def test_a_page_is_begun_with_what_is_known_and_questions_for_the_rest(exported: tuple[Path, Any]) -> None:
    folder, _ = exported
    done = piecehub("page", str(folder), "--name", "acme/flowers", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    page = parse(done.stdout)
    assert page.faults == ()
    assert page.metadata["asset-path"] == ["acme/flowers/1/model.tar.gz"]
    assert page.metadata["fine-tunable"] == ["false"]
    assert "128 parameters. Input: `float32 [batch, 12, 10, 3]`. Output: `float32 [batch, 4]`." in page.text
    assert "Variables that it trains: 4; weight regularizers that come with it: 1." in page.text
    assert 'hub.load("<store>/acme/flowers/1")' in page.text
    asked = [line for line in done.stdout.splitlines() if "TODO" in line]
    assert len(asked) == 6 and f"{len(asked)} questions" in done.stderr
    assert not (folder.parent / ".piecehub").exists()


def test_n7_the_values_that_a_page_may_have_are_listed_from_what_checks_them() -> None:
    done = piecehub("page", "--values", "task")
    listed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert set(listed) == documentation_terms.TASKS
    assert set(documentation_terms.DEMANDS) == set(common_apis._APIS)
    assert listed["image-feature-vector"] == documentation_terms.DEMANDS["image-feature-vector"]
    assert "did you mean 'license'?" in piecehub("page", "--values", "licence").stderr
    shown = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text(encoding="utf-8")
    for task, demand in documentation_terms.DEMANDS.items():
        assert f"| `{task}` | {demand} |" in shown


def test_a_page_of_a_model_that_can_only_serve_is_refused_in_one_sentence_with_what_it_lacks(tmp_path: Path) -> None:
    module = tf.Module()
    serve = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path / "serving"), signatures=serve)
    sentence = _refused(_run("page", tmp_path / "serving", "--name", "acme/doubler"), NotReusableError)
    assert sentence.count("Expected ") == 1 and "signatures only" in sentence and "serving" in sentence
