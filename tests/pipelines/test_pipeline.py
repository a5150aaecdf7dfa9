"""The pipeline as TFX compiles it: what reads what."""

from pathlib import Path

import pytest

pytest.importorskip("tfx")

from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from pipelines.config import load_recipe
from pipelines.pipeline import Places, create_pipeline


def _nodes(tmp_path: Path, *settings: str) -> dict[str, set[str]]:
    """The components that each component waits for."""
    places = Places(*(str(tmp_path / name) for name in ("root", "examples", "store", "trials")))
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    ir = Compiler().compile(create_pipeline(load_recipe("digits", settings), places, connection))
    return {n.pipeline_node.node_info.id: set(n.pipeline_node.upstream_nodes) for n in ir.nodes}


def test_anomalies_stop_the_training_and_the_gate_sees_all_evidence(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path)
    assert "UpstreamAnomalies" in upstream["FullModelTrainer"]
    assert "DownstreamAnomalies" in upstream["FineTuneEvaluator"]
    assert upstream["PublishGate"] == {"FineTuneEvaluator", "ReusabilityValidator", "IncumbentResolver"}
    assert "IncumbentResolver" not in upstream["FineTuneEvaluator"]


def test_every_downstream_task_has_an_evaluator_of_its_own(tmp_path: Path) -> None:
    upstream = _nodes(tmp_path, 'task=[{name="digits-5-9"}, {name="letters"}]')
    assert {"FineTuneEvaluatorDigits59", "FineTuneEvaluatorLetters"} <= upstream["PublishGate"]
    assert "DownstreamLettersAnomalies" in upstream["FineTuneEvaluatorLetters"]
