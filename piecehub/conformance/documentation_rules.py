"""X1 and X4: what a model page must say, by TensorFlow Hub's documentation rules, and by the model that it describes.

The rules are those of tensorflow/hub, docs/writing_documentation.md, as tfhub.dev's tools/validator.py holds them, and
that `fine-tunable` is a boolean, which the validator does not look at. The page is compared with the SavedModel's files
only; nothing is loaded.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from piecehub.conformance import documentation_terms as terms
from piecehub.conformance.described import Described, describe
from piecehub.conformance.page import Page, parse, sentence
from piecehub.facts.conformance_report import Finding

_REQUIRED = ("asset-path", "fine-tunable", "format")
_ONCE = (*_REQUIRED, "license", "interactive-visualizer")
_FORMATS = frozenset({"hub", "saved_model", "saved_model_2"})
_TASK_PREFIXES = ("image-", "text-", "audio-", "video-")
_ALLOWED: Mapping[str, Callable[[str], bool]] = {
    "asset-path": lambda v: v.endswith(".tar.gz") and not re.match("https?://github.com/", v),
    "task": lambda v: v in terms.TASKS and v.startswith(_TASK_PREFIXES),
    "fine-tunable": lambda v: v in ("true", "false"),
    "format": lambda v: v in _FORMATS,
    "license": lambda v: v in terms.LICENSES,
    "dataset": lambda v: v in terms.DATASETS,
    "language": lambda v: v in terms.LANGUAGES,
    "network-architecture": lambda v: v in terms.ARCHITECTURES,
    "interactive-visualizer": lambda v: v in terms.VISUALIZERS,
    "colab": lambda v: v.startswith("https://colab.research.google.com/"),
}
# Regularization that an optimizer does by itself: no `model.losses` holds it, and no SavedModel carries it (G17).
_OF_OPTIMIZERS = {
    "weight_decay": r"weight[_ -]decay",
    "use_ema": r"use_ema|moving averages? of (the )?weights|exponential moving average|\bEMA\b",
    "l1_regularization_strength": r"l1[_ -]regularization|\bl1\b",
    "l2_regularization_strength": r"l2[_ -]regularization(?!_shrinkage)|\bl2\b",
    "l2_shrinkage_regularization_strength": r"l2[_ -]shrinkage",
}
_X1 = ("X1", "the page tells what the optimizer regularized", "fail")
_X4 = ("X4", "the page keeps TensorFlow Hub's form, and agrees with the model", "fail")


def check_documentation(
    text: str, saved_model_folder: Path, optimizer: Mapping[str, Any] | None = None
) -> list[Finding]:
    """The findings X1 and X4 about the model page `text` of the SavedModel in `saved_model_folder`.

    Args:
        text: Markdown, with TensorFlow Hub's metadata header.
        saved_model_folder: read, not loaded.
        optimizer: the configuration of the optimizer that trained the full model (`optimizer.get_config()`); None if
            nobody knows it.

    Raises:
        NotReusableError: if the folder holds no SavedModel.
        ArchiveError: if that is damaged.
    """
    model = describe(saved_model_folder)
    return [optimizer_told(text, optimizer), page_conforms(text, model)]


def optimizer_told(text: str, optimizer: Mapping[str, Any] | None) -> Finding:
    """X1: the page tells every regularization that the optimizer did, since the SavedModel loses it (G17)."""
    if optimizer is None:
        return Finding(*_X1[:2], "info", None, "Not made, since the optimizer's configuration is not known.")
    active = [key for key in _OF_OPTIMIZERS if optimizer.get(key)]
    silent = [key for key in active if not re.search(_OF_OPTIMIZERS[key], text, re.IGNORECASE)]
    if silent:
        what = f"nothing about {', '.join(f'{key} = {optimizer[key]}' for key in silent)}"
        return _short(_X1, "a page that tells what the optimizer regularized", what, "tell consumers to set it again")
    return Finding(*_X1, True, f"The optimizer regularized by {', '.join(active) or 'nothing'}; the page says so.")


def page_conforms(text: str, model: Described) -> Finding:
    """X4: the page keeps TensorFlow Hub's form, and says nothing that the model is not."""
    page = parse(text)
    fault = page if isinstance(page, str) else _metadata_fault(page, model) or _disagreement(page, model)
    if fault:
        return Finding(*_X4, False, fault)
    note = "" if not isinstance(page, Page) or "task" in page.metadata else " It names no task: there is none for it."
    return Finding(*_X4, True, f"The page keeps TensorFlow Hub's form, and agrees with the model.{note}")


def _metadata_fault(page: Page, model: Described) -> str | None:
    """What breaks a rule about metadata; the task is asked of models of images, texts and sounds only."""
    required = (*_REQUIRED, *(["task"] if model.domain else []))
    if missing := [key for key in required if key not in page.metadata]:
        return sentence(f"the metadata {', '.join(required)}", f"no {', '.join(missing)}", "add '<!-- key: value -->'")
    for key, values in page.metadata.items():
        if key not in _ALLOWED:
            return sentence("metadata that TensorFlow Hub knows", f"'{key}'", "leave it out")
        if key in _ONCE and len(set(values)) > 1:
            return sentence(f"'{key}' once", f"{len(values)} of them", "keep one")
        if wrong := [value for value in values if not _ALLOWED[key](value)]:
            return sentence(f"a value of '{key}' that TensorFlow Hub knows", f"'{wrong[0][:80]}'", "use one of those")
    return None


def _disagreement(page: Page, model: Described) -> str | None:
    """What the page says or leaves out against the model's own facts."""
    if page.metadata["fine-tunable"] == ["true"] and not model.trainable_variables:
        return sentence("'fine-tunable' as the model is", "true, but no variable is trainable", "say false")
    if untold := [name for name in model.hyperparameters if name not in page.body]:
        return sentence("a page that tells every hyperparameter", f"nothing about '{untold[0]}'", "tell what it does")
    if model.domain == "image" and (untold := _untold_sizes(page.body, model)):
        return sentence("a page that tells the size of the images", f"nothing about {untold}", "tell height and width")
    return None


def _untold_sizes(body: str, model: Described) -> str:
    """The sizes of an image input that the page does not have as numbers; or that any size goes, if it must be told."""
    for shape in model.shapes:
        sizes = [size for size in shape[1:3] if size is not None]
        if untold := [size for size in sizes if not re.search(rf"(?<!\d){size}(?!\d)", body)]:
            return f"{untold[0]} pixels"
        if len(sizes) < 2 and not re.search(r"height|width|size|pixels|resolution", body, re.IGNORECASE):
            return "sizes, though they are open"
    return ""


def _short(check: tuple[str, str, Any], expected: str, received: str, remedy: str) -> Finding:
    return Finding(*check, False, sentence(expected, received, remedy))
