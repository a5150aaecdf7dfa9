"""The pipeline of a recipe by TFX's own `LocalDagRunner`: what `bench_run` holds `piecehub run` beside.

python -m benchmarks.run_peer WORKDIR [KEY=VALUE …]
"""

import sys
from pathlib import Path

from tfx import v1 as tfx

from piecehub.facts.workdir import Workdir
from pipelines.compiled import RUNNER
from pipelines.data import examples_folder
from pipelines.piece_journey import Places
from pipelines.pipeline import create_pipeline
from pipelines.recipe.loader import load_recipe


def _main(folder: str, settings: list[str]) -> None:
    loaded, workdir = load_recipe("digits", settings), Workdir(Path(folder).resolve())
    workdir.root.mkdir(parents=True, exist_ok=True)
    places = Places(
        pipeline_root=str(workdir.artifacts),
        examples=str(examples_folder(loaded, workdir.data)),
        store=workdir.store_place,
        trials=str(workdir.trials),
        training=str(workdir.training),
    )
    metadata = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(workdir.metadata))
    pipeline = create_pipeline(loaded, places, metadata, [f"--runner={RUNNER}"])
    tfx.orchestration.LocalDagRunner().run(pipeline)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
