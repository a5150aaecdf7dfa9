"""Checks that load a SavedModel and call it, on inputs drawn from its own traces.

The rules are those of tensorflow/hub, docs/reusable_saved_models.md; what a stranger's model raises is a finding.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from piecehub.conformance import (
    advice,
    archive_rules,
    behaviour,
    common_apis,
    consumers,
    golden_outputs,
    interface,
    lost,
    memory,
    practice,
    recorded,
    reexport,
    running_statistics,
    sub_objects,
    training,
)
from piecehub.conformance.inputs import OPEN_SIZES, draw
from piecehub.conformance.loaded import STRANGERS, Loaded, load
from piecehub.conformance.verdict import Verdict
from piecehub.errors import PiecehubError
from piecehub.exporting import golden
from piecehub.facts.conformance_report import Finding, Level
from piecehub.facts.heap import give_back

_Check = tuple[str, str, Level, Callable[[Loaded], Verdict]]

_FIRST: tuple[_Check, ...] = (
    ("D5", "one required argument: a tensor, or a list or dict of them", "fail", interface.one_argument),
    ("D33", "outputs are a tensor, or a list or dict of them", "fail", interface.plain_outputs),
)
_EACH: tuple[_Check, ...] = (
    ("D2", "every variable in use is listed", "fail", interface.variables_listed),
    ("D3", "trainable variables can be trained", "fail", interface.trainable_variables),
    ("D4", "regularization losses are finite scalars", "fail", interface.regularization_losses),
    ("D6", "traced for training and inference", "fail", interface.traced_for_both),
    ("D7", "any batch; examples do not touch each other", "fail", behaviour.examples_independent),
    ("D8", "inference is pure and repeatable", "fail", behaviour.inference_pure),
    ("D9", "outputs are float32; they and the weights are finite", "fail", behaviour.finite_floats),
    ("D10", "the output is no probability", "fail", behaviour.no_probabilities),
    ("D11", "gradients reach every trainable variable", "fail", training.gradients_reach),
    ("D12", "gradients can be taken again", "fail", training.differentiates_again),
    ("D13", "training writes no trainable variable", "fail", training.training_keeps_weights),
)
_ROOT: tuple[_Check, ...] = (
    ("D14", "moving averages fit small tasks", "warn", advice.momentum_fits),
    ("D15", "no dropout on the output", "warn", advice.no_dropout_on_output),
    ("D16", "the rate of dropout is told", "warn", advice.dropout_rate_told),
    ("D17", "a step of gradient descent lowers a loss", "fail", training.step_lowers_loss),
    ("D18", "can be saved again", "fail", reexport.saves_again),
    ("D20", "golden outputs are what it gives", "fail", golden_outputs.outputs_agree),
    ("D21", "both layers fine-tune it alike", "fail", consumers.both_layers_train_alike),
    ("D22", "the common API that it declares", "fail", common_apis.declared_apis_hold),
    ("D23", "sub-objects keep the interface", "fail", lambda loaded: sub_objects.conform(loaded, _of_sub_object)),
    ("D24", "running statistics follow the batch", "fail", running_statistics.follow_the_batch),
    ("D25", "running statistics settle", "fail", running_statistics.stay_bounded),
    ("D26", "memory stays level over steps", "fail", memory.stays_level),
    ("D27", "common learning rates do not diverge", "warn", practice.trains_at_common_rates),
    ("D28", "regularization is what was recorded", "fail", recorded.regularized_as_recorded),
    ("D29", "floats come as float32", "fail", interface.floats_as_float32),
    ("D30", "gradients are other than 0", "warn", training.gradients_are_not_zero),
    ("D31", "recorded dropout acts in training", "warn", recorded.dropout_acts),
    ("D32", "inference uses what is trained", "fail", training.inference_learns),
    ("D34", "all combinations of options are traced", "warn", interface.combinations_traced),
    ("D35", "most outputs differ between inputs", "warn", behaviour.outputs_differ),
    ("S13", "'serving_default' gives the numbers of '__call__'", "warn", behaviour.serves_the_same),
    ("X2", "what the interface loses is told", "warn", lost.told_or_exported),
    ("X3", "travels as an archive", "fail", archive_rules.travels),
)
_THEN = (*_EACH, *_ROOT)
# How many can be made that are not counted among the static ones, with D1, and D19, which is in xla.py.
DYNAMIC_COUNT = 2 + sum(not check[0].startswith("S") for check in (*_FIRST, *_THEN))
_BATCH_SIZES = (1, 4, 8, 16, 32, 64, 128)
_D1 = ("D1", "loads and is callable in a fresh process", "fail")


def dynamic_findings(
    folder: Path, documentation: str = "", begun: Callable[[str], object] = lambda _: None
) -> list[Finding]:
    """What D1 to D35, S13, X2 and X3 find about the SavedModel in `folder`, in this process; D19 is in `xla.py`.

    A check that has nothing to look at (no golden outputs, no sub-object, …) is of level info and was not made.

    Args:
        folder: of the SavedModel.
        documentation: the text of its model page, if there is one: it may declare a common API, tell rates of dropout,
            and say that the model is not to be fine-tuned.
        begun: is told the number of each check before it is made.
    """
    begun("D1")
    try:
        loaded = load(folder, documentation)
    except STRANGERS as error:
        return crashed(_raised("a SavedModel that loads", error))
    first = [_begun(begun, loaded, check) for check in _FIRST]
    if because := next((found.check for found in first if not found.passed), None):
        return [Finding(*_D1, True, "It loads."), *first, *(_not_made(check, because) for check in _THEN)]
    begun("D1")
    if not_callable := _refusal(loaded):
        size = _only_batch(loaded)
        return crashed(not_callable) if size is None else _of_one_size(first, size)
    rest = [_begun(begun, loaded, check) for check in _THEN]
    return [Finding(*_D1, True, "It loads, and its root can be called."), *first, *rest]


def unfinished(check: str, sentence: str) -> list[Finding]:
    """All dynamic findings where `check` went beyond a limit, as `sentence` says."""
    rest = [replace(f, sentence=f"Could not be made, since {check} could not be finished.") for f in not_made("")]
    return [replace(f, sentence=sentence) if f.check == check else f for f in rest]


def not_made(because: str) -> list[Finding]:
    """All dynamic findings of a model that was not loaded, since the check `because` fell short."""
    d1 = Finding(*_D1, None, f"Could not be made, since {because} fell short.")
    return [d1, *(_not_made(check, because) for check in (*_FIRST, *_THEN))]


def crashed(sentence: str) -> list[Finding]:
    """All dynamic findings of a model that could not be loaded or called, or ended the process; `sentence` says how."""
    rest = [found for found in not_made("D1") if found.check != "D1"]
    return [Finding(*_D1, False, sentence), *rest]


def _refusal(loaded: Loaded) -> str | None:
    """What the model answers to inputs of its own specs, if it takes none."""
    try:
        loaded.draw(1)
    except STRANGERS as error:
        if golden.decodes_files(error):
            return (
                "Expected a SavedModel that takes decoded inputs. Received: one that decodes files, such as JPEGs, by "
                f"itself; {golden.DECODE_BEFORE}, and export it again."
            )
        return _raised("a SavedModel that can be called on inputs of its own specs", error)
    return None


def _only_batch(loaded: Loaded) -> int | None:
    """The one of some usual batch sizes that a model takes which refuses two examples."""
    for size in _BATCH_SIZES:
        with contextlib.suppress(*STRANGERS):
            loaded.infer(draw(loaded.traces[0].inputs, size, OPEN_SIZES[0]))
            return size
    return None


def _of_one_size(first: Sequence[Finding], size: int) -> list[Finding]:
    """All findings of a model that takes batches of one size only, which D7 then says."""
    sentence = behaviour.of_one_size(size).sentence
    rest = [_not_made(check, "D7") for check in _THEN]
    d7 = [replace(found, passed=False, sentence=sentence) if found.check == "D7" else found for found in rest]
    return [Finding(*_D1, True, "It loads, and its root can be called."), *first, *d7]


def _of_sub_object(loaded: Loaded) -> Sequence[Finding]:
    return [_finding(loaded, check) for check in (*_FIRST, *_EACH)]


def _begun(begun: Callable[[str], object], loaded: Loaded, check: _Check) -> Finding:
    begun(check[0])
    return _finding(loaded, check)


def _finding(loaded: Loaded, check: _Check) -> Finding:
    number, title, level, run = check
    try:
        # From the state that was loaded, whatever a check before it called.
        with contextlib.nullcontext() if check in _FIRST else loaded.unchanged():
            verdict = run(loaded)
    except STRANGERS as error:
        return Finding(number, title, level, False, _raised(f"a model that can be called ({title})", error))
    except PiecehubError as error:
        return Finding(number, title, level, False, error.sentence)
    finally:
        if check not in _FIRST and loaded.is_large:
            give_back()  # what this check held is not there for the next
    level = "info" if verdict.passed is None else verdict.level or level
    return Finding(number, title, level, verdict.passed, verdict.sentence)


def _not_made(check: _Check, because: str) -> Finding:
    number, title, level, _ = check
    return Finding(number, title, level, None, f"Could not be made, since {because} fell short.")


def _raised(expected: str, error: Exception) -> str:
    message = " ".join(str(error).split())[:300]
    return f"Expected {expected}. Received: {type(error).__name__}: {message}; mend the model and export it again."
