"""What is signed when a version is published: its files, and what it was made from.

Three blobs go with it: `model.sig`, `provenance.dsse.json`, and `signer.pem`, the public key, so that anybody can tell
a damaged signature from that of a stranger. Both are made when the handle is known, just before the commit.
"""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from piecehub.errors import NotVerified
from piecehub.facts import provenance
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import Manifest
from piecehub.lineage import published as lineages
from piecehub.lineage.published import Lineage
from piecehub.signing import envelope, signature, slsa
from piecehub.signing.keys import public_key_of
from piecehub.signing.place import SigningPlace, signing_place
from piecehub.store.publish import Attest

KEY_TITLE = "signer.pem"


def attest_run(model_dir: Path, last_artifact: Path) -> Attest | None:
    """What signs the version that a run publishes, or None if the run was given no key.

    Args:
        model_dir: the SavedModel.
        last_artifact: the folder of an artifact whose `provenance.json` tells everything before it.

    Raises:
        NotVerified: if ML Metadata tells something else than that chain does.
    """
    place = signing_place()
    if place is None:
        return None
    return attest_with(place, model_dir, run_lineage(model_dir, last_artifact, place.metadata))


def attest_with(place: SigningPlace, model_dir: Path, lineage: Lineage | None) -> Attest:
    """What signs the version of `model_dir`; `lineage` is None for a model that was made elsewhere.

    Raises:
        PiecehubError: if the key cannot be used, now or when it is called.
    """
    key = public_key_of(place.key)

    def attest(manifest: Manifest) -> Mapping[str, bytes]:
        payload = slsa.statement(manifest, lineage, place.builder, importlib.metadata.version("piecehub"))
        return {
            signature.TITLE: signature.sign_files(model_dir, manifest.files, place.key),
            slsa.TITLE: envelope.sign(payload, place.key),
            KEY_TITLE: key.pem,
        }

    return attest


def run_lineage(model_dir: Path, last_artifact: Path, metadata: Path | None) -> Lineage:
    """What a run's chain of statements tells of a SavedModel, compared with ML Metadata where there is one.

    Raises:
        NotVerified: if there is no chain, or the two tell different things; the first difference is named.
    """
    chain = provenance.read(last_artifact)
    if chain is None:
        raise NotVerified(f"Expected '{provenance.FILE_NAME}' in '{last_artifact}'. Received: none; run it again.")
    digest = content_digest(list_files(model_dir))
    told = lineages.from_chain(chain, digest)
    if metadata is not None:
        recorded = lineages.from_ml_metadata_before_push(metadata, chain.digest, digest)
        if differences := lineages.agree(told, recorded):
            raise NotVerified(
                f"Expected provenance that ML Metadata confirms. Received: {len(differences)} differences, the first: "
                f"{differences[0]} One of the two was changed; run it again."
            )
    return told
