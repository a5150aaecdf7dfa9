"""What a run says where there is nothing to do: what became of the last one. Light, as its neighbours."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.signing.keys import public_key_of
from pipelines.outcome import Outcome, outcome_of
from pipelines.planning.stamp import last_run
from pipelines.recipe.node_ids import pipeline_name
from pipelines.recipe.tables import LoadedRecipe

NOTHING_TO_DO = "Nothing to do: recipe, code, lock, data and store are as the last run left them."


def repeated(loaded: LoadedRecipe, workdir: Workdir) -> Outcome:
    """The outcome of the last run, which ended well, as that of another one in which nothing changed."""
    last = last_run(workdir, pipeline_name(loaded.config))
    record = runs.read_run(workdir, last.run) if last else None
    assert record  # or there would be something to do
    return replace(outcome_of(workdir, record, loaded.config), is_repeated=True)


def repeated_end(outcome: Outcome, workdir: Workdir) -> dict[str, Any]:
    """The event that tells a program of it, as the end of that run."""
    results = tuple(runs.Result(p.name, p.pushed, p.handle, p.why) for p in outcome.pieces)
    event = runs.Event(runs.now(), "", "done", message=NOTHING_TO_DO, results=results)
    return json.loads(runs.line_of(workdir, outcome.run, event))


def signer(key: Path | None) -> str:
    """The fingerprint of the public half of a private key; empty without one.

    Raises:
        PiecehubError: if it is none.
    """
    return public_key_of(key).fingerprint if key else ""
