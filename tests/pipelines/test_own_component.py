"""A component of somebody's own, as docs/workdir.md has it, in a run: its page shows what its `preview.json` says."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from piecehub.facts.plan import MadeOf, Plan
from piecehub.facts.workdir import Workdir
from piecehub.ui.app import create_app
from tests.docs.blocks import ROOT, blocks

pytestmark = pytest.mark.long


def _run(pipeline: Any, workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a pipeline that is no recipe's, as the runner on this machine runs those; returns the run's id."""
    from tfx.dsl.compiler import compiler

    from pipelines import local_runner
    from pipelines.outcome import Outcome
    from pipelines.planning.noted import Noted
    from pipelines.recipe.loader import load_recipe

    monkeypatch.setattr(local_runner, "outcome_of", lambda _, record, __: Outcome(record.run, ()))
    monkeypatch.setattr(local_runner, "note_end", lambda *_: None)
    made_of = MadeOf(parameters={}, lock="", files={}, schemas={}, piecehub={}, data={})
    began = Noted(Plan("own", "own", "2026-11-30T06:00:00+00:00", "", (), (), (), made_of), {}, {})
    means = local_runner._means(None, (), "", -1, workdir)
    with local_runner._alone(workdir):
        ir = compiler.Compiler().compile(pipeline)
        return local_runner._run_ir(ir, began, load_recipe("digits", []), workdir, means).run


def test_a_component_of_somebodys_own_is_shown_as_its_preview_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfx: Any = pytest.importorskip("tfx.v1")
    [block] = [block for block in blocks(ROOT / "docs" / "workdir.md") if block.kind == "python"]
    (tmp_path / "word_counter.py").write_text(block.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    counter: Any = importlib.import_module("word_counter").WordCounter
    workdir = Workdir(tmp_path / "work")
    metadata = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(workdir.metadata))
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="own",
        pipeline_root=str(workdir.artifacts),
        components=[counter(text="the cat <b> the")],
        metadata_connection_config=metadata,
    )
    run = _run(pipeline, workdir, monkeypatch)
    pages = TestClient(create_app(workdir), base_url="http://127.0.0.1")
    at = f"/runs/{run}/outputs/WordCounter/words"
    assert f'<a href="{at}">words</a>' in pages.get(f"/runs/{run}", headers={"Accept": "text/html"}).text
    shown = pages.get(at, headers={"Accept": "text/html"}).text
    assert '<th scope="row">the</th><td>2</td>' in shown and "&lt;b&gt;" in shown and "<b>" not in shown
    [preview] = pages.get(f"/api/v1{at}").json()["previews"]
    assert (preview["title"], preview["rows"][0]) == ("Words", ["the", "2"])
