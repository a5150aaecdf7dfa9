"""The text recipe: its texts, its model, and a tiny run of it that an unmodified client reads."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from piecehub.errors import DataError, RecipeError
from piecehub.facts.content import list_files

# `setuptools` carries a copy of `distutils`, which is downstream; `dns` is not imported by what writes records.
DATA = {
    "packages": ["click", "dns", "setuptools"],
    "per_package": 250,
    "pool_per_topic": 30,
    "test_per_topic": 10,
    "eval_percent": 10,
    "seed": 0,
}
TINY = (
    f"data.arguments={{{', '.join(f'{key}={json.dumps(value)}' for key, value in DATA.items())}}}",
    "model.arguments={buckets=512, width=16}",
    "train.epochs=2",
    "evaluation.shots=[2]",
    "evaluation.seeds=[0, 1]",
    "evaluation.learning_rates=[0.003]",
    "evaluation.inverse_regularization=[1.0]",
    "evaluation.steps=5",
    "gate.min_gain=-0.5",
    "gate.min_seeds=2",
)
_WRITE = """
import json, sys
from pathlib import Path
from piecehub.training.recipe_modules import load_module
recipe, folder, arguments = sys.argv[1:]
load_module(Path(recipe), "data.py").write(Path(folder), **json.loads(arguments))
assert "dns" not in sys.modules
"""
_EMBED = """
import sys
import numpy as np, tensorflow_hub as hub
embedded = hub.KerasLayer(sys.argv[1])(["a sentence", "A sentence!", ""]).numpy()
assert embedded.shape == (3, 16) and embedded.dtype == np.float32 and np.isfinite(embedded).all()
assert np.array_equal(embedded[0], embedded[1]) and not np.allclose(embedded[0], embedded[2])
"""


@pytest.fixture(scope="module")
def recipe() -> Path:
    from pipelines.recipe.loader import RECIPES

    return RECIPES / "docstrings"


@pytest.fixture(scope="module")
def data(recipe: Path) -> ModuleType:
    from piecehub.training.recipe_modules import load_module

    return load_module(recipe, "data.py")


@pytest.fixture(scope="module")
def model(recipe: Path) -> ModuleType:
    from piecehub.training.recipe_modules import load_module

    return load_module(recipe, "model.py")


@pytest.fixture(scope="module")
def folder(data: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe writes of three packages."""
    written = tmp_path_factory.mktemp("texts")
    data.write(written, **DATA)
    return written


def _split(folder: Path, part: str, split: str, **features: Any) -> dict[str, list[Any]]:
    import tensorflow as tf

    from piecehub.examples.features import Features
    from tests.in_memory import read_split

    spec = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in features.items()}
    return {name: values.tolist() for name, values in read_split(str(folder / part), split, Features(spec)).items()}


@pytest.fixture(scope="module")
def upstream(folder: Path) -> list[str]:
    """All upstream texts."""
    splits = [_split(folder, "upstream", split, first="string", second="string") for split in ("train", "eval")]
    return [text.decode() for split in splits for side in split.values() for text in side]


