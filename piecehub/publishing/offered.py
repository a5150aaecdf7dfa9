"""Publishes a SavedModel that no run of ours made: checked like every other one.

Without evidence nothing shows that it fine-tunes, and TensorFlow Hub's guides ask for fine-tuning only where the
publisher recommends it: so its page must say `fine-tunable: false`, and the manifest says so too. Evidence of `piecehub
evaluate` is judged by the gate, as in a run; where it is blessed, the page may say `true`.
"""

import getpass
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path

from piecehub.conformance.check import check_saved_model
from piecehub.conformance.sandbox import strongest
from piecehub.errors import CheckUnfinished, NotReusableError, RecipeError
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.keras_metadata import FILE
from piecehub.facts.manifest import DOCUMENTATION_TITLE
from piecehub.facts.text_file import read_text_file
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.publishing import proof as proofs
from piecehub.publishing.look import Looked, Offered, look, refuse
from piecehub.publishing.proof import Judged
from piecehub.signing.attest import attest_with
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace
from piecehub.store import curate
from piecehub.store.catalog import Store
from piecehub.store.publish import UNSET, Published
from piecehub.store.publish import publish as publish_version
from piecehub.store.source import find_saved_model

__all__ = ["Offered", "publish", "publish_made_elsewhere"]

_WITHOUT_EVIDENCE = (
    "'{handle}' comes without evidence: a run that publishes under this name finds nothing to compare with, and is "
    "refused until `piecehub store yank {handle}` hides it, or its recipe accepts that. `piecehub evaluate {handle}` "
    "measures it."
)


def publish(
    saved_model: str | PathLike[str],
    name: str,
    *,
    documentation: str | PathLike[str],
    version: int | None = None,
    evidence: str | PathLike[str] | None = None,
    preprocessor: tuple[str | PathLike[str], str | PathLike[str]] | None = None,
    store: str | PathLike[str] | None = None,
    signing_key: str | PathLike[str] | None = None,
    trust: bool = False,
    without_keras_metadata: bool = False,
    workdir: str | PathLike[str] = DEFAULT_NAME,
    on_check: Callable[[str], None] | None = None,
) -> Published:
    """Publishes a SavedModel that no run made, if it passes `check` and its page holds.

    Page, names, version, interface and evidence are looked at first, and all that is wrong with them is told at once.
    What the store holds already is published again without a word: `created` is then False. Where it is new, `warning`
    says what a version without evidence means for later runs.

    Args:
        saved_model: a folder, an archive, a handle of the local store, or an address, as `check` takes it.
        name: `publisher/name`, as the first line of the page has it.
        documentation: the file of its model page, which must say `fine-tunable: false` unless evidence is blessed.
        version: the number, if the first line of the page is not to say it.
        evidence: the folder that `piecehub evaluate --out` kept, or an `evidence.json` in it.
        preprocessor: the SavedModel that makes its inputs, and the file of its page, whose first line names it; to be
            published with it: both, or none.
        store: a folder, or `s3://`, `gs://` or `az://`; the working folder's if None.
        signing_key: the private key to sign with; see `piecehub keys new`.
        trust: whether the model may run where there is no bubblewrap.
        without_keras_metadata: whether to leave out `keras_metadata.pb`, which only tf_keras' own loader reads, and
            which may hold Python.
        workdir: where the local store lies.
        on_check: is told the handle before its model is checked, which takes minutes.

    Raises:
        RecipeError: if there is no such model, or the page is about another version, has questions left, or promises
            what no evidence shows.
        NotReusableError: if the model does not conform; the first check is named.
        VersionExists: if other content stands under that version.

    Example:
        >>> published = piecehub.publish("my_piece", "acme/features", documentation="page.md", store="shop", trust=True)
        >>> str(published.handle), published.created
        ('acme/features/1', True)
    """
    place = Workdir(Path(workdir)).store
    signing = SigningPlace(Path(signing_key), LOCAL_BUILDER) if signing_key else None
    target = Store.open(place if store is None else fspath(store))
    take = _Taking(place, trust, without_keras_metadata)
    with take.offered(saved_model, documentation, evidence) as offered:
        if preprocessor is None:
            return publish_made_elsewhere(target, offered, name, version, signing, on_check)
        with take.offered(*preprocessor) as first:
            looked = look(target, first)
            both = [looked, look(target, offered, name, version, companion=looked)]
            return _publish_together(target, both, signing, on_check)[-1]


def publish_made_elsewhere(
    store: Store,
    offered: Offered,
    name: str,
    version: int | None = None,
    place: SigningPlace | None = None,
    on_check: Callable[[str], None] | None = None,
) -> Published:
    """Publishes a model if it conforms, and its page says what may be said of it.

    What stands there already was checked when it came; whether it does, and whether the number is free, is asked first.

    Args:
        store: where to; made if there is none yet.
        offered: the model.
        name: `publisher/name`, as the first line of the page has it.
        version: the number, as the first line of the page has it; None takes the page's word.
        place: what to sign with; None publishes unsigned.
        on_check: is told the handle before its model is checked.

    Raises:
        RecipeError: if the page is about another version, or promises what no evidence shows.
        NotReusableError: if the model does not conform, or is good for serving only; the first check is named.
        CheckUnfinished: if time or memory did not suffice to check it.
        PiecehubError: as `publish` has them.
    """
    return _publish_together(store, [look(store, offered, name, version)], place, on_check)[-1]


# Why a preprocessor is yanked.
_ALONE = "What it is for could not be published with it."


