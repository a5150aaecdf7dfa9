"""Publishes a SavedModel that no run of ours made: checked like every other one, and not recommended for fine-tuning.

There is no evidence that it fine-tunes, and TensorFlow Hub's guides ask for fine-tuning only where the publisher
recommends it: so its page must say `fine-tunable: false`, and the manifest says so too.
"""

from dataclasses import dataclass
from pathlib import Path

from piecehub.conformance import REPORT_NAME, ConformanceReport
from piecehub.content import content_digest, list_files
from piecehub.errors import NotReusableError, RecipeError
from piecehub.handle import Handle
from piecehub.manifest import DOCUMENTATION_TITLE
from piecehub.modeling.conformance.check import check_saved_model
from piecehub.modeling.conformance.page import Page, parse
from piecehub.modeling.conformance.sandbox import strongest
from piecehub.signing.attest import attest_with
from piecehub.signing.place import SigningPlace
from piecehub.store.catalog import Store
from piecehub.store.publish import Published, find_published, publish

_HEAD = "# Module "


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
    return publish(
        store,
        offered.folder,
        handle.publisher,
        handle.name,
        version=handle.version,
        blobs={DOCUMENTATION_TITLE: offered.documentation.encode(), REPORT_NAME: report.to_json().encode()},
        facts={"fine_tunable": False, "made_elsewhere": True},
        attest=attest_with(place, offered.folder, None) if place else None,
    )


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
    """Raises NotReusableError for a model that does not conform, or that is not the one that was checked."""
    if not report.conforms:
        raise NotReusableError(
            f"Expected a model that conforms. Received: one that is {report.verdict}; {report.first_failure}"
        )
    digest = content_digest(list_files(folder))
    if report.digest != digest:
        raise NotReusableError(f"Expected the model that was checked, {report.digest}. Received: {digest}; try again.")
