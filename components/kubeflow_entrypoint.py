"""TFX's executor in a container of Kubeflow Pipelines 2.16, with what is done otherwise there mended.

`piecehub/containers/entrypoint.py`, the command of every container, comes here for what needs TFX; the work on the
JSON is `piecehub/containers/executor_input.py`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from absl import flags
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils, kubeflow_v2_run_executor
from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact

from piecehub.containers.executor_input import Json
from piecehub.facts.beam import beam_with
from piecehub.facts.progress import Progress, progress_to
from piecehub.signing.place import mounted_place, signing_with
from piecehub.store.keeping import kept_here
from piecehub.store.recipe_code import code_here, is_archive

# Parameters that name a place: of what is to outlive the pod, and of the recipe's code.
_KEPT = ("trials_folder", "resume_folder")
_CODE = "recipe_folder"


def run(known: argparse.Namespace, beam_arguments: Sequence[str], given: Json) -> None:
    """Runs one component; TFX's executor leaves its output file behind, with local uris.

    Args:
        known: the arguments that `entrypoint.parse` knows.
        beam_arguments: the others.
        given: the executor input, as TFX can take it.
    """
    if not flags.FLAGS.is_parsed():
        # Libraries below TFX ask absl for their flags, which raises until some arguments were parsed.
        flags.FLAGS(sys.argv[:1])
    with (
        _in_this_pod(given) as here,
        _ready_artifacts(),
        signing_with(mounted_place()),
        beam_with(beam_arguments if known.on_beam else ()),
        progress_to(_print),
    ):
        arguments = {**vars(known), "json_serialized_invocation_args": json.dumps(here)}
        kubeflow_v2_run_executor.main((argparse.Namespace(**arguments), list(beam_arguments)))


@contextmanager
def _in_this_pod(given: Json) -> Iterator[Json]:
    """The executor input with a folder of this pod for each place that is a uri, and for an archive of code."""
    values = given["inputs"].get("parameterValues", {})
    with ExitStack() as open_now:
        folders = open_now.enter_context(kept_here([values[key] for key in _KEPT if key in values]))
        there = {key: folders[values[key]] for key in _KEPT if key in values}
        if is_archive(values.get(_CODE, "")):
            there[_CODE] = str(open_now.enter_context(code_here(values[_CODE])))
        yield {**given, "inputs": {**given["inputs"], "parameterValues": {**values, **there}}}


def _print(value: Progress) -> None:
    """Into the pod's log."""
    if value.text:
        print(value.text, flush=True)


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
