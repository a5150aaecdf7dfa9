"""All that is wrong with an offered model, before anybody waits for its checks.

Every fault is found, and they are told together: who writes a page wants to mend it once.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from piecehub.conformance.documentation_rules import page_faults
from piecehub.conformance.glance import Glance, glance
from piecehub.conformance.page import HEAD, parse
from piecehub.conformance.sandbox import strongest
from piecehub.errors import NotReusableError, PiecehubError, RecipeError, SeveralFaults
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import report
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.publishing import proof as proofs
from piecehub.publishing.proof import Proof
from piecehub.store.catalog import Store
from piecehub.store.publish import Published, find_published

# A handle where it is no part of an address or a path.
_HANDLE = re.compile(r"(?<![\w:/.-])[a-z\d][a-z\d-]*(?:/[a-z\d][a-z\d._-]*)+/[1-9]\d{0,17}(?![\w/-])")
_PREPROCESSOR = re.compile(r"preprocess", re.IGNORECASE)
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Offered:
    """A model and its page, as they came.

    Attributes:
        folder: of the SavedModel.
        documentation: the text of its page.
        archive: what it was unpacked from, if it was.
        trusted: whether it may run without a sandbox.
        evidence: what `piecehub evaluate --out` kept of it; None if nobody measured it.
        page: what the file of the page is called, for sentences about it.
    """

    folder: Path
    documentation: str
    archive: Path | None = None
    trusted: bool = False
    evidence: Path | None = None
    page: str = "page.md"


@dataclass(frozen=True)
class Looked:
    """What was seen of an offered model.

    Attributes:
        handle: the version that the page is about; None if it is about none.
        standing: where the store holds the content already.
        digest: of the content; empty if there is none.
        fine_tunable: whether the page says so.
        proof: its evidence.
        interface: the fields of `described.Interface`; empty if it could not be seen.
        facts: of its parent and its preprocessor, which the version carries.
        faults: all that is wrong.
    """

    offered: Offered
    handle: Handle | None
    standing: Published | None
    digest: str
    fine_tunable: bool
    proof: Proof | None
    interface: Mapping[str, Any]
    facts: Mapping[str, str]
    faults: tuple[PiecehubError, ...] = field(default=())


def look(
    store: Store, offered: Offered, name: str = "", version: int | None = None, companion: Looked | None = None
) -> Looked:
    """All that can be told of an offered model without loading it; nothing is written.

    Args:
        store: where to.
        offered: the model.
        name: `publisher/name`; the page's first line says it if empty.
        version: the number; the page's first line says it if None.
        companion: the preprocessor that is published with it.
    """
    faults: list[PiecehubError] = []
    about = _Page(offered)
    handle = _gathered(faults, lambda: about.handle(name, version))
    digest = _gathered(faults, lambda: _digest(offered.folder)) or ""
    standing = _gathered(faults, lambda: _standing(store, offered.folder, handle)) if handle and digest else None
    if standing is not None and not faults:  # it was checked when it came
        return Looked(offered, handle, standing, digest, about.fine_tunable, None, {}, {})
    seen = _gathered(faults, lambda: _glance(offered)) if digest else None
    faults += [about.fault(each.line, each.sentence) for each in (seen.faults if seen else about.faults())]
    faults += _shortcomings(seen)
    proof = _gathered(faults, lambda: _proof(offered))
    if fault := _promise(about, proof, digest, store, handle):
        faults.append(fault)
    facts = dict[str, str]()
    if digest:
        facts |= _gathered(faults, lambda: _parent(store, offered.folder)) or {}
        interface = seen.interface if seen else {}
        facts |= _gathered(faults, lambda: _preprocessor(store, about, interface, handle, companion, faults)) or {}
    return Looked(
        offered,
        handle,
        standing,
        digest,
        about.fine_tunable,
        proof,
        seen.interface if seen else {},
        facts,
        tuple(faults),
    )


def refuse(looks: Sequence[Looked]) -> None:
    """Passes if nothing is wrong.

    Raises:
        PiecehubError: the fault, if there is one.
        SeveralFaults: if there are several.
    """
    faults = list({str(fault): fault for looked in looks for fault in looked.faults}.values())
    if len(faults) == 1:
        raise faults[0]
    if faults:
        head = (
            f"Expected a model and a page that can be published. Received: {len(faults)} faults; nothing was written."
        )
        raise SeveralFaults("\n".join([head, *(fault.sentence for fault in faults)]))


class _Page:
    """The page of an offered model, and sentences about its lines."""

    def __init__(self, offered: Offered) -> None:
        self.text, self.name, self.folder = offered.documentation, offered.page, offered.folder
        self.parsed = parse(self.text)

    @property
    def fine_tunable(self) -> bool:
        return self.parsed.metadata.get("fine-tunable") == ["true"]

    def fault(self, line: int, sentence: str) -> RecipeError:
        return RecipeError(f"{self.name}:{line}: {sentence}")

    def faults(self) -> Iterator[Any]:
        yield from page_faults(self.text, None)

    def handle(self, name: str, version: int | None) -> Handle | None:
        """The version that the page is about; None if its first line has no such form, which is told otherwise."""
        try:
            handle = Handle.parse(self.text.partition("\n")[0].removeprefix(HEAD))
        except RecipeError as error:
            if any(fault.line == 1 for fault in self.parsed.faults):
                return None
            raise self.fault(1, error.sentence) from error
        wanted = Handle.parse(f"{name.strip('/')}/{version or handle.version}") if name else handle
        if handle != wanted:
            raise self.fault(1, f"Expected a page about '{wanted}'. Received: one about '{handle}'; write it so.")
        return handle

    def line_of(self, words: str) -> int:
        """The first line that holds the words, or that of the first heading."""
        lines = self.text.split("\n")
        return next((number for number, line in enumerate(lines, 1) if words in line), self.parsed.heading)


def _gathered(faults: list[PiecehubError], call: Callable[[], _Found]) -> _Found | None:
    """What the call gives; None if it finds a fault, which is noted."""
    try:
        return call()
    except PiecehubError as error:
        faults.append(error)
        return None


def _digest(folder: Path) -> str:
    if not (folder / "saved_model.pb").is_file():
        raise NotReusableError(
            f"Expected a SavedModel, a folder with 'saved_model.pb'. Received: '{folder}' without it."
        )
    return content_digest(list_files(folder))


def _standing(store: Store, folder: Path, handle: Handle) -> Published | None:
    return find_published(store, folder, handle.publisher, handle.name, version=handle.version)


def _proof(offered: Offered) -> Proof | None:
    return proofs.read_proof(offered.evidence) if offered.evidence else None


def _glance(offered: Offered) -> Glance:
    return glance(offered.folder, strongest(trusted=offered.trusted), offered.documentation)


def _shortcomings(seen: Glance | None) -> Iterator[NotReusableError]:
    """The static checks that fall short, as `check` would say it in the end."""
    for finding in seen.findings if seen else ():
        told = report("", [finding], "process limits", serves=seen is not None and seen.serves)
        yield NotReusableError(
            f"Expected a model that conforms. Received: one that is {told.verdict}; {told.first_failure}"
        )


def _promise(
    about: _Page, proof: Proof | None, digest: str, store: Store, handle: Handle | None
) -> PiecehubError | None:
    """What is wrong with the evidence, or with a page that promises what it does not show."""
    if proof and digest and (sentence := proofs.about_another(proof, digest)):
        return RecipeError(sentence)
    if not about.fine_tunable:
        return None
    line = about.parsed.lines["fine-tunable"]
    if proof is None:
        return about.fault(
            line,
            "Expected '<!-- fine-tunable: false -->' of a model that comes without evidence. Received: 'true'; pass "
            "--evidence with what `piecehub evaluate --out` kept, or write false.",
        )
    if not digest or handle is None:
        return None  # nothing to judge
    try:
        verdict = proofs.judge(proof, proofs.as_if_it_conformed(digest), store, handle).verdict
    except PiecehubError as error:
        return error
    return None if verdict.blessed else about.fault(line, proofs.unblessed(verdict))


def _parent(store: Store, folder: Path) -> dict[str, str]:
    """The fact that names the piece that the model was fine-tuned from, `handle@digest`, if it names one.

    Raises:
        NotReusableError: if the store holds other content under that handle.
    """
    manifest = piece_manifest.read(folder)
    if manifest is None or not manifest.parent:
        return {}
    handle, at, digest = manifest.parent.rpartition("@")
    standing = _version(store, handle if at else digest)
    if standing is None:
        return {"parent": manifest.parent}
    if at and digest != standing[1]:
        raise NotReusableError(
            f"Expected the parent '{handle}' of the model to be {standing[1]}, as it stands here. Received: "
            f"{digest}; export the model again with `source` as it was loaded."
        )
    return {"parent": "@".join(standing)}


def _version(store: Store, handle: str) -> tuple[str, str] | None:
    """A version of the store, and its digest; None if `handle` is a digest, or an address elsewhere, or not there."""
    try:
        manifest = store.find(Handle.parse(handle))
    except RecipeError:
        return None
    return (str(manifest.handle), manifest.digest) if manifest else None


def _preprocessor(
    store: Store,
    about: _Page,
    interface: Mapping[str, Any],
    handle: Handle | None,
    companion: Looked | None,
    faults: list[PiecehubError],
) -> dict[str, str]:
    """The fact that names the preprocessor, `handle@digest`, if the model or its page names one of this store."""
    named = {str(each): line for line, each in _named_on(about) if each != handle}
    manifest = piece_manifest.read(about.folder)
    if manifest and manifest.preprocessor:
        named.setdefault(manifest.preprocessor, 0)
        if manifest.preprocessor not in about.text:
            said = (
                f"Expected a page that names the preprocessor '{manifest.preprocessor}', as the model does. Received: "
                "nothing about it; name it."
            )
            faults.append(about.fault(about.parsed.heading, said))
    if companion is not None and companion.handle is not None:
        own = str(companion.handle)
        if own not in named:
            said = f"Expected a page that names its preprocessor '{own}'. Received: nothing about it; name it."
            faults.append(about.fault(about.parsed.heading, said))
        if sentence := _misfit(companion.interface.get("output"), interface.get("input"), own):
            faults.append(NotReusableError(sentence))
    found: dict[str, str] = {}
    for each, line in named.items():
        if companion is not None and each == str(companion.handle):
            found[each] = companion.digest
        elif (standing := _version(store, each)) is not None:
            store.usable(Handle.parse(each))
            found[each] = standing[1]
        elif _is_handle(each):
            said = (
                f"Expected the preprocessor '{each}' in the store '{store.uri}'. Received: none; publish it first, or "
                "both together by --with-preprocessor, or write its whole address if it lies elsewhere."
            )
            faults.append(about.fault(line, said) if line else RecipeError(said))
    return {"preprocessor": "@".join(next(iter(found.items())))} if found else {}


def _named_on(about: _Page) -> Iterator[tuple[int, Handle]]:
    """The handles on lines of the page that speak of a preprocessor, with the lines' numbers."""
    for number, line in enumerate(about.text.split("\n"), 1):
        for found in _HANDLE.findall(line) if number > 1 and _PREPROCESSOR.search(line) else ():
            if _is_handle(found):
                yield number, Handle.parse(found)


