"""D19: does XLA compile a piece's training, as TPUs need it?

In a process of its own: where XLA fails at what it does not know, it may end the process.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from piecehub.conformance.graph import read_graph
from piecehub.conformance.loaded import STRANGERS, load
from piecehub.conformance.passes import some_loss
from piecehub.conformance.verdict import Verdict, held, nothing, short
from piecehub.errors import PiecehubError
from piecehub.facts.conformance_report import Finding
from piecehub.tensors.fresh import run_fresh

# XLA knows neither strings nor tables; not to ask it saves a process.
_NEVER = re.compile(r".*(Table|Lookup|String|Ragged|Regex|Unicode).*")
# It takes a minute and more for what is larger.
_MOST_OPERATIONS = 3000
_EXAMPLES = 2
_REMEDY = "nothing on a CPU or GPU; it trains on no TPU"


def xla_finding(folder: Path) -> Finding:
    """D19 about the SavedModel in `folder`; it runs the model, in a process of its own."""
    verdict = _verdict(folder)
    return Finding("D19", "XLA compiles its training", "info", verdict.passed, verdict.sentence)


def compile_here(folder: str) -> dict[str, Any]:
    """What the fresh process runs: the verdict as plain JSON."""
    verdict = compiles(Path(folder))
    return {"passed": verdict.passed, "sentence": verdict.sentence}


def compiles(folder: Path) -> Verdict:
    """D19 in this process: forward and backward pass in training."""
    try:
        loaded = load(folder)
        inputs, trainable = loaded.draw(_EXAMPLES), loaded.trainable_variables

        def step() -> Any:
            with tf.GradientTape() as tape:
                loss = some_loss(loaded.train(inputs))
            return tape.gradient(loss, trainable)

        compiled: Callable[[], Any] = tf.function(step, jit_compile=True)
        compiled()
    except STRANGERS as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        return short("a model that XLA compiles", what, _REMEDY)
    return held("XLA compiles the forward and the backward pass in training.")


def _verdict(folder: Path) -> Verdict:
    operations = [node.op for _, node in read_graph(folder).nodes()]
    if never := sorted({op for op in operations if _NEVER.fullmatch(op)}):
        return short("a model that XLA compiles", f"the operation {never[0]}", _REMEDY)
    if len(operations) > _MOST_OPERATIONS:
        return nothing(f"Not tried: compiling {len(operations)} operations takes long.")
    try:
        return Verdict(**run_fresh(f"{__name__}:compile_here", {"folder": str(folder)}))
    except PiecehubError as error:
        return short("a model that XLA compiles", f"a process that ended ({error.sentence[:160]})", _REMEDY)
