"""Small packages, as `piecehub kubeflow compile` writes them, for tests of what is done with a package."""

from pathlib import Path

import yaml

_PARAMETERS = {
    "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3},
    "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.1},
    "title": {"parameterType": "STRING", "defaultValue": "a piece"},
}


def write_package(file: Path, *, name: str = "digits", image: str = "registry.example/piecehub:0.1.0-1") -> Path:
    """Writes a package of two tasks, which has parameters and uses a secret."""
    spec = {
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.21.0",
        "pipelineInfo": {"name": name},
        "root": {
            "inputDefinitions": {"parameters": _PARAMETERS},
            "dag": {"tasks": {task: {"componentRef": {"name": f"comp-{task}"}} for task in ("Train", "HubPusher")}},
        },
        "components": {f"comp-{task}": {"executorLabel": f"exec-{task}"} for task in ("Train", "HubPusher")},
        "deploymentSpec": {
            "executors": {f"exec-{task}": {"container": {"image": image}} for task in ("Train", "HubPusher")}
        },
    }
    secret = {"secretName": "store", "keyToEnv": [{"secretKey": "KEY", "envVar": "KEY"}]}
    platform = {"kubernetes": {"deploymentSpec": {"executors": {"exec-HubPusher": {"secretAsEnv": [secret]}}}}}
    file.write_text(yaml.safe_dump_all([spec, {"platforms": platform}]), encoding="utf-8")
    return file
