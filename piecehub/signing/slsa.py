"""What a version was made from, as a SLSA v1 provenance statement (https://slsa.dev/spec/v1.0/provenance).

    subject               <publisher>/<name>/<version>: the sha256 of its archive; saved_model: the content digest
    buildType             one of the two below
    externalParameters    publisher, name, and each component's parameters that stand in PARAMETERS
    resolvedDependencies  examples by split, code by component, requirements.lock, parents, preprocessors, the image
    builder               who ran it; version: of piecehub
    metadata              when it was finished; invocationId: the run, of one on a cluster
    byproducts            evidence, conformance report and blessing, and what was published with the archive

It names the handle, so an archive that was signed under one name cannot be served under another one, nor an old one as
a new version. It is built from the chain of statements that every component wrote beside its output, and says no more
than they do: SLSA Build L1, for nobody isolates the builder from who starts it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from piecehub.errors import NotVerified
from piecehub.facts.content import canonical_json
from piecehub.facts.made_by import MadeBy
from piecehub.facts.manifest import Blob, Manifest
from piecehub.facts.tables import value_of
from piecehub.lineage.published import Lineage, Parent, parents_of, preprocessors_of

TITLE = "provenance.dsse.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# Names of in-toto's `TypeURI` kind; docs/signing.md says what they mean.
FROM_PIPELINE = "urn:piecehub:build:pipeline:v1"
FROM_ELSEWHERE = "urn:piecehub:build:elsewhere:v1"
# The digest of a file list is no sha256 of any file, so it has a name of its own (in-toto, digest_set.md).
CONTENT_DIGEST = "piecehubContent"
# Likewise that of a split's records, whatever files they lie in (piecehub/examples/canonical.py).
_RECORDS_DIGEST = "piecehubRecords"
# What may be published of a component's parameters: what is computed. Not where (`…_folder`, `checkpoint`), not what
# stands in the statement otherwise (digests), and not the texts of the model page, which is a by-product. Of those that
# are tables (piecehub/facts/tables.py), whatever the table holds.
PARAMETERS = frozenset(
    {
        "confidence",
        "control_seeds",
        "devices",
        "features",
        "handle",
        "incomparable_incumbent",
        "label",
        "layers",
        "license_id",
        "limits",
        "min_gain",
        "min_seeds",
        "min_tasks",
        "mode",
        "model",
        "name",
        "non_inferiority_margin",
        "options",
        "parent",
        "protocol",
        "publisher",
        "road",
        "sample_weight",
        "seed",
        "task",
        "tasks",
        "train",
        "upstream_label",
        "upstream_model",
    }
)
Json = dict[str, Any]


def statement(manifest: Manifest, lineage: Lineage | None, builder: str, piecehub_version: str) -> bytes:
    """The statement about one version, as canonical JSON.

    Args:
        manifest: of the version, without the statement itself.
        lineage: what it was made from; None for a model that was made elsewhere, of which only the name is vouched for,
            and the parent that it names.
        builder: a uri of who ran the build.
        piecehub_version: what it was run with.
    """
    made_by = MadeBy.of(manifest.facts)
    value = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(manifest),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": FROM_PIPELINE if lineage else FROM_ELSEWHERE,
                "externalParameters": {
                    "publisher": manifest.handle.publisher,
                    "name": manifest.handle.name,
                    "components": _parameters(lineage) if lineage else [],
                },
                "internalParameters": {"compression": manifest.compression},
                "resolvedDependencies": [
                    *(_dependencies(lineage) if lineage else _told(manifest)),
                    *(_image(made_by) if made_by else ()),
                ],
            },
            "runDetails": {
                "builder": {"id": builder, "version": {"piecehub": piecehub_version}},
                "metadata": {
                    "finishedOn": manifest.published_at,
                    **({"invocationId": made_by.run} if made_by else {}),
                },
                "byproducts": [*(_judgements(lineage) if lineage else ()), *map(_blob, manifest.blobs)],
            },
        },
    }
    _check_form(value)
    return canonical_json(value)


def check_subject(statement: Mapping[str, Any], manifest: Manifest) -> tuple[str, str]:
    """Who built the version, and when, if the statement is about that very version.

    Raises:
        NotVerified: if it is about another archive, other files or another name, or is no such statement.
    """
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise NotVerified(
                f"Expected '{TITLE}' to be SLSA provenance v1. Received: {str(statement['predicateType'])[:80]!a}."
            )
        found, details = statement["subject"], statement["predicate"]["runDetails"]
        builder, finished = str(details["builder"]["id"]), str(details["metadata"]["finishedOn"])
    except (KeyError, TypeError) as error:
        raise NotVerified(f"Expected '{TITLE}' to be provenance. Received: another statement ({error}).") from error
    if found != _subjects(manifest):
        raise NotVerified(
            f"Expected provenance of '{manifest.handle}' with the archive {manifest.archive.digest}. Received: that of "
            f"{str(found)[:300]}; it was taken from another version, or the archive is another one."
        )
    return builder, finished


def _subjects(manifest: Manifest) -> list[Json]:
    return [
        {"name": str(manifest.handle), "digest": _sha256(manifest.archive.digest)},
        {"name": "saved_model", "digest": {CONTENT_DIGEST: _hex(manifest.digest)}},
    ]


def _parameters(lineage: Lineage) -> list[Json]:
    steps = lineage.steps
    kept = [{k: value_of(v) for k, v in sorted(step.parameters.items()) if k in PARAMETERS} for step in steps]
    return [{"component": s.component, "parameters": p} for s, p in zip(steps, kept, strict=True)]


def _dependencies(lineage: Lineage) -> Iterable[Json]:
    for data in lineage.data:
        for split, digest in sorted(data.splits.items()):
            name = f"data/{data.role}/{data.component}.{data.key}/{split}"
            yield {"name": name, "digest": {_RECORDS_DIGEST: _hex(digest)}, "annotations": {"type": data.type}}
    code = {(step.component, part) for step in lineage.steps for part in step.code_digest.split("+")}
    for component, digest in sorted(code):  # with a recipe's module two digests, joined by '+'
        yield {"name": f"code/{component}", "digest": {CONTENT_DIGEST: _hex(digest)}}
    for digest in lineage.lock_digests:
        yield {"name": "requirements.lock", "digest": _sha256(digest)}
    yield from _parents(lineage.parents)


def _told(manifest: Manifest) -> Iterable[Json]:
    """What a version that no run made says that it depends on."""
    yield from _parents(parents_of(manifest))
    yield from _parents(preprocessors_of(manifest), "preprocessor")


def _parents(parents: Iterable[Parent], role: str = "parent") -> Iterable[Json]:
    for parent in parents:
        digest = {CONTENT_DIGEST: _hex(parent.digest)} if parent.digest else {}
        yield {"name": f"{role}/{parent.handle}", "digest": digest}


def _image(made_by: MadeBy) -> Iterable[Json]:
    digest = {"sha256": made_by.image_sha256} if made_by.image_sha256 else {}
    yield {"name": f"image/{made_by.image}", "digest": digest}


def _judgements(lineage: Lineage) -> Iterable[Json]:
    found = {"evidence": lineage.evidence, "conformance": lineage.conformance, "blessing": lineage.blessing}
    for name, digests in found.items():
        for digest in digests:
            yield {"name": name, "digest": {CONTENT_DIGEST: _hex(digest)}}


def _blob(blob: Blob) -> Json:
    return {"name": blob.title, "mediaType": blob.media_type, "digest": _sha256(blob.digest)}


def _sha256(digest: str) -> Json:
    return {"sha256": _hex(digest)}


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _check_form(value: Json) -> None:
    """Raises ParseError if SLSA's own schema does not have a field; a defect of ours."""
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    protos: Any = (provenance_pb2, statement_pb2)  # generated, without types
    ParseDict(value["predicate"], protos[0].Provenance())
    Statement.copy_from_pb(ParseDict(value, protos[1].Statement())).validate()
