"""A task as Kubeflow's launcher starts it, without Kubeflow."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Task:
    """Arguments of a container, and where its output and its output file go; `/s3` is a folder of this machine."""

    root: Path
    argv: tuple[str, ...]

    @property
    def output(self) -> Path:
        return self.root / "s3" / "bucket" / "task" / "out"

    @property
    def told(self) -> dict:
        return json.loads((self.root / "out.json").read_text())

    def run(
        self, *more: str, start: tuple[str, ...] = ("-m", "piecehub.containers.entrypoint")
    ) -> subprocess.CompletedProcess[str]:
        (self.root / "sitecustomize.py").write_text(
            "from piecehub.containers import executor_input\n"
            f"executor_input._LOCAL_ROOTS = {{'s3://': '{self.root}/s3/'}}\n"
        )
        environment = {**os.environ, "PYTHONPATH": f"{self.root}:{PROJECT}"}
        command = [sys.executable, "-P", *start, *self.argv, *more]
        return subprocess.run(command, env=environment, cwd=self.root, capture_output=True, text=True, check=False)


def make_task(
    root: Path, executor: str, parameters: dict, kinds: dict, key: str, uri: str, inputs: dict | None = None
) -> Task:
    """The container of a task with one output.

    Args:
        root: a folder of this machine.
        executor: the class of the component's executor.
        parameters: their values, and `kinds` their types.
        kinds: see there.
        key: of the output.
        uri: of the output.
        inputs: by key, artifacts as the launcher tells them.
    """
    asked = {
        "inputs": {"parameterValues": parameters, **({"artifacts": inputs} if inputs else {})},
        "outputs": {
            "artifacts": {key: {"artifacts": [{"name": key, "type": {"schemaTitle": "a.B"}, "uri": uri}]}},
            "outputFile": str(root / "out.json"),
        },
    }
    spec = {"parameters": {name: {"parameterType": kind} for name, kind in kinds.items()}}
    arguments = ("--executor_class_path", executor, "--json_serialized_invocation_args", json.dumps(asked))
    return Task(root, (*arguments, "--json_serialized_inputs_spec_args", json.dumps(spec), "--runner=FnApiRunner"))
