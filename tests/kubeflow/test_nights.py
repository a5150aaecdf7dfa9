"""Three nights: a package runs again and again, and what did not change comes from the cache.

Of a recipe that reads the newest span of records in a bucket, and of one whose `data.py` writes and that starts from a
parent. Each comes to its second version.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from piecehub.conformance.sandbox import missing
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine, yank
from piecehub.store.publish import publish
from piecehub.training.recipe_modules import load_module
from pipelines.recipe.loader import RECIPES, load_recipe
from tests.kubeflow.cluster import Cluster, Ran, documents
from tests.kubeflow.driver import Json
from tests.kubeflow.pods import Node
from tests.pipelines.world import CHILD
from tests.s3_server import BUCKET, running_s3, told_to, upload

IMAGE = "registry.example/piecehub:0.1.0"
# What a night is about is what runs: whatever comes out is good enough.
SETTINGS = (
    "train.epochs=2",
    "evaluation.shots=[5]",
    "evaluation.seeds=[0, 1]",
    "evaluation.learning_rates=[0.003]",
    "evaluation.steps=10",
    "evaluation.sensitivity_batch_sizes=[32]",
    "gate.min_gain=-1.0",
    "gate.non_inferiority_margin=1.0",
    "gate.min_seeds=2",
)
JUDGE = {"IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
CHECK = "SubmissionCheck"
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(missing()), reason=f"needs bubblewrap: {missing()}")]


@dataclass(frozen=True)
class Place:
    """A volume with a working folder, a recipe in the image, a cluster, and a bucket where there is an endpoint."""

    root: Path
    endpoint: str = ""

    @property
    def work(self) -> Workdir:
        return Workdir(self.root / "work")

    @property
    def recipe(self) -> Path:
        return self.root / "recipe"

    def cluster(self) -> Cluster:
        told = {name: value.encode() for name, value in told_to(self.endpoint).items()} if self.endpoint else {}
        claims = {"work": self.work.root}
        node = Node(image=[self.recipe], claims=claims, secrets={"data": told}, has_network=bool(self.endpoint))
        return Cluster(self.root / "cluster", node)

    def package(self, *settings: str) -> list[Json]:
        command = [sys.executable, "-P", "-m", "piecehub.cli", "kubeflow", "compile", str(self.recipe)]
        command += ["--image", IMAGE, "--workdir", str(self.work.root), "--volume", "work"]
        command += ["--data-secret", f"data:{','.join(told_to(self.endpoint))}"] if self.endpoint else []
        command += [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
        subprocess.run([*command, "-o", str(self.root / "package.yaml")], check=True)
        return documents(self.root / "package.yaml")

    def published(self) -> list[str]:
        return sorted(str(manifest.handle) for manifest in Store.open(self.work.store).models())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "recipe" / "child.py").write_text(CHILD)
    return Place(tmp_path)


def _write_span(place: Place, span: int, dealt_by: int) -> None:
    """The digits' records into the bucket, upstream dealt by a number: equal numbers give equal files."""
    write = load_module(place.recipe, "data.py").write
    settings = load_recipe(place.recipe).config.data.arguments
    with tempfile.TemporaryDirectory() as scratch:
        dealt, plain = Path(scratch, "dealt"), Path(scratch, "plain")
        write(dealt, **settings | {"seed": dealt_by})
        write(plain, **settings)
        for part, folder in (("upstream", dealt), ("digits-5-9", plain)):
            upload(place.endpoint, folder / part, f"views/{span}/{part}")


def _outcome(ran: Ran) -> Json:
    assert ran.failed == "", ran.logs()
    return json.loads((ran.output("HubPusher", "pushed_model") / "outcome.json").read_text(encoding="utf-8"))


def _nothing_new(ran: Ran) -> None:
    assert _outcome(ran)["why"] == "The same content was published before."
    assert ran.pods["HubPusher"][0].last_line.startswith("Nothing new. The same content was published before.")


