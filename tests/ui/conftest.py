"""A working folder made by hand: runs in every state, and a published model with evidence, report, page and chain."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from piecehub.facts import provenance, runs
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.provenance import Input
from piecehub.facts.runs import Event, Node, Run
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.ui.app import create_app

# What the local runner makes of the shipped recipe.
UPSTREAM = {
    "UpstreamExamples": [],
    "ImportSchemaGen": [],
    "UpstreamStatistics": ["UpstreamExamples"],
    "UpstreamAnomalies": ["ImportSchemaGen", "UpstreamStatistics"],
    "FullModelTrainer": ["UpstreamExamples", "ImportSchemaGen", "UpstreamAnomalies"],
    "PieceExtractor": ["FullModelTrainer"],
    "ReusableExporter": ["PieceExtractor"],
    "ReusabilityValidator": ["ReusableExporter"],
    "DownstreamExamples": [],
    "DownstreamStatistics": ["DownstreamExamples"],
    "DownstreamAnomalies": ["ImportSchemaGen", "DownstreamStatistics"],
    "FineTuneEvaluator": [
        *("ReusableExporter", "PieceExtractor", "DownstreamExamples", "ImportSchemaGen", "DownstreamAnomalies")
    ],
    "IncumbentResolver": [],
    "PublishGate": ["FineTuneEvaluator", "ReusabilityValidator", "IncumbentResolver"],
    "DocumentationWriter": [
        *("FullModelTrainer", "PieceExtractor", "ReusableExporter", "ReusabilityValidator", "FineTuneEvaluator"),
        *("PublishGate", "IncumbentResolver"),
    ],
    "HubPusher": [
        *("ReusableExporter", "ReusabilityValidator", "FineTuneEvaluator", "PublishGate", "IncumbentResolver"),
        "DocumentationWriter",
    ],
}
PARAMETERS = {
    "epochs": 12,
    "learning_rate": 0.002,
    "protocol": json.dumps({"shots": [5, 10, 25], "seeds": [0, 1, 2, 3, 4]}),
    "access_token": "hidden-value",
    "code_digest": "sha256:" + "c0de" * 16 + "+sha256:" + "beef" * 16,
    "lock_digest": "sha256:" + "10cc" * 16,
}
DOCUMENTATION = """# Module piecehub/digits/1

A convolutional feature extractor for 8x8 grey images of handwritten digits.

<!-- asset-path: piecehub/digits/1/model.tar.gz -->
<!-- task: image-feature-vector -->
<!-- fine-tunable: true -->

## Overview

Classifying small grey images of handwritten signs from few labelled examples.

