"""Checks that load a SavedModel and call it, on inputs drawn from its own traces.

The rules are those of tensorflow/hub, docs/reusable_saved_models.md; what a stranger's model raises is a finding.
"""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from piecehub.conformance import Finding, Level
from piecehub.modeling.conformance import behaviour, interface
from piecehub.modeling.conformance.loaded import Loaded, load
from piecehub.modeling.conformance.verdict import Verdict

_Check = tuple[str, str, Level, Callable[[Loaded], Verdict]]
_STRANGERS = (
    tf.errors.OpError, ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip

_FIRST: tuple[_Check, ...] = (
    ("D5", "one required argument: a tensor, or a list or dict of them", "fail", interface.one_argument),
)
_THEN: tuple[_Check, ...] = (
    ("D2", "every variable in use is listed", "fail", interface.variables_listed),
    ("D3", "trainable variables can be trained", "fail", interface.trainable_variables),
    ("D4", "regularization losses are finite scalars", "fail", interface.regularization_losses),
    ("D6", "traced for training and inference", "fail", interface.traced_for_both),
    ("D7", "any batch; examples do not touch each other", "fail", behaviour.examples_independent),
    ("D8", "inference is pure and repeatable", "fail", behaviour.inference_pure),
    ("D10", "the output is no probability", "fail", behaviour.no_probabilities),
    ("D11", "gradients reach every trainable variable", "fail", behaviour.gradients_reach),
    ("S13", "'serving_default' gives the numbers of '__call__'", "warn", behaviour.serves_the_same),
)
_D1 = ("D1", "loads and is callable in a fresh process", "fail")


def dynamic_findings(folder: Path) -> list[Finding]:
    """The findings of D1 to D8, D10, D11 and S13 about the SavedModel in `folder`, made in this process."""
    try:
        loaded = load(folder)
    except _STRANGERS as error:
        return crashed(_raised("a SavedModel that loads", error))
    first = [_finding(loaded, check) for check in _FIRST]
    if any(not found.passed for found in first):
        rest = [_not_made(check, first[0].check) for check in _THEN]
    else:
        rest = [_finding(loaded, check) for check in _THEN]
    return [Finding(*_D1, True, "It loads, and its root is callable."), *first, *rest]


def not_made(because: str) -> list[Finding]:
    """All dynamic findings of a model that was not loaded, since the check `because` fell short."""
    d1 = Finding(*_D1, None, f"Could not be made, since {because} fell short.")
    return [d1, *(_not_made(check, because) for check in (*_FIRST, *_THEN))]


def crashed(sentence: str) -> list[Finding]:
    """All dynamic findings of a model that could not be loaded, or ended the process; `sentence` says how."""
    rest = [found for found in not_made("D1") if found.check != "D1"]
    return [Finding(*_D1, False, sentence), *rest]


def _finding(loaded: Loaded, check: _Check) -> Finding:
    number, title, level, run = check
    try:
        verdict = run(loaded)
    except _STRANGERS as error:
        return Finding(number, title, level, False, _raised(f"a model that can be called ({title})", error))
    return Finding(number, title, level, verdict.passed, verdict.sentence)


def _not_made(check: _Check, because: str) -> Finding:
    number, title, level, _ = check
    return Finding(number, title, level, None, f"Could not be made, since {because} fell short.")


def _raised(expected: str, error: Exception) -> str:
    message = " ".join(str(error).split())[:300]
    return f"Expected {expected}. Received: {type(error).__name__}: {message}; mend the model and export it again."