def _is_handle(text: str) -> bool:
    try:
        Handle.parse(text)
    except RecipeError:
        return False
    return True


def _misfit(gives: Any, takes: Any, preprocessor: str) -> str:
    """Why what a preprocessor gives is not what an encoder takes, as specs in JSON; empty if it is, or nobody knows."""
    if not gives or not takes:
        return ""
    given, taken = _by_name(gives), _by_name(takes)
    missing = [name for name in taken if name not in given]
    if missing:
        return (
            f"Expected '{preprocessor}' to give all that the model takes ({', '.join(taken)}). Received: "
            f"{', '.join(given) or 'nothing'}; publish the one that belongs to it."
        )
    for name, spec in taken.items():
        if not _fits(given[name], spec):
            return (
                f"Expected '{preprocessor}' to give '{name}' as {spec['dtype']} {spec['shape']}. Received: "
                f"{given[name]['dtype']} {given[name]['shape']}; publish the one that belongs to it."
            )
    return ""


def _by_name(specs: Any) -> dict[str, Any]:
    """Specs by their keys; of one alone, or of a list, by the place."""
    if isinstance(specs, list):
        return {str(place): spec for place, spec in enumerate(cast(list[Any], specs))}
    return {"": specs} if isinstance(specs.get("dtype"), str) else dict(specs)


def _fits(given: Mapping[str, Any], taken: Mapping[str, Any]) -> bool:
    if given["dtype"] != taken["dtype"]:
        return False
    if given["shape"] is None or taken["shape"] is None:
        return True
    pairs = zip(given["shape"], taken["shape"], strict=False)
    return len(given["shape"]) == len(taken["shape"]) and all(a == b or None in (a, b) for a, b in pairs)
