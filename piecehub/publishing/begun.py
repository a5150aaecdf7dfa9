"""A model page, begun: what is known of a SavedModel stands in it, and questions where only a person knows the answer.

The questions begin with TODO; a page that holds one is not published.
"""

import json
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from piecehub.conformance.documentation_terms import DEMANDS, LICENSES, TASKS
from piecehub.conformance.glance import glance
from piecehub.conformance.sandbox import strongest
from piecehub.documentation.page import Shown, offered_page
from piecehub.documentation.person import Person
from piecehub.errors import NotReusableError, RecipeError
from piecehub.facts import piece_manifest
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.publishing import proof as proofs
from piecehub.store.catalog import Store
from piecehub.store.source import find_saved_model

# What stands for a name that nobody told; `check_name` takes no capitals, so it is never published.
NO_NAME = "TODO/TODO"
_PIXELS = " Which values do its pixels have: RGB in [0, 1]?"


def begin_page(
    saved_model: str | PathLike[str],
    name: str = "",
    *,
    version: int | None = None,
    evidence: str | PathLike[str] | None = None,
    store: str | PathLike[str] | None = None,
    workdir: str | PathLike[str] = DEFAULT_NAME,
) -> str:
    """The text of a model page for a SavedModel, with questions for what its files do not tell.

    Args:
        saved_model: a folder, an archive, a handle of the local store, or an address.
        name: `publisher/name`; a question if empty.
        version: the number; the next one of the store, or the one that holds the same content, if None.
        evidence: what `piecehub evaluate --out` kept of it: its numbers stand on the page, and what the gate says.
        store: a folder, or `s3://`, `gs://` or `az://`; the working folder's if None.
        workdir: where the local store lies.

    Raises:
        RecipeError: if there is no such model, or the evidence is about another one.
        NotReusableError: if it cannot be called.
    """
    place = Workdir(Path(workdir)).store
    opened = Store.open(place if store is None else fspath(store))
    with find_saved_model(saved_model, place) as source:
        seen = glance(source.folder, strongest(trusted=source.trusted))
        if not seen.interface:
            found = (finding.sentence for finding in seen.findings)
            why = next(found, "Expected a '__call__' with a trace. Received: none.")
            raise NotReusableError(f"{why.rstrip('.')}, in '{saved_model}'.")
        digest = content_digest(list_files(source.folder))
        shared = piece_manifest.read(source.folder) or _manifest_of(seen.interface)
        handle = _handle(opened, name, version, digest) if name else None
        shown = Shown(shared, seen.interface["parameters"], digest)
        if evidence:
            shown = _measured(shown, Path(evidence), opened, handle)
    publisher, _, rest = (f"{handle.publisher}/{handle.name}" if handle else NO_NAME).partition("/")
    number = handle.version if handle else version or 1
    return offered_page(publisher, rest, number, _questions(seen.interface["domain"]), shown)


def _handle(store: Store, name: str, version: int | None, digest: str) -> Handle:
    """The version that the content has, or would get."""
    wanted = Handle.parse(f"{name.strip('/')}/{version or 1}")
    newest = store.newest(wanted.publisher, wanted.name)
    if version or newest is None:
        return wanted
    taken = store.versions(wanted.publisher, wanted.name)
    return newest.handle if newest.digest == digest else Handle(wanted.publisher, wanted.name, max(taken) + 1)


def _measured(shown: Shown, evidence: Path, store: Store, handle: Handle | None) -> Shown:
    """The same with evidence, and what the gate says of it if the model passes its checks."""
    proof = proofs.read_proof(evidence)
    if sentence := proofs.about_another(proof, shown.digest):
        raise RecipeError(sentence)
    nobody = Handle("nobody", "nothing", 1)  # with no version to compare with
    verdict = proofs.judge(proof, proofs.as_if_it_conformed(shown.digest), store, handle or nobody).verdict
    return Shown(shown.shared, shown.parameters, shown.digest, proof.folders, proof.facts(verdict)["verdict"])


def _manifest_of(interface: Mapping[str, Any]) -> PieceManifest:
    """What stands for the manifest of a SavedModel that others exported: its lists hold no names."""
    return PieceManifest(
        made_with="",
        input=interface["input"],
        output=interface["output"],
        variables=[""] * interface["variables"],
        trainable_variables=[""] * interface["trainable_variables"],
        regularizers=[{}] * interface["regularization_losses"],
        hyperparameters=interface["hyperparameters"],
    )


def _questions(domain: str) -> Person:
    """What only a person knows."""
    own = [task for task in DEMANDS if task.startswith(f"{domain}-")]
    more = sorted(task for task in TASKS if task.startswith(f"{domain}-") and task not in own)
    tasks = [f"TODO: what is it for? One of {', '.join([*own, *more])}"] if domain else []
    return Person(
        description="TODO: in one sentence, what does it make of what?",
        intended_use=f"TODO: what is it good for, and who should use it?{_PIXELS if domain == 'image' else ''}",
        limitations="TODO: where does it fail, and what should nobody use it for?",
        training_data="TODO: what was it trained on, and how? Say what its optimizer regularized, such as weight decay "
        "or moving averages of the weights: no SavedModel carries that.",
        license_id=f"TODO: which license? One of {', '.join(sorted(LICENSES))}",
        hub_tasks=json.dumps(tasks),
    )
