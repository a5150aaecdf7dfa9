"""S1 to S16: checks that read a SavedModel's files and protos only, so nothing in it is run.

The checks stand in contents.py (files), operations.py (the graph), fingerprint.py, keras_metadata.py (what tf_keras
builds) and settings.py; here are their numbers, levels and order.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from piecehub.conformance import contents, fingerprint, keras_metadata, operations, settings
from piecehub.conformance.graph import Graph, read_graph
from piecehub.conformance.model import Model
from piecehub.conformance.verdict import Verdict, held, short
from piecehub.errors import ArchiveError
from piecehub.facts.conformance_report import Finding, Level

# The tags that servers ask for; those of a module in TF1 Hub format, whose signatures its own clients call, are none.
_SERVED_TAGS = (["serve"], [])
# A fault in these keeps a model from being served as well, or makes that unwise.
_SERVING = frozenset({"S1", "S4", "S5", "S6", "S10", "S14", "S15", "S16"})
# A model that falls short in one of these is not loaded.
_DANGER = frozenset({"S1", "S3", "S4", "S5", "S6", "S10", "S16"})
_Check = tuple[str, str, Level, Callable[[Model], Verdict]]


def static_findings(
    folder: Path,
    begun: Callable[[str], object] = lambda _: None,
    ended: Mapping[str, str] | None = None,
    beyond: Mapping[str, str] | None = None,
) -> list[Finding]:
    """The findings of S1 to S16 about the SavedModel in `folder`; nothing of it is loaded or run.

    Args:
        folder: of the SavedModel.
        begun: is told the number of each check before it is made.
        ended: sentences by the number of the checks that ended a process before: they fall short, and are not made.
        beyond: the same of checks that went beyond a limit: they are not made either, and do not fall short.

    Raises:
        NotReusableError: if `folder` holds no SavedModel, or one too large to be read.
    """
    unmade = {check: Verdict(False, sentence) for check, sentence in (ended or {}).items()}
    unmade |= {check: Verdict(None, sentence) for check, sentence in (beyond or {}).items()}
    begun(_CHECKS[0][0])
    try:
        model = Model(folder, read_graph(folder))
    except ArchiveError as error:  # nothing else can be looked at
        return _all_but_the_first_unmade(error.sentence)
    findings: list[Finding] = []
    for number, title, level, check in _CHECKS:
        begun(number)
        verdict = unmade.get(number) or check(model)
        findings.append(Finding(number, title, verdict.level or level, verdict.passed, verdict.sentence))
    return findings


def hinders_loading(findings: Sequence[Finding]) -> str:
    """The number of the first check without which a model is not loaded; empty if it can be.

    It would act, or bring down the process, or there is nothing to call. What else falls short hides nothing.
    """
    faults = [found.check for found in findings if found.level == "fail" and not found.passed]
    return next((check for check in faults if check in _DANGER), "")


def refuse_damaged(name: str, folder: Path, graph: Graph) -> None:
    """Passes if a SavedModel has a graph, and every value of its checkpoint can be read; nothing is loaded or run.

    Raises:
        ArchiveError: if not: what is said of such a model is said of an empty one.
    """
    number, check = ("S12", contents.checkpoint_holds_the_model) if graph.tags else ("S2", _one_meta_graph)
    verdict = check(Model(folder, graph))
    if verdict.passed is False and not verdict.level:  # else it is advice
        raise ArchiveError(f"'{name}' falls short of {number}. {verdict.sentence}")


def _all_but_the_first_unmade(sentence: str) -> list[Finding]:
    first, *others = _CHECKS
    why = f"Could not be made, since {first[0]} fell short."
    return [
        Finding(*first[:3], False, sentence),
        *(Finding(number, title, level, None, why) for number, title, level, _ in others),
    ]


def is_for_serving_only(graph: Graph, findings: list[Finding]) -> bool:
    """Whether a model has signatures that a server finds, and what it lacks is only what fine-tuning asks for."""
    faults = {found.check for found in findings if found.level == "fail" and found.passed is False}
    served = any(each.signatures for each, tags in zip(graph.each, graph.tags, strict=True) if tags in _SERVED_TAGS)
    return served and "S3" in faults and not faults & _SERVING


def _one_meta_graph(model: Model) -> Verdict:
    """S2: loaders pick a MetaGraph by its tags; hub.KerasLayer asks for 'serve'."""
    if model.graph.tags != [["serve"]]:
        received = f"{model.graph.tags}" if model.graph.tags else "none, as of an empty file"
        return short("one MetaGraph with the tag 'serve'", received, "save it again, or fetch it again")
    return held("One MetaGraph, tagged 'serve'.")


def _callable(model: Model) -> Verdict:
    """S3: what TensorFlow 1, `keras.Model.export` and signatures alone give can serve, not be fine-tuned."""
    expected = "a '__call__' that is a tf.function with a trace"
    if model.graph.call:
        return held("'__call__' is a function with traces.")
    if model.is_hub_module or not model.graph.has_objects:
        kind = "a module in TF1 Hub format" if model.is_hub_module else "a SavedModel of TensorFlow 1"
        return short(expected, f"{kind}, which cannot be fine-tuned", "use its signatures, or train it anew")
    if model.graph.signatures:
        return short(expected, "signatures only, which can serve, not be fine-tuned", "export it with piecehub")
    return short(expected, "none", "export it with piecehub")


def _serves(model: Model) -> Verdict:
    """S13, as far as it can be seen without loading."""
    if "serving_default" in model.graph.signatures:
        return held("'serving_default' is there.")
    received = ", ".join(model.graph.signatures) or "no signature"
    return short("the signature 'serving_default'", received, "pass one to tf.saved_model.save")


_CHECKS: tuple[_Check, ...] = (
    ("S1", "only a SavedModel's files", "fail", contents.only_its_files),
    ("S2", "one MetaGraph, tagged 'serve'", "fail", _one_meta_graph),
    ("S3", "'__call__' is a traced function", "fail", _callable),
    ("S4", "operations stand alone", "fail", operations.stand_alone),
    ("S5", "operations run on any hardware", "fail", operations.run_anywhere),
    ("S6", "operations are TensorFlow's own", "fail", operations.are_known),
    ("S7", "no pinned devices", "warn", operations.float_freely),
    ("S8", "no absolute path or address", "fail", operations.name_no_place),
    ("S9", "weights are variables", "warn", operations.hold_no_weights),
    ("S10", "assets are the model's own", "fail", contents.assets_are_its_own),
    ("S11", "no forced compilation", "fail", operations.force_no_compiler),
    ("S12", "the checkpoint holds the model only", "fail", contents.checkpoint_holds_the_model),
    ("S13", "'serving_default' is there", "warn", _serves),
    ("S14", "the fingerprint is right", "fail", fingerprint.fingerprint_is_right),
    ("S15", "no loader runs Python of it", "fail", keras_metadata.builds_only_layers),
    ("S16", "it sets nothing for who runs it", "fail", settings.sets_nothing),
)
STATIC_COUNT = len(_CHECKS)
