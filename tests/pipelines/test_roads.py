"""The roads of TensorFlow Hub's guide through the whole pipeline: several pieces, a core, and a piece of a piece.

All runs are of one recipe in one working folder, so its examples and their statistics are made once.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.facts import piece_manifest, runs
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import Workdir
from piecehub.lineage import published as lineages
from piecehub.store.archive import unpack
from piecehub.store.catalog import Store
from tests.pipelines.world import CHILD, CORE, TINY, TWO_PIECES, Finished, write_foreign_repository

# As little of everything as there can be: what is published is looked at, not how good it is.
QUICK = (
    *TINY,
    "train.epochs=2",
    "evaluation.seeds=[0, 1]",
    "evaluation.steps=20",
    "gate.min_seeds=2",
    "gate.min_gain=-1.0",
    "gate.non_inferiority_margin=1.0",
    "recipe.publisher=acme",
)
pytestmark = pytest.mark.long
Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workdir]:
    """The recipe, with models for the other roads beside its own, and the working folder."""
    pytest.importorskip("tfx")
    root = tmp_path_factory.mktemp("roads")
    recipe = write_foreign_repository(root / "repository")
    (recipe / "core.py").write_text(CORE)
    (recipe / "child.py").write_text(CHILD)
    return recipe, Workdir(root / "work")


@pytest.fixture(scope="module")
def run(places: tuple[Path, Workdir]) -> Run:
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    recipe, workdir = places

    def finish(*settings: str) -> Finished:
        with contextlib.chdir(recipe.parent):
            outcome = local_runner.run(load_recipe(str(recipe), [*QUICK, *settings]), workdir)
        record = runs.read_run(workdir, outcome.run)
        assert record is not None
        return Finished(outcome.pieces, outcome.run, runs.node_states(record, runs.read_events(workdir, outcome.run)))

    return finish


@pytest.fixture(scope="module")
def two(run: Run) -> Finished:
    """One training with two pieces."""
    return run(TWO_PIECES)


def _published(workdir: Workdir, handle: str, folder: Path) -> Path:
    store = Store.open(workdir.store)
    unpack(store.blob_path(store.manifest(Handle.parse(handle)).archive.digest), folder)
    return folder


def _loaded(saved_model: Path) -> Any:
    import tensorflow_hub as hub

    return hub.load(str(saved_model))


def test_g9_one_training_publishes_two_artifacts(two: Finished, places: tuple[Path, Workdir], tmp_path: Path) -> None:
    workdir = places[1]
    assert [piece.handle for piece in two.pieces] == ["acme/digits/logits/1", "acme/digits/features/1"]
    assert [node for node in two.states if node.startswith("FullModelTrainer")] == ["FullModelTrainer"]
    logits, features = (_loaded(_published(workdir, p.handle, tmp_path / str(i))) for i, p in enumerate(two.pieces))
    images = np.random.default_rng(0).uniform(0, 16, (3, 8, 8, 1)).astype(np.float32)
    whole, cut = logits(images, training=False), features(images, training=False)
    assert (whole.shape, cut.shape) == ((3, 40), (3, 64))
    # The whole model is the cut one and its last layer: they come from the same training.
    kernel, bias = (v for v in logits.variables if v.shape[-1:] == (40,) or v.shape == (40,))
    np.testing.assert_allclose(cut.numpy() @ kernel.numpy() + bias.numpy(), whole.numpy(), atol=1e-4)


def test_what_a_piece_of_several_says_of_its_export_is_in_its_own_artifact_only(
    two: Finished, places: tuple[Path, Workdir], tmp_path: Path
) -> None:
    folders = [_published(places[1], piece.handle, tmp_path / str(i)) for i, piece in enumerate(two.pieces)]
    logits, features = map(piece_manifest.read, folders)
    assert logits is not None and features is not None
    assert (dict(logits.hyperparameters), dict(logits.sub_pieces)) == ({}, {})
    assert features.hyperparameters == {"batch_norm_momentum": pytest.approx(0.9)}
    assert features.sub_pieces == {"first": "convolution_1"}
    store = Store.open(places[1].store)
    pages = []
    for piece in two.pieces:
        blob = store.manifest(Handle.parse(piece.handle)).blob("documentation.md")
        assert blob is not None
        pages.append(store.blob_path(blob.digest).read_text("utf-8"))
    assert "All classes of the digits in views." in pages[0]
    assert "`batch_norm_momentum`" in pages[1] and "`first` (its layer `convolution_1`)" in pages[1]
    assert pages[1].startswith("# Module acme/digits/features/1\n")


def test_each_of_several_pieces_has_a_lineage_of_its_own_from_one_training(
    two: Finished, places: tuple[Path, Workdir]
) -> None:
    store, found = Store.open(places[1].store), []
    for piece in two.pieces:
        manifest = store.manifest(Handle.parse(piece.handle))
        published = lineages.of_manifest(store, manifest)
        recorded = lineages.from_ml_metadata(places[1].metadata, manifest.digest, piece.handle)
        assert lineages.agree(published, recorded) == []
        found.append(published)
    trained = [[s for s in lineage.steps if s.component == "FullModelTrainer"] for lineage in found]
    assert trained[0] == trained[1] and len(trained[0]) == 1
    roads = [{s.parameters["road"] for s in one.steps if s.component == "PieceExtractor"} for one in found]
    assert roads == [{"whole"}, {"cut"}]
    assert not any(lineage.parents for lineage in found)


def test_the_page_of_a_run_and_its_summary_show_every_piece(two: Finished, places: tuple[Path, Workdir]) -> None:
    from piecehub.ui.run_pages import run_page
    from pipelines.outcome import Outcome
    from pipelines.summary import text

    page = run_page(places[1], two.run)
    assert page is not None
    assert {c.id for c in page.components} == set(two.states)
    assert {"HubPusherDigitsLogits", "HubPusherDigitsFeatures"} <= set(two.states)
    assert {box.id for box in page.layout.boxes} == set(two.states)
    said = text(Outcome(two.run, two.pieces), places[1], "http://store")
    assert all(f"published {piece.handle}" in said for piece in two.pieces)
    assert said.count("digits-5-9: accuracy") == 2


def test_g8_the_core_of_a_subclassed_pretrainer_is_exported_from_a_checkpoint(
    run: Run, two: Finished, places: tuple[Path, Workdir]
) -> None:
    from piecehub.facts.conformance_report import ConformanceReport
    from piecehub.training.building import build_models
    from piecehub.training.recipe_modules import get_function, load_module

    recipe, _ = places
    build = get_function(load_module(recipe, "core.py"), "build_core")
    features = {"shape": [None, 8, 8, 1], "dtype": "float32"}
    pretrainer = build_models(build, {"classes": 40}, 7, features).full
    pretrainer.save_weights(recipe / "pretrained.weights.h5")
    finished = run(
        "model.module=core.py",
        "model.function=build_core",
        "model.checkpoint=pretrained.weights.h5",
        "train.epochs=0",
        'piece={name="core", road="core", features="pooled"}',
    )
    assert finished.ran() & {"UpstreamExamples", "DownstreamExamples"} == set()
    assert ConformanceReport.read(Path(finished.states["ReusabilityValidator"].outputs["conformance"])).conforms
    # Whether random weights are published is the gate's affair; they are exported all the same.
    core = _loaded(Path(finished.states["ReusableExporter"].outputs["reusable_model"]) / "saved_model")
    images = np.random.default_rng(0).uniform(0, 16, (3, 8, 8, 1)).astype(np.float32)
    outputs = core({"image": images}, training=False)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"map": (3, 6, 6, 8), "pooled": (3, 8)}
    expected = pretrainer.core({"image": images})
    np.testing.assert_allclose(outputs["pooled"].numpy(), expected["pooled"].numpy(), atol=1e-6)


def test_a_published_piece_is_fine_tuned_and_published_as_another_that_names_it(
    run: Run, two: Finished, places: tuple[Path, Workdir], tmp_path: Path
) -> None:
    workdir = places[1]
    parent = two.pieces[1].handle
    finished = run(
        "model.module=child.py",
        "model.function=build_child",
        f"model.parent={parent}",
        'piece={name="child", layer="on_top"}',
    )
    assert finished.handle == "acme/child/1", finished.why
    store = Store.open(workdir.store)
    manifest, parent_digest = store.manifest(Handle.parse(finished.handle)), store.manifest(Handle.parse(parent)).digest
    published = lineages.of_manifest(store, manifest)
    assert published.parents == (lineages.Parent(parent, parent_digest),)
    assert f"fine-tuned from {parent}  {parent_digest}" in lineages.text(published)
    assert lineages.agree(published, lineages.from_ml_metadata(workdir.metadata, manifest.digest)) == []
    assert manifest.facts["parent"] == f"{parent}@{parent_digest}"
    saved_model = _published(workdir, finished.handle, tmp_path / "child")
    described = piece_manifest.read(saved_model)
    assert described is not None and described.parent == f"{parent}@{parent_digest}"
    child, original = _loaded(saved_model), _loaded(_published(workdir, parent, tmp_path / "parent"))
    assert len(child.variables) == len(original.variables) + 2
    shared = [v.shape for v in original.trainable_variables]
    moved = [v for v in child.trainable_variables if v.shape in shared]
    assert len(moved) == len(shared)
    pairs = zip(moved, original.trainable_variables, strict=True)
    assert not any(np.array_equal(one.numpy(), other.numpy()) for one, other in pairs)
    blob = manifest.blob("documentation.md")
    assert blob is not None
    page = store.blob_path(blob.digest).read_text("utf-8")
    assert f"Gain of fine-tuning over its parent {parent}" in page
    assert "from scratch" not in page


def test_a_parent_that_the_store_lacks_stops_the_run_before_any_training(run: Run) -> None:
    from piecehub.errors import StoreError

    with pytest.raises(StoreError, match="acme/nobody/7"):
        run("model.module=child.py", "model.function=build_child", "model.parent=acme/nobody/7")


def test_a_dict_of_outputs_needs_the_one_that_downstream_models_read(run: Run) -> None:
    from piecehub.errors import RecipeError

    with pytest.raises(RecipeError, match=r"'piece.features'.*features, half\. Received: ''"):
        run('piece={layer=["half", "features"]}')
    with pytest.raises(RecipeError, match="nothing, as there is one"):
        run("piece.features=pooled")