| mode | 5 examples a class | 25 examples a class |
|---|---|---|
| fine-tuning | 91.2 % | 97.0 % |
"""


def chain(model_digest):
    """Trainer -> exporter -> evaluator -> gate."""

    def make(component, output, digest, inputs, **parameters):
        return provenance.make(component, output, digest, inputs, parameters, PARAMETERS["code_digest"], "sha256:10cc")

    train, pool = {"train": "sha256:" + "a1" * 32, "eval": "sha256:" + "a2" * 32}, {"pool": "sha256:" + "b1" * 32}
    model = make("ReusableExporter", "reusable_model", model_digest, {"examples": [Input("Examples", "x", train)]})
    read = Input("components.ReusableSavedModel", model_digest, None, model)
    inputs = {"reusable_model": [read], "examples": [Input("Examples", "y", pool)]}
    evidence = make("FineTuneEvaluator", "evidence", "sha256:" + "e1" * 32, inputs, task="digits-5-9", seeds=5)
    told = Input("components.Evidence", evidence.statement["digest"], None, evidence)
    return make("PublishGate", "blessing", "sha256:" + "f1" * 32, {"evidence": [told]}, min_gain=0.0)


def cells():
    accuracy = {
        "fine_tuning": (0.912, 0.951, 0.970),
        "feature_extraction": (0.901, 0.934, 0.952),
        "from_scratch": (0.842, 0.921, 0.961),
    }
    return [
        {"mode": mode, "shots": shots, "mean": mean, "low": mean - 0.02, "high": mean + 0.015}
        for mode, means in accuracy.items()
        for shots, mean in zip((5, 10, 25), means, strict=True)
    ]


EVIDENCE = {
    "task": "digits-5-9",
    "cells": cells(),
    "contrasts": [
        {
            "shots": "curve",
            "candidate": "fine_tuning",
            "reference": "from_scratch",
            "estimate": 0.0324,
            "low": 0.0181,
            "high": 0.0462,
            "examples": 360,
            "seeds": 5,
        }
    ],
}
PLOT = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 120"><path d="M20 100 150 40 280 20" fill="none" \
stroke="#2450b8"/></svg>'
DONE = {
    node: ("cached" if node.startswith(("Up", "Down", "Import")) else "done", 0.3 + 1.7 * (n % 5), "")
    for n, node in enumerate(UPSTREAM)
}
FAILED = {
    **{node: DONE[node] for node in list(UPSTREAM)[:7]},
    "ReusabilityValidator": ("failed", 0.6, "Expected regularization losses. Received: none; export with losses."),
    **dict.fromkeys(list(UPSTREAM)[8:], ("not run", 0.0, "")),
}


class Site:
    """A working folder, and the hands that fill it."""

    upstream, done, failed, evidence, parameters = UPSTREAM, DONE, FAILED, EVIDENCE, PARAMETERS

    def __init__(self, workdir: Workdir):
        self.workdir = workdir

    def write_run(self, run, upstream=UPSTREAM, states=None, end=None, pipeline="digits", results=()):
        """A run of `upstream`: the components of `states` in that state, each taking some seconds after the last."""
        nodes = tuple(Node(key, tuple(value), dict(PARAMETERS)) for key, value in upstream.items())
        started = "2026-11-24T01:44:00.000+00:00"
        runs.write_run(self.workdir, Run(run, pipeline, "pipelines/recipes/digits", started, os.getpid(), nodes))
        second = 0
        for node, (state, seconds, message) in (states or {}).items():
            second = min(second + round(seconds), 59)
            at = f"2026-11-24T01:44:{second:02}.500+00:00"
            outputs = {"evidence": str(self.workdir.artifacts / "digits" / node)} if state in ("done", "cached") else {}
            runs.append_event(self.workdir, run, Event(at, node, state, seconds, message, outputs))
        if end:
            runs.append_event(self.workdir, run, Event("2026-11-24T01:45:10.000+00:00", "", end, results=results))

    def kill(self, run, after_s=70):
        """A run gives no sign of life any more since so many seconds after its start."""
        at = datetime.fromisoformat("2026-11-24T01:44:00+00:00").timestamp() + after_s
        for path in (self.workdir.runs / run / "run.json", *(self.workdir.logs / run).glob("*")):
            os.utime(path, (at, at))

    def publish(self, name="digits", documentation=DOCUMENTATION, evidence=None, content=b"graph", facts=None, **blobs):
        """Publishes a SavedModel of one file, with everything that a push publishes beside it."""
        folder = self.workdir.root / "source" / name
        model = folder / "saved_model"
        model.mkdir(parents=True, exist_ok=True)
        (model / "saved_model.pb").write_bytes(content)
        findings = [Finding(f"S{n}", "It has `__call__`.", "fail", True, "Seen.") for n in range(1, 18)]
        findings.append(Finding("D9", "It is fast.", "warn", False, "Expected 1 s. Received: 2 s; make it smaller."))
        everything = {
            "documentation.md": documentation.encode(),
            "conformance.json": report(content_digest(list_files(model)), findings).to_json().encode(),
            "provenance.json": chain(content_digest(list_files(folder))).to_json().encode(),
            "evidence/digits-5-9/evidence.json": json.dumps(evidence or EVIDENCE).encode(),
            "evidence/digits-5-9/accuracy.svg": PLOT,
            **blobs,
        }
        return publish(Store.create(self.workdir.store), model, "piecehub", name, blobs=everything, facts=facts or {})

    def write_log(self, run, node, text):
        folder = self.workdir.logs / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{node}.log").write_text(text, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Workdir(tmp_path / "work"))


@pytest.fixture
def client(site: Site) -> TestClient:
    return TestClient(create_app(site.workdir), base_url="http://127.0.0.1:8470", raise_server_exceptions=False)


@pytest.fixture
def browser(client: TestClient) -> TestClient:
    """A client that asks for pages."""
    client.headers["Accept"] = "text/html,*/*;q=0.8"
    return client


@pytest.fixture
def upstream() -> dict[str, list[str]]:
    """The components of the shipped recipe, each with those that it follows."""
    return dict(UPSTREAM)
