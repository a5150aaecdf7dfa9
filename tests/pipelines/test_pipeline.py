"""The pipeline as TFX compiles it: what reads what."""

from pathlib import Path

import pytest

pytest.importorskip("tfx")

from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.types.channel import Channel

from pipelines.piece_journey import Places, export_options
from pipelines.pipeline import create_pipeline
from pipelines.recipe.loader import load_recipe
from pipelines.recipe.node_ids import never_cached


def _nodes(tmp_path: Path, *settings: str) -> dict[str, set[str]]:
    """The components that each component waits for."""
    places = Places(*(str(tmp_path / name) for name in ("root", "examples", "store", "trials", "training")))
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    ir = Compiler().compile(create_pipeline(load_recipe("digits", settings), places, connection))
    return {n.pipeline_node.node_info.id: set(n.pipeline_node.upstream_nodes) for n in ir.nodes}


def test_anomalies_stop_the_training_and_the_gate_sees_all_evidence(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path)
    assert "UpstreamAnomalies" in upstream["FullModelTrainer"]
    assert "DownstreamAnomalies" in upstream["FineTuneEvaluator"]
    assert upstream["PublishGate"] == {
        *("FineTuneEvaluator", "FullModelTrainer", "ReusabilityValidator", "IncumbentResolver"),
    }
    assert "IncumbentResolver" not in upstream["FineTuneEvaluator"]


def test_every_downstream_task_has_an_evaluator_of_its_own(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path, 'task=[{name="digits-5-9"}, {name="letters"}]')
    assert {"FineTuneEvaluatorDigits59", "FineTuneEvaluatorLetters"} <= upstream["PublishGate"]
    assert "DownstreamLettersAnomalies" in upstream["FineTuneEvaluatorLetters"]


@pytest.mark.parametrize(
    "settings", [(), ('task=[{name="digits-5-9", schema="./schema.pbtxt"}, {name="letters", schema="schema.pbtxt"}]',)]
)
def test_c2_no_component_reads_one_output_under_two_names(tmp_path: Path, settings: tuple[str, ...]) -> None:
    places = Places(*(str(tmp_path / name) for name in ("root", "examples", "store", "trials", "training")))
    read = 0
    for node in create_pipeline(load_recipe("digits", settings), places).components:
        channels = [(c.producer_component_id, c.output_key) for c in node.inputs.values() if isinstance(c, Channel)]
        assert len(set(channels)) == len(channels), node.id
        read += len(channels)
    assert read > 20


TWO_PIECES = 'piece=[{name="a/whole", road="whole"}, {name="features", layer="features"}]'
TWO_TASKS = 'task=[{name="digits-5-9"}, {name="letters", pieces=["features"]}]'
OF_A_PIECE = {
    "PieceExtractor", "ReusableExporter", "ReusabilityValidator", "IncumbentResolver", "PublishGate",
    "DocumentationWriter", "HubPusher",
}  # fmt: skip


def test_every_piece_takes_a_way_of_its_own_after_one_training(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path, TWO_PIECES)
    assert upstream.keys() >= {f"{node}{piece}" for node in OF_A_PIECE for piece in ("AWhole", "Features")}
    assert len([node for node in upstream if node.startswith("FullModelTrainer")]) == 1
    assert len([node for node in upstream if node.startswith("DownstreamExamples")]) == 1
    assert "FineTuneEvaluatorFeatures" in upstream["PublishGateFeatures"]
    assert not {node for node in upstream["HubPusherFeatures"] if node.endswith("AWhole")}
    assert set(never_cached(load_recipe("digits", [TWO_PIECES]).config)) == {
        f"{node}{piece}" for node in ("IncumbentResolver", "HubPusher") for piece in ("AWhole", "Features")
    }


def test_a_piece_is_evaluated_on_its_own_tasks_only(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path, TWO_PIECES, TWO_TASKS)
    assert "FineTuneEvaluatorFeaturesLetters" in upstream
    assert "FineTuneEvaluatorAWholeDigits59" in upstream
    assert "FineTuneEvaluatorAWholeLetters" not in upstream


def test_what_a_recipe_says_about_the_export_reaches_the_exporter() -> None:
    config = load_recipe("digits", ['piece.trainable=["*/kernel"]', "piece.return_losses=true"]).config
    options = export_options(config.piece[0], "piecehub/digits/1@sha256:0")
    assert options["trainable"] == ("*/kernel",)
    assert (options["return_losses"], options["parent"]) == (True, "piecehub/digits/1@sha256:0")
    assert not options.keys() & {"name", "road", "layer", "features", "description"}
