"""X1 and X4: what a model page must say, by TensorFlow Hub's documentation rules, and by the model that it describes.

The rules are those of tensorflow/hub, docs/writing_documentation.md, as tfhub.dev's tools/validator.py holds them, and
that `fine-tunable` is a boolean, which the validator does not look at. No question may be left in it that a person was
to answer. The page is compared with the SavedModel's files only; nothing is loaded.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.conformance import documentation_terms as terms
from piecehub.conformance.page import QUESTION, Fault, Page, parse, sentence
from piecehub.facts.conformance_report import Finding
from piecehub.facts.nearest import nearest

if TYPE_CHECKING:
    from piecehub.conformance.described import Described

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
    from piecehub.conformance.described import describe  # with TensorFlow, which the rules of a page's form need not

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


def page_conforms(text: str, model: "Described") -> Finding:
    """X4: the page keeps TensorFlow Hub's form, answers its questions, and says nothing that the model is not."""
    if faults := page_faults(text, model):
        return Finding(*_X4, False, " ".join(fault.sentence for fault in faults))
    note = "" if "task" in parse(text).metadata else " It names no task: there is none for it."
    return Finding(*_X4, True, f"The page keeps TensorFlow Hub's form, and agrees with the model.{note}")


def page_faults(text: str, model: "Described | None") -> list[Fault]:
    """All that is wrong with a page, by lines; of a model that cannot be read (None) only what needs no model."""
    page = parse(text)
    faults = [*page.faults, *_unanswered(text), *_metadata_faults(page, model), *_disagreements(page, model)]
    return sorted(faults, key=lambda fault: fault.line)


def _unanswered(text: str) -> Iterator[Fault]:
    """The questions that stand in the page still."""
    for number, line in enumerate(text.split("\n"), 1):
        if found := QUESTION.search(line):
            asked = line[found.start() :].removesuffix("-->").strip()
            yield Fault(number, sentence("an answer", f"'{asked[:120]}'", "write it in the question's place"))


def _metadata_faults(page: Page, model: "Described | None") -> Iterator[Fault]:
    """What breaks a rule about metadata; the task is asked of models of images, texts and sounds only."""
    required = (*terms.REQUIRED, *(["task"] if model and model.domain else []))
    if missing := [key for key in required if key not in page.metadata]:
        remedy = "add " + ", ".join(f"'<!-- {key}: {terms.METADATA[key].example} -->'" for key in missing)
        yield Fault(page.last, sentence(f"the metadata {', '.join(required)}", f"no {', '.join(missing)}", remedy))
    for key, values in page.metadata.items():
        if key not in terms.METADATA:
            meant = nearest(key, terms.METADATA)
            remedy = f"did you mean '{meant}', or else leave it out" if meant else "leave it out"
            yield Fault(page.lines[key], sentence("metadata that TensorFlow Hub knows", f"'{key}'", remedy))
            continue
        known = terms.METADATA[key]
        if known.once and len(set(values)) > 1:
            yield Fault(page.lines[key], sentence(f"'{key}' once", f"{len(values)} of them", "keep one"))
        for value in values:
            if not QUESTION.search(value) and not known.takes(value):
                expected = f"a value of '{key}' that TensorFlow Hub knows"
                yield Fault(page.lines[key], sentence(expected, f"'{value[:80]}'", known.remedy(key, value)))


def _disagreements(page: Page, model: "Described | None") -> Iterator[Fault]:
    """What the page says or leaves out against the model's own facts."""
    if model is None:
        return
    if page.metadata.get("fine-tunable") == ["true"] and not model.trainable_variables:
        said = sentence("'fine-tunable' as the model is", "true, but no variable is trainable", "say false")
        yield Fault(page.lines["fine-tunable"], said)
    for name in model.hyperparameters:
        if name not in page.text:
            said = sentence("a page that tells every hyperparameter", f"nothing about '{name}'", "tell what it does")
            yield Fault(page.heading, said)
    if model.domain == "image" and (untold := _untold_sizes(page.text, model)):
        said = sentence("a page that tells the size of the images", f"nothing about {untold}", "tell height and width")
        yield Fault(page.heading, said)


def _untold_sizes(told: str, model: "Described") -> str:
    """The sizes of an image input that the page does not have as numbers; or that any size goes, if it must be told."""
    for shape in model.shapes:
        sizes = [size for size in shape[1:3] if size is not None]
        if untold := [size for size in sizes if not re.search(rf"(?<!\d){size}(?!\d)", told)]:
            return f"{untold[0]} pixels"
        if len(sizes) < 2 and not re.search(r"height|width|size|pixels|resolution", told, re.IGNORECASE):
            return "sizes, though they are open"
    return ""


def _short(check: tuple[str, str, Any], expected: str, received: str, remedy: str) -> Finding:
    return Finding(*check, False, sentence(expected, received, remedy))
