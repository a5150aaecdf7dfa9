"""The command of every container on Kubeflow: TFX's executor, with what Kubeflow Pipelines 2.16 does otherwise mended.

`python -P -m components.kubeflow_entrypoint --executor_class_path … --json_serialized_invocation_args {{$}}
--json_serialized_inputs_spec_args … [--resolve_span] [--on_beam] [Beam's arguments]`: the arguments that TFX compiles,
and flags of ours, for ExampleGen, whose driver Kubeflow never calls, and for examples and trials that go to Beam. The
work on the JSON is `piecehub/containers/executor_input.py`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import flags
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils, kubeflow_v2_run_executor
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver
from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact

from piecehub.containers import executor_input
from piecehub.facts.beam import ON_BEAM, beam_with
from piecehub.facts.progress import Progress, progress_to
from piecehub.signing.place import mounted_place, signing_with

Arguments = tuple[argparse.Namespace, list[str]]


def run(arguments: Arguments) -> None:
    """Runs one component as Kubeflow's launcher asked for, and leaves the launcher's output file behind."""
    known, beam_arguments = arguments
    asked = json.loads(known.json_serialized_invocation_args)
    output_file = Path(asked["outputs"]["outputFile"])
    inputs_spec = json.loads(known.json_serialized_inputs_spec_args)
    given = executor_input.for_tfx(asked, inputs_spec)
    with (
        _ready_artifacts(),
        signing_with(mounted_place()),
        beam_with(beam_arguments if known.on_beam else ()),
        progress_to(_print),
    ):
        if known.resolve_span:
            driver.main(_namespace(known, given))
            given = executor_input.with_driver_facts(given, json.loads(output_file.read_text(encoding="utf-8")))
        kubeflow_v2_run_executor.main((_namespace(known, given), beam_arguments))
    written = json.loads(output_file.read_text(encoding="utf-8"))
    _write(output_file, executor_input.for_launcher(written, asked))


def parse(argv: list[str]) -> Arguments:
    """The known arguments, and the rest, which is Beam's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}")
    parser.add_argument("--resolve_span", action="store_true")
    parser.add_argument(ON_BEAM, action="store_true")
    return parser.parse_known_args(argv[1:])


def _print(value: Progress) -> None:
    """Into the pod's log."""
    if value.text:
        print(value.text, flush=True)


def _namespace(known: argparse.Namespace, given: executor_input.Json) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(known), "json_serialized_invocation_args": json.dumps(given)})


@contextmanager
def _ready_artifacts() -> Iterator[None]:
    """While this lasts, TFX parses artifacts as its local launcher makes them: folders exist, values are read."""
    original = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict

    def parse_and_make_ready(*arguments: Any) -> dict[str, list[Artifact]]:
        parsed = original(*arguments)
        for artifacts in parsed.values():
            for artifact in artifacts:
                _make_ready(artifact)
        return parsed

    kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = parse_and_make_ready
    try:
        yield
    finally:
        kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = original


def _make_ready(artifact: Artifact) -> None:
    there = fileio.exists(artifact.uri)
    if isinstance(artifact, ValueArtifact) and there:
        artifact.read()
    elif not isinstance(artifact, ValueArtifact) and not there:
        # An output, or an input whose folder was empty: object stores keep no empty folders.
        fileio.makedirs(artifact.uri)


def _write(path: Path, value: executor_input.Json) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    # Libraries below TFX ask absl for their flags, which raises until some arguments were parsed. None here is absl's.
    flags.FLAGS(sys.argv[:1])
    run(parse(sys.argv))
