"""The command of every container on Kubeflow: `python -P -m piecehub.containers.entrypoint`, light until it knows more.

    --executor_class_path --json_serialized_invocation_args {{$}} --json_serialized_inputs_spec_args
                                what TFX compiles
    --light_function MODULE.NAME    the work of a component that needs no TFX (light.py)
    --text_file PARAMETER           of a file that travels as its text: it is made one again, and the parameter its path
    --trials_folder PLACE           where a failure is marked that no retry mends (failures.py)
    --lay_over MODULE.NAME          what lays values of a submission over the component's parameters
    --on_beam, and all others       Beam's arguments, and whether work of ours goes there too

All else runs through TFX's executor, by `components/kubeflow_entrypoint.py`, which is not imported before. Whatever
fails, its sentence is the last line of the log.
"""

import argparse
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from piecehub.containers import executor_input, failures, light
from piecehub.containers.executor_input import Json
from piecehub.errors import PiecehubError, as_ours, first_line
from piecehub.facts import heap
from piecehub.facts.beam import ON_BEAM

LIGHT_FUNCTION = "--light_function"
TEXT_FILE = "--text_file"
TRIALS_FOLDER = "--trials_folder"
LAY_OVER = "--lay_over"
_HEAVY = "components.kubeflow_entrypoint"


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The known arguments, and the rest, which is Beam's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}")
    parser.add_argument(LIGHT_FUNCTION, default="")
    parser.add_argument(TEXT_FILE, action="append", default=[])
    parser.add_argument(TRIALS_FOLDER, default="")
    parser.add_argument(LAY_OVER, default="")
    parser.add_argument(ON_BEAM, action="store_true")
    return parser.parse_known_args(argv[1:])


def main(argv: list[str]) -> int:
    """Runs one component as Kubeflow's launcher asked for; returns the exit status."""
    known, beam_arguments = parse(argv)
    output_file = ""
    try:
        asked: Json = json.loads(known.json_serialized_invocation_args)
        output_file = asked["outputs"]["outputFile"]
        if known.trials_folder and (sentence := failures.known(known.trials_folder, output_file)):
            return _say(sentence)
        _run(known, beam_arguments, asked)
    except Exception as error:  # noqa: BLE001 - whatever it is, its sentence is the last line of the log
        traceback.print_exception(error)
        mendable = as_ours(error)
        component = known.executor_class_path.rpartition(".")[2].removesuffix("_Executor")
        told = f"{component} failed. {type(error).__name__}: {first_line(error)}"
        if mendable and not mendable.may_pass and known.trials_folder and output_file:
            failures.leave(known.trials_folder, output_file, mendable.sentence)
        return _say(mendable.sentence if mendable else told)
    return 0


def _run(known: argparse.Namespace, beam_arguments: list[str], asked: Json) -> None:
    """Runs the component, by one of the two ways, and leaves the launcher's output file behind."""
    inputs_spec: Json = json.loads(known.json_serialized_inputs_spec_args)
    output_file = Path(asked["outputs"]["outputFile"])
    given = executor_input.for_tfx(asked, inputs_spec)
    if known.lay_over:
        module, _, name = known.lay_over.rpartition(".")
        work = getattr(importlib.import_module(module), name)
        given["inputs"]["parameterValues"] = work(given["inputs"]["parameterValues"])
    with executor_input.with_files(given, known.text_file) as whole:
        if known.light_function:
            written = light.run(known.light_function, known.executor_class_path, whole, inputs_spec)
        else:
            with heap.loading():
                heavy = importlib.import_module(_HEAVY)
            heavy.run(known, beam_arguments, whole)
            written = json.loads(output_file.read_text(encoding="utf-8"))
            # As long as it is not what the launcher can take, it is nothing.
            output_file.unlink()
    _write(output_file, executor_input.for_launcher(written, asked))


def _write(path: Path, value: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")
    beside.replace(path)


def _say(sentence: str) -> int:
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)
    return PiecehubError.exit_code


if __name__ == "__main__":
    status = main(sys.argv)
    heap.about_to_end()
    if status:
        # What libraries say as the interpreter ends would stand below the sentence.
        os._exit(status)