@dataclass(frozen=True)
class _Ready:
    """A model that was looked at and checked."""

    looked: Looked
    report: ConformanceReport | None = None
    judged: Judged | None = None


def _publish_together(
    store: Store, looks: Sequence[Looked], place: SigningPlace | None, on_check: Callable[[str], None] | None
) -> list[Published]:
    """Publishes all, or none: nothing is written before all are checked; what stands if a later one fails is yanked."""
    refuse(looks)
    ready = [_checked(store, looked, on_check) for looked in looks]
    done: list[Published] = []
    try:
        for each in ready:
            done.append(_publish(store, each, place))
    except BaseException:
        for published in done:
            if published.created:
                curate.yank(store, published.handle, by=getpass.getuser(), why=_ALONE)
        raise
    return done


def _checked(store: Store, looked: Looked, on_check: Callable[[str], None] | None) -> _Ready:
    """The model with its report and verdict; raises if it may not be published."""
    assert looked.handle is not None
    if looked.standing is not None:
        return _Ready(looked)
    if on_check:
        on_check(str(looked.handle))
    offered = looked.offered
    report = check_saved_model(
        offered.folder,
        strongest(trusted=offered.trusted),
        documentation=offered.documentation,
        archive=offered.archive,
    )
    _refuse(report, offered.folder)
    judged = proofs.judge(looked.proof, report, store, looked.handle) if looked.proof else None
    if looked.fine_tunable and (judged is None or not judged.verdict.blessed):
        assert judged is not None  # the look at it asks for evidence
        raise RecipeError(proofs.unblessed(judged.verdict))
    return _Ready(looked, report, judged)


def _publish(store: Store, ready: _Ready, place: SigningPlace | None) -> Published:
    looked, judged = ready.looked, ready.judged
    if looked.standing is not None:
        return _shown_again(store, looked.standing)
    assert looked.handle is not None and ready.report is not None
    offered, handle, proof = looked.offered, looked.handle, looked.proof
    with tempfile.TemporaryDirectory(prefix="piecehub-evidence-") as scratch:
        published = publish_version(
            store,
            offered.folder,
            handle.publisher,
            handle.name,
            version=handle.version,
            blobs={
                DOCUMENTATION_TITLE: offered.documentation.encode(),
                REPORT_NAME: ready.report.to_json().encode(),
                **(proof.blobs(Path(scratch)) if proof else {}),
            },
            facts={
                "fine_tunable": looked.fine_tunable,
                "made_elsewhere": True,
                **looked.facts,
                **(proof.facts(judged.verdict) if proof and judged else {}),
            },
            judged_against=judged.incumbent.version if judged else UNSET,
            attest=attest_with(place, offered.folder, None) if place else None,
        )
    return replace(published, warning=_warning(store, published, measured=bool(proof and proof.folders)))


def _shown_again(store: Store, standing: Published) -> Published:
    """What stands already; if it was yanked for its companion alone, whose turn has come again, it is shown."""
    handle = standing.handle
    reason = store.state(handle.publisher, handle.name).reason(handle.version)
    if reason is not None and reason.why == _ALONE:
        curate.unyank(store, handle, by=getpass.getuser(), why="It is published with what it is for.")
    return standing


def _warning(store: Store, published: Published, *, measured: bool) -> str:
    """What a version without evidence means for runs, if it is the one that they find."""
    handle = published.handle
    newest = store.newest(handle.publisher, handle.name)
    if measured or not published.created or newest is None or newest.handle != handle:
        return ""
    return _WITHOUT_EVIDENCE.format(handle=handle)


@dataclass(frozen=True)
class _Taking:
    """How offered models are found: `place` is the local store."""

    place: Path
    trust: bool
    without_keras_metadata: bool

    @contextmanager
    def offered(
        self,
        saved_model: str | PathLike[str],
        documentation: str | PathLike[str],
        evidence: str | PathLike[str] | None = None,
    ) -> Generator[Offered]:
        """The model and its page; what came out of an archive is gone afterwards."""
        page = read_text_file(documentation)
        proof = Path(evidence) if evidence else None
        with find_saved_model(saved_model, self.place) as source:
            trusted = self.trust or source.trusted
            offered = Offered(source.folder, page, source.archive, trusted, proof, fspath(documentation))
            if not self.without_keras_metadata:
                yield offered
                return
            with tempfile.TemporaryDirectory(prefix="piecehub-publish-") as scratch:
                folder = Path(scratch, "saved_model")
                shutil.copytree(source.folder, folder, symlinks=True, ignore=_keras_metadata_of(source.folder))
                yield replace(offered, folder=folder, archive=None)


def _keras_metadata_of(folder: Path) -> Callable[[str, list[str]], list[str]]:
    """Tells `copytree` to leave out that file of the model; an asset of its name stays."""
    return lambda place, names: [FILE] if Path(place) == folder and FILE in names else []


def _refuse(report: ConformanceReport, folder: Path) -> None:
    """Raises for a model that does not conform, is not the one that was checked, or took too much to be checked."""
    if report.verdict == "unfinished":
        raise CheckUnfinished(report.first_failure)
    if not report.conforms:
        raise NotReusableError(
            f"Expected a model that conforms. Received: one that is {report.verdict}; {report.first_failure}"
        )
    digest = content_digest(list_files(folder))
    if report.digest != digest:
        raise NotReusableError(f"Expected the model that was checked, {report.digest}. Received: {digest}; try again.")