def test_nights_of_a_recipe_that_reads_the_newest_span(place: Place) -> None:
    own = (f'data.folder="s3://{BUCKET}/views/{{SPAN}}"', 'data.module=""', "data.arguments={}")
    with running_s3() as endpoint:
        place = replace(place, endpoint=endpoint)
        _write_span(place, 1, dealt_by=1)
        cluster, package = place.cluster(), place.package(*own)
        first = cluster.run(package)
        assert _outcome(first)["handle"] == "piecehub/digits/1"

        # The same data, and a span of copies: only what sees data or store runs, and nothing is published.
        for span in ("1", "2"):
            again = cluster.run(package)
            _nothing_new(again)
            assert again.pods.keys() == {"DataListing", *JUDGE}
            assert cluster.metadata.values["DataListing"]["span"] == span
            _write_span(place, 2, dealt_by=1)
        assert place.published() == ["piecehub/digits/1"]

        # An edit of the gate: beside what always runs only the recipe's text is looked at.
        edited = cluster.run(place.package(*own, "gate.min_gain=-0.9"))
        _nothing_new(edited)
        assert edited.pods.keys() == {"DataListing", *JUDGE, CHECK}

        # A new span, of the package of the first night: a new version, and the task's examples are what they were.
        _write_span(place, 3, dealt_by=2)
        third = cluster.run(package)
        assert _outcome(third)["handle"] == "piecehub/digits/2"
        assert third.from_cache == {"ImportSchemaGen", CHECK, "DownstreamExamples", "DownstreamAnomalies"}

        # The first span, asked for: what was made of it is still known.
        ingested = {"UpstreamExamples", "UpstreamAnomalies", "FullModelTrainer"}
        back = cluster.run(package, {"span": "1"}, only={CHECK, "DataListing", *ingested})
        assert (back.pods.keys(), back.from_cache) == ({CHECK, "DataListing"}, ingested)


def _publish_parent(place: Place) -> str:
    """A piece of 8 x 8 pictures that nobody trained, as a version of the store."""
    script = (
        "import sys, keras, piecehub; images = keras.Input((8, 8, 1), name='image');"
        "x = keras.layers.Conv2D(8, 3, activation='relu', name='convolution')(images);"
        "piecehub.export(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-P", "-c", script, str(place.root / "parent")], check=True)
    store = Store.create(place.work.store)
    return str(publish(store, place.root / "parent", "acme", "views", blobs={}, facts={}).handle)


def test_nights_of_a_recipe_with_a_parent_whose_data_py_writes(place: Place) -> None:
    child = ("model.module=child.py", "model.function=build_child", f"model.parent={_publish_parent(place)}")
    cut = ("piece.layer=on_top",)
    cluster, package = place.cluster(), place.package(*child, *cut)
    first = cluster.run(package)
    assert _outcome(first)["handle"] == "piecehub/digits/1"

    always = {"ExampleWriter", "ParentLookup", *JUDGE}
    second = cluster.run(package)
    _nothing_new(second)
    assert second.pods.keys() == always
    edited = cluster.run(place.package(*child, *cut, "gate.min_gain=-0.9"))
    _nothing_new(edited)
    assert edited.pods.keys() == {*always, CHECK}

    # Other arguments of data.py, given to one run: a second version from the same parent.
    second_version = cluster.run(package, {"data_eval_fraction": 0.25})
    assert _outcome(second_version)["handle"] == "piecehub/digits/2"
    kept = {"ImportSchemaGen", "ParentResolver", "DownstreamExamples", "DownstreamAnomalies"}
    assert second_version.from_cache == kept
    _nothing_new(cluster.run(package, {"data_eval_fraction": 0.25}))

    # Yanked, it is still served to those who name it; quarantined, to nobody.
    store = Store.open(place.work.store)
    yank(store, Handle("acme", "views", 1), by="anna", why="There is a better one.")
    yanked = cluster.run(package, only={"ParentLookup"})
    assert "acme/views/1, yanked on" in yanked.pods["ParentLookup"][0].log
    quarantine(store, Handle("acme", "views", 1), by="anna", why="It runs code of others.")
    refused = cluster.run(package)
    assert refused.failed == "ParentLookup"
    assert refused.pods["ParentLookup"][-1].last_line.endswith("It runs code of others.")
    assert "ParentResolver" not in refused.asked
    assert place.published() == ["piecehub/digits/1", "piecehub/digits/2"]