@pytest.fixture(scope="module")
def downstream(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """Texts and labels of the downstream splits."""
    return {split: _split(folder, "topic", split, text="string", label="int64") for split in ("pool", "test")}


def _phrases(text: str, words: int = 8) -> set[str]:
    """All phrases of so many words."""
    found = re.findall(r"\w+", text.lower())
    return {" ".join(found[i : i + words]) for i in range(len(found) - words + 1)}


def test_no_upstream_text_has_a_phrase_of_a_downstream_one(
    data: ModuleType, upstream: list[str], downstream: dict[str, Any]
) -> None:
    known = {phrase for split in downstream.values() for text in split["text"] for phrase in _phrases(text.decode())}
    assert len(upstream) > 1000
    assert not [text for text in upstream if _phrases(text) & known]
    # Without the filter there are such texts: this copy of distutils is one.
    package = list(data.corpus.documents(data.corpus.installed_package("setuptools")))
    assert [document for document in package if _phrases(document.text) & known]


def test_no_two_downstream_texts_share_a_phrase(downstream: dict[str, Any]) -> None:
    texts = [text.decode() for split in downstream.values() for text in split["text"]]
    phrases = [phrase for text in texts for phrase in _phrases(text)]
    assert len(set(texts)) == len(texts)
    assert len(set(phrases)) == len(phrases)


def test_labels_are_balanced(data: ModuleType, downstream: dict[str, Any]) -> None:
    assert np.bincount(downstream["pool"]["label"]).tolist() == [30] * len(data.TOPICS)
    assert np.bincount(downstream["test"]["label"]).tolist() == [10] * len(data.TOPICS)


def test_texts_are_long_enough_and_name_no_place_of_this_machine(
    upstream: list[str], downstream: dict[str, Any]
) -> None:
    texts = [text.decode() for split in downstream.values() for text in split["text"]]
    assert all(40 <= len(text) <= 2000 for text in texts)
    assert not [text for text in (*texts, *upstream) if sys.prefix in text or sys.base_prefix in text]


def test_another_process_writes_the_same_bytes_and_imports_no_package(
    recipe: Path, folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-P", "-c", _WRITE, str(recipe), str(tmp_path), json.dumps(DATA)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}, check=False)
    assert done.returncode == 0
    assert list_files(tmp_path) == list_files(folder)


def test_a_file_is_on_one_side_of_the_upstream_split(data: ModuleType) -> None:
    names = [f"package/file_{number}.py" for number in range(2000)]
    held_out = [name for name in names if data.is_held_out(name, 10)]
    assert 140 < len(held_out) < 260
    assert held_out == [name for name in held_out if data.is_held_out(name, 10)]
    assert set(held_out) < {name for name in names if data.is_held_out(name, 20)}


def test_docstrings_are_those_that_python_sees(data: ModuleType, tmp_path: Path) -> None:
    source = '''
        """The module, which says more than forty characters of text."""
        import nonsense_that_no_one_has
        class A:
            """The class, \\ud800 which says more than forty characters of text."""
            async def f(self):
                r"""The function,
                     over   two lines, which says more than \\d forty characters."""
            def short(self): "Too short."
        "No docstring, although it is more than forty characters long."
    '''
    found = list(data.corpus.docstrings("\n".join(line[8:] for line in source.splitlines()).encode()))
    assert found == [
        "The module, which says more than forty characters of text.",
        "The class, which says more than forty characters of text.",
        r"The function, over two lines, which says more than \d forty characters.",
    ]
    assert list(data.corpus.docstrings(b"print 'Python 2'")) == []


def test_what_lacks_is_said_in_a_sentence(data: ModuleType) -> None:
    with pytest.raises(DataError, match="'no_such_package' in this environment"):
        data.corpus.installed_package("no_such_package")
    with pytest.raises(DataError, match="source of the standard library's 'no_such_module'"):
        data.corpus.standard_module("no_such_module")
    with pytest.raises(DataError, match="Expected 9 docstrings of the topic 'mail'"):
        list(data.labelled({"mail": [data.Document("text", "mail.py")]}, 0, 9))


def test_the_embedding_is_that_of_a_bag_of_hashed_words(model: ModuleType) -> None:
    import tensorflow as tf

    piece = model.build_embedding(7, 64, 8)
    words, linear = piece.get_layer("words"), piece.get_layer("linear")
    words.importance.assign(np.linspace(-2, 2, 64))
    texts = ["A b_2 ä, c", "C...Ä; a B 2!", "", "?", "c c c"]
    rows = [[int(tf.strings.to_hash_bucket_fast(w, 64)) for w in re.findall(r"[^\W_]+", t.lower())] for t in texts]
    weights = 1 / (1 + np.exp(-words.importance.numpy()))
    means = [np.average(words.vectors.numpy()[r], axis=0, weights=weights[r]) if r else np.zeros(8) for r in rows]
    expected = np.stack(means) @ linear.kernel.numpy() + linear.bias.numpy()
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    found = piece(tf.constant(texts)).numpy()
    assert found == pytest.approx(expected / np.where(length, length, 1), abs=1e-5)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert not np.allclose(found[0], found[4])


def test_the_loss_is_the_cross_entropy_of_finding_the_partner_both_ways(model: ModuleType) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 2, 4)).astype(np.float32)
    similarity = model.SHARPNESS * vectors[:, 0] @ vectors[:, 1].T
    rows = np.log(np.exp(similarity).sum(axis=1)) - np.diag(similarity)
    columns = np.log(np.exp(similarity).sum(axis=0)) - np.diag(similarity)
    assert np.asarray(model.pairing_loss(None, vectors)) == pytest.approx((rows + columns) / 2, abs=1e-4)
    right = similarity.argmax(axis=1) == np.arange(5)
    assert np.asarray(model.pairing_accuracy(None, vectors)).tolist() == right.astype(float).tolist()
    assert 0 < right.sum() < 5


def test_a_recipe_without_a_label_must_say_what_is_learned(recipe: Path) -> None:
    from pipelines.recipe.loader import load_recipe

    config = load_recipe("docstrings").config
    assert (config.data.label, config.task[0].label, config.task[0].schema) == ("", "label", "topic.pbtxt")
    digits = load_recipe("digits").config
    assert (digits.task[0].label, digits.task[0].schema) == ("label", "schema.pbtxt")
    with pytest.raises(RecipeError, match="or none"):
        load_recipe("docstrings", ["train.accuracy="])
    with pytest.raises(RecipeError, match=r"'data\.label' in the recipe"):
        load_recipe("docstrings", ["train.accuracy=", "train.loss="])
    with pytest.raises(RecipeError, match="a label for the task 'topic'"):
        load_recipe("docstrings", ['task=[{name="topic"}]'])


def test_a_loss_that_the_module_lacks_stops_the_run_before_any_training(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from pipelines.preflight import check
    from pipelines.recipe.loader import load_recipe

    with pytest.raises(RecipeError, match="a function 'pairing_lost'"):
        check(load_recipe("docstrings", ["train.loss=pairing_lost"]), tmp_path)


@pytest.mark.long
def test_a_tiny_run_publishes_an_embedding_that_hub_reads(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from piecehub.facts.workdir import Workdir
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    (piece,) = local_runner.run(load_recipe("docstrings", TINY), Workdir(tmp_path)).pieces
    assert piece.handle == "piecehub/docstrings/1", piece.why
    (facts,) = tmp_path.glob("artifacts/docstrings/FullModelTrainer/full_model/*/facts.json")
    evaluation = json.loads(facts.read_text("utf-8"))["evaluation"]
    assert set(evaluation) == {"loss", "accuracy"}
    assert evaluation["accuracy"] > 2 / 128  # of some hundred candidates
    serve = [sys.executable, "-P", "-m", "piecehub.cli", "serve", "--port", "0", "--workdir", str(tmp_path)]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(word for line in server.stderr for word in line.split() if word.startswith("http://"))
            handle = f"{address.rstrip('/.,;')}/piecehub/docstrings/1"
            done = subprocess.run(
                [sys.executable, "-P", "-c", _EMBED, handle], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-3000:]
        finally:
            server.terminate()
