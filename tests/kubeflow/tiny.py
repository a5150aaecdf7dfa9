"""The tiny run of the pipeline (tests/pipelines/conftest.py) as what a cluster has: its package, and what was made."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from piecehub.facts.workdir import Workdir
from piecehub.store.data import FINGERPRINT, FOLDER, output
from pipelines.data import examples_folder
from pipelines.data_key import parts_of
from pipelines.kubeflow_platform import OnCluster
from pipelines.kubeflow_runner import compile_recipe
from pipelines.recipe.loader import load_recipe
from tests.kubeflow.cluster import Cluster, documents
from tests.kubeflow.driver import Json
from tests.pipelines.world import Finished

IMAGE = "registry.example/piecehub:0.1.0"
_ROOT = "minio://mlpipeline/v2/artifacts/before"


@dataclass(frozen=True)
class Seeded:
    """A cluster that holds what a local run made of some tasks, and the package of its recipe."""

    cluster: Cluster
    package: list[Json]

    @classmethod
    def by(cls, run: Finished, recipe: Path, workdir: Workdir, cluster: Cluster, asks: OnCluster) -> "Seeded":
        """Compiles the recipe, and puts the outputs of the run into the object store and ML Metadata."""
        file = cluster.folder / "package.yaml"
        loaded = load_recipe(str(recipe))
        compile_recipe(loaded, workdir, file, IMAGE, cluster=asks)
        examples = examples_folder(loaded, workdir.data)
        cluster.metadata.values["ExampleWriter"] = {
            output(part, what): told
            for part in parts_of(loaded.config)
            for what, told in ((FOLDER, str(examples / part)), (FINGERPRINT, examples.name))
        }
        package = documents(file)
        asked = package[0]["root"]["inputDefinitions"]["parameters"]
        cluster.metadata.values["SubmissionCheck"] = {name: told["defaultValue"] for name, told in asked.items()}
        for task, event in run.states.items():
            for key, folder in event.outputs.items():
                uri = f"{_ROOT}/{task}/{uuid.uuid4()}/{key}"
                cluster.store.upload(Path(folder), uri)
                cluster.metadata.publish(task, key, uri, _facts(Path(folder)))
        return cls(cluster, package)


def _facts(folder: Path) -> Json:
    """Facts of an artifact that its files tell too; those of TFX's own examples and statistics are the splits."""
    splits = [place.name.removeprefix("Split-") for place in sorted(folder.glob("Split-*"))]
    return {"split_names": json.dumps(splits)} if splits else {}
