"""Publishes a SavedModel that no run of ours made: checked like every other one, and not recommended for fine-tuning.

There is no evidence that it fine-tunes, and TensorFlow Hub's guides ask for fine-tuning only where the publisher
recommends it: so its page must say `fine-tunable: false`, and the manifest says so too.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path

from piecehub.conformance.check import check_saved_model
from piecehub.conformance.page import Page, parse
from piecehub.conformance.sandbox import strongest
from piecehub.errors import CheckUnfinished, NotReusableError, RecipeError
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import REPORT_NAME, ConformanceReport
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.keras_metadata import FILE
from piecehub.facts.manifest import DOCUMENTATION_TITLE, Manifest
from piecehub.facts.text_file import read_text_file
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.signing.attest import attest_with
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace
from piecehub.store.catalog import Store
from piecehub.store.publish import Published, find_published
from piecehub.store.publish import publish as publish_version
from piecehub.store.source import find_saved_model

_HEAD = "# Module "
_WITHOUT_EVIDENCE = (
    "'{handle}' comes without evidence: a run that publishes under this name finds nothing to compare with, and is "
    "refused until `piecehub store yank {handle}` hides it, or its recipe accepts that. `piecehub evaluate {handle}` "
    "measures it."
)


@dataclass(frozen=True)
class Offered:
    """A model and its page, as they came.

    Attributes:
        folder: of the SavedModel.
        documentation: the text of its page.
        archive: what it was unpacked from, if it was.
        trusted: whether it may run without a sandbox.
    """

    folder: Path
    documentation: str
    archive: Path | None = None
    trusted: bool = False


def publish(
    saved_model: str | PathLike[str],
    name: str,
    *,
    documentation: str | PathLike[str],
    version: int | None = None,
    store: str | PathLike[str] | None = None,
    signing_key: str | PathLike[str] | None = None,
    trust: bool = False,
    without_keras_metadata: bool = False,
    workdir: str | PathLike[str] = DEFAULT_NAME,
) -> Published:
    """Publishes a SavedModel that no run made, if it passes `check`: nothing proves that it fine-tunes.

    What the store holds already is published again without a word: `created` is then False. Where it is new, `warning`
    says what a version without evidence means for later runs.

    Args:
        saved_model: a folder, an archive, a handle of the local store, or an address, as `check` takes it.
        name: `publisher/name`, as the first line of the page has it.
        documentation: the file of its model page, which must say `fine-tunable: false`.
        version: the number, if the first line of the page is not to say it.
        store: a folder, or `s3://`, `gs://` or `az://`; the working folder's if None.
        signing_key: the private key to sign with; see `piecehub keys new`.
        trust: whether the model may run where there is no bubblewrap.
        without_keras_metadata: whether to leave out `keras_metadata.pb`, which only tf_keras' own loader reads, and
            which may hold Python.
        workdir: where the local store lies.

    Raises:
        RecipeError: if there is no such model, or the page is about another version or promises fine-tuning.
        NotReusableError: if the model does not conform; the first check is named.
        VersionExists: if other content stands under that version.

    Example:
        >>> published = piecehub.publish("my_piece", "acme/features", documentation="page.md", store="shop", trust=True)
        >>> str(published.handle), published.created
        ('acme/features/1', True)
    """
    page = read_text_file(documentation)
    place = Workdir(Path(workdir)).store
    signing = SigningPlace(Path(signing_key), LOCAL_BUILDER) if signing_key else None
    target = Store.open(place if store is None else fspath(store))
    with find_saved_model(saved_model, place) as source:
        offered = Offered(source.folder, page, source.archive, trust or source.trusted)
        if not without_keras_metadata:
            return publish_made_elsewhere(target, offered, name, version, signing)
        with tempfile.TemporaryDirectory(prefix="piecehub-publish-") as scratch:
            folder = Path(scratch, "saved_model")
            shutil.copytree(source.folder, folder, symlinks=True, ignore=_keras_metadata_of(source.folder))
            return publish_made_elsewhere(target, replace(offered, folder=folder, archive=None), name, version, signing)


def publish_made_elsewhere(
    store: Store, offered: Offered, name: str, version: int | None = None, place: SigningPlace | None = None
) -> Published:
    """Publishes a model if it conforms, and its page says what may be said of it.

    What stands there already was checked when it came; whether it does, and whether the number is free, is asked first.

    Args:
        store: where to; made if there is none yet.
        offered: the model.
        name: `publisher/name`, as the first line of the page has it.
        version: the number, as the first line of the page has it; None takes the page's word.
        place: what to sign with; None publishes unsigned.

    Raises:
        RecipeError: if the page is about another version, or says that the model is to be fine-tuned.
        NotReusableError: if the model does not conform, or is good for serving only; the first check is named.
        CheckUnfinished: if time or memory did not suffice to check it.
        PiecehubError: as `publish` has them.
    """
    handle = _handle(offered.documentation, name, version)
    standing = find_published(store, offered.folder, handle.publisher, handle.name, version=handle.version)
    if standing is not None:
        return standing
    report = check_saved_model(
        offered.folder,
        strongest(trusted=offered.trusted),
        documentation=offered.documentation,
        archive=offered.archive,
    )
    _refuse(report, offered.folder)
    published = publish_version(
        store,
        offered.folder,
        handle.publisher,
        handle.name,
        version=handle.version,
        blobs={DOCUMENTATION_TITLE: offered.documentation.encode(), REPORT_NAME: report.to_json().encode()},
        facts={"fine_tunable": False, "made_elsewhere": True, **_parent(store, offered.folder)},
        attest=attest_with(place, offered.folder, None) if place else None,
    )
    warning = _WITHOUT_EVIDENCE.format(handle=published.handle) if published.created else ""
    return replace(published, warning=warning)


def _parent(store: Store, folder: Path) -> dict[str, str]:
    """The fact that names the piece that the model was fine-tuned from, `handle@digest`, if it names one.

    Raises:
        NotReusableError: if the store holds other content under that handle.
    """
    manifest = piece_manifest.read(folder)
    if manifest is None or not manifest.parent:
        return {}
    handle, at, digest = manifest.parent.rpartition("@")
    standing = _standing(store, handle if at else digest)
    if standing is None:
        return {"parent": manifest.parent}
    if at and digest != standing.digest:
        raise NotReusableError(
            f"Expected the parent '{handle}' of the model to be {standing.digest}, as it stands here. Received: "
            f"{digest}; export the model again with `source` as it was loaded."
        )
    return {"parent": f"{standing.handle}@{standing.digest}"}


def _standing(store: Store, handle: str) -> Manifest | None:
    try:
        return store.find(Handle.parse(handle))
    except RecipeError:  # a digest, or an address elsewhere
        return None


def _keras_metadata_of(folder: Path) -> Callable[[str, list[str]], list[str]]:
    """Tells `copytree` to leave out that file of the model; an asset of its name stays."""
    return lambda place, names: [FILE] if Path(place) == folder and FILE in names else []


def _handle(documentation: str, name: str, version: int | None) -> Handle:
    """The version that the page is about."""
    page = parse(documentation)
    if not isinstance(page, Page):
        raise RecipeError(page)
    handle = Handle.parse(documentation.partition("\n")[0].removeprefix(_HEAD))
    wanted = Handle.parse(f"{name.strip('/')}/{version or handle.version}")
    if handle != wanted:
        raise RecipeError(f"Expected a page about '{wanted}'. Received: one about '{handle}'; write its first line so.")
    if page.metadata.get("fine-tunable") != ["false"]:
        raise RecipeError(
            "Expected '<!-- fine-tunable: false -->' of a model that comes without evidence. Received: "
            f"{page.metadata.get('fine-tunable', 'nothing')}; what is to be fine-tuned is published by `piecehub run`."
        )
    return handle


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
