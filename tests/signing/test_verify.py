"""`verify`: every promise of a published version, and for each an input that breaks it."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import ArchiveError, EnvironmentProblem, NotVerified, PiecehubError, RecipeError, StoreError
from piecehub.facts.content import list_files, sha256_bytes
from piecehub.facts.manifest import Blob, Manifest
from piecehub.signing import attest, envelope, signature, slsa
from piecehub.signing.trust import Trust
from piecehub.signing.verify import Verdict, verify_folder, verify_version
from piecehub.store import archive, layout
from piecehub.store.catalog import Store
from piecehub.store.shelf import StoreShelf
from tests.signing.conftest import Pair, World, published


def _verify(world: World, trust: Trust | None = None) -> Verdict:
    return verify_version(StoreShelf(world.store), world.manifest.handle, trust)


def _replaced(world: World, manifest: Manifest) -> World:
    """The version with another manifest, sealed as one who writes to the store could seal it."""
    world.store.manifest_path(manifest.handle).write_text(manifest.to_json())
    return replace(world, manifest=manifest)


def _with_blob(world: World, title: str, data: bytes | None) -> World:
    """The version with other bytes under that title, under their right digest; None takes the blob away."""
    blobs = [blob for blob in world.manifest.blobs if blob.title != title]
    if data is not None:
        blob = Blob(title, f"sha256:{sha256_bytes(data)}", len(data))
        world.store.blob_target(blob.digest).parent.mkdir(parents=True, exist_ok=True)
        world.store.blob_target(blob.digest).write_bytes(data)
        blobs.append(blob)
    return _replaced(world, replace(world.manifest, blobs=tuple(blobs)))


def _blob(world: World, title: str) -> bytes:
    return world.store.read_blob(world.manifest.blob(title).digest)


def _trust(tmp_path: Path, pair: Pair, **words: Any) -> Trust:
    """A trust file with one key."""
    shutil.copyfile(pair.public, tmp_path / "key.pem")
    entry = {"name": "the key", "file": "key.pem", "publishers": ["acme"]} | words
    lines = [f"{key} = {value if key.startswith('valid') else json.dumps(value)}" for key, value in entry.items()]
    (tmp_path / "trust.toml").write_text("\n".join(["schema = 1", "[[key]]", *lines]))
    return Trust.load(tmp_path / "trust.toml")


def test_what_was_published_verifies_with_its_key_and_by_a_trust_file(world: World, tmp_path: Path) -> None:
    by_key = _verify(world, Trust.in_key(world.key.public))
    by_file = _verify(world, _trust(tmp_path, world.key, valid_from="2020-01-01", valid_until="2999-01-01"))
    assert (by_key.files, by_key.digest) == (4, world.manifest.digest)
    assert by_key.signed and by_file.signed
    assert by_key.signed.fingerprint == by_file.signed.fingerprint
    assert (by_file.signed.trusted_as, by_file.signed.signed_at) == ("the key", world.manifest.published_at)
    nobody_asked = _verify(world).signed
    assert nobody_asked and nobody_asked.trusted_as == ""


def test_an_unsigned_version_says_so_and_fails_only_if_a_signature_is_asked_for(
    world: World, make_model: Callable[[str], Path]
) -> None:
    unsigned = replace(world, manifest=published(world.store, make_model("bare"), None, "bare"))
    assert _verify(unsigned).signed is None
    with pytest.raises(NotVerified, match=r"signature of 'acme/bare/1'\. Received: none"):
        _verify(unsigned, Trust.in_key(world.key.public))


def test_the_key_of_another_person_does_not_do(world: World, pairs: list[Pair], tmp_path: Path) -> None:
    fingerprint = Trust.in_key(world.key.public).keys[0].fingerprint
    with pytest.raises(NotVerified, match=f"valid but untrusted one by {fingerprint}: nobody named it"):
        _verify(world, Trust.in_key(pairs[1].public))
    with pytest.raises(NotVerified, match="nobody named it"):
        _verify(world, _trust(tmp_path, pairs[1]))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"publishers": ["beta"]}, "may sign for beta, not for acme"),
        ({"publishers": []}, "may sign for nobody"),
        ({"valid_until": "2020-01-01"}, "was not valid at"),
        ({"valid_from": "2999-01-01T00:00:00Z"}, "was not valid at"),
        ({"revoked": "the laptop was stolen"}, r"is revoked \(the laptop was stolen\)"),
    ],
)
def test_a_valid_signature_is_untrusted_if_the_file_says_so(
    world: World, tmp_path: Path, words: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotVerified, match=f"valid but untrusted.*{why}"):
        _verify(world, _trust(tmp_path, world.key, **words))


def test_a_key_that_is_revoked_once_is_revoked_wherever_it_stands(world: World, tmp_path: Path) -> None:
    good = _trust(tmp_path, world.key).known[0]
    assert _verify(world, Trust((good, good))).signed
    with pytest.raises(NotVerified, match="is revoked"):
        _verify(world, Trust((good, replace(good, revoked="leaked"))))


def test_rotation_old_and_new_key_hold_each_in_its_time(world: World, pairs: list[Pair], tmp_path: Path) -> None:
    old = replace(_trust(tmp_path, world.key, valid_until="2999-01-01").known[0], name="old")
    new = replace(_trust(tmp_path, pairs[1], valid_from="2998-01-01").known[0], name="new")
    signed = _verify(world, Trust((new, old))).signed
    assert signed and signed.trusted_as == "old"
    with pytest.raises(NotVerified, match="'new' was not valid at"):
        _verify(world, Trust((replace(new, key=old.key),)))


def test_a_period_begins_at_its_first_moment_and_ends_before_its_last(world: World, tmp_path: Path) -> None:
    entry = _trust(tmp_path, world.key, valid_from="2026-01-01", valid_until="2027-01-01").known[0]
    moments = {
        "2025-12-31T23:59:59.999999": False,
        "2026-01-01": True,
        "2026-12-31T23:59:59.999999": True,
        "2027-01-01": False,
    }
    for text, may in moments.items():
        signed_at = datetime.fromisoformat(text).replace(tzinfo=UTC)
        assert (entry.refusal("acme", signed_at) == "") is may, text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema = 2",
        "schema = 1\nkeys = []",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'\npublishers = ['a']\nvalid_untill = 2020-01-01",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'\npublishers = 'a'",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'\npublishers = ['a']\nrevoked = ''",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'\npublishers = ['a']\nrevoked = true",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'key.pem'\npublishers = ['a']\nvalid_until = 'soon'",
        "schema = 1\n[[key]]\nname = 'x'\nfile = 'trust.toml'\npublishers = ['a']",
        "not toml",
    ],
)
def test_a_trust_file_that_says_something_unknown_is_refused(text: str, world: World, tmp_path: Path) -> None:
    shutil.copyfile(world.key.public, tmp_path / "key.pem")
    (tmp_path / "trust.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"Expected .*Received: "):
        Trust.load(tmp_path / "trust.toml")


def test_a_trust_file_or_key_that_is_not_there_is_the_machines_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="Expected a trust file"):
        Trust.load(tmp_path / "trust.toml")
    with pytest.raises(EnvironmentProblem, match="Expected a key"):
        Trust.in_key(tmp_path / "key.pem")


def test_every_blob_is_read_and_the_damaged_one_is_named(world: World) -> None:
    assert {b.title for b in world.manifest.blobs} > {signature.TITLE, slsa.TITLE, attest.KEY_TITLE}
    for blob in (world.manifest.archive, *world.manifest.blobs):
        path = world.store.blob_path(blob.digest)
        whole = path.read_bytes()
        for damaged in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1], whole + b"\0", b""):
            path.write_bytes(damaged)
            with pytest.raises(NotVerified, match=f"Expected '{blob.title}' with the digest {blob.digest}"):
                _verify(world)
        path.write_bytes(whole)
    _verify(world)


def test_a_blob_of_another_size_than_the_manifest_says_is_refused(world: World) -> None:
    """Its digest is right: whoever wrote that manifest lies about how much there is to fetch."""
    blob = replace(world.manifest.archive, size_bytes=world.manifest.archive.size_bytes + 1)
    changed = _replaced(world, replace(world.manifest, archive=blob))
    with pytest.raises(
        NotVerified, match=f"and {blob.size_bytes} bytes. Received: {blob.digest} and {blob.size_bytes - 1}"
    ):
        _verify(changed)


def test_a_manifest_with_a_flipped_bit_is_refused(world: World) -> None:
    path = world.store.manifest_path(world.manifest.handle)
    text = path.read_text()
    path.write_text(text.replace(world.manifest.published_at, world.manifest.published_at.replace("2", "3", 1)))
    with pytest.raises(StoreError, match="seal"):
        _verify(world)


def _changed(folder: Path, how: str, path: Path) -> None:
    match how:
        case "change":
            path.write_bytes(b"x" + path.read_bytes()[1:])
        case "remove":
            path.unlink()
        case "rename":
            path.rename(path.with_name(f"{path.name}.bak"))
        case "add":
            (path.parent / "added").write_text("more")
        case _:
            (path.parent / ".gitignore").write_text("*")


_FILES = ["saved_model.pb", "variables/variables.index", "assets/vocabulary.txt"]
_HOWS = ["change", "remove", "rename", "add", "gitignore"]


@pytest.mark.parametrize("how", _HOWS)
def test_each_file_changed_removed_renamed_or_added_breaks_the_signature_of_a_folder(
    world: World, how: str, tmp_path: Path
) -> None:
    (tmp_path / "model.sig").write_bytes(_blob(world, signature.TITLE))
    trust = Trust.in_key(world.key.public)
    for file in _FILES:
        folder = tmp_path / how / file.replace("/", "_")
        shutil.copytree(world.model, folder)
        assert verify_folder(folder, tmp_path / "model.sig", trust).digest == world.manifest.digest
        _changed(folder, how, folder / file)
        with pytest.raises(NotVerified, match="Expected the files that were signed"):
            verify_folder(folder, tmp_path / "model.sig", trust)


@pytest.mark.parametrize("how", _HOWS)
def test_a_store_that_serves_other_files_under_a_sealed_manifest_cannot_sign_them(
    world: World, how: str, tmp_path: Path
) -> None:
    """Who can write to the store makes everything anew, but for the signature."""
    folder = tmp_path / "other" / "saved_model"
    shutil.copytree(world.model, folder)
    _changed(folder, how, folder / "assets/vocabulary.txt")
    packed = archive.pack(folder, tmp_path / "model.tar.gz")
    files = tuple(list_files(folder))
    from piecehub.facts.content import content_digest

    forged = replace(
        world.manifest,
        files=files,
        digest=content_digest(files),
        archive=Blob("model.tar.gz", f"sha256:{packed.sha256}", packed.size_bytes),
    )
    target = world.store.blob_target(forged.archive.digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tmp_path / "model.tar.gz", target)
    with pytest.raises(NotVerified, match="Expected the files that were signed"):
        _verify(_replaced(world, forged))


def test_an_archive_of_other_files_than_the_manifest_lists_is_named(world: World, make_model, tmp_path: Path) -> None:
    packed = archive.pack(make_model("others"), tmp_path / "model.tar.gz")
    forged = replace(world.manifest, archive=Blob("model.tar.gz", f"sha256:{packed.sha256}", packed.size_bytes))
    target = world.store.blob_target(forged.archive.digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tmp_path / "model.tar.gz", target)
    with pytest.raises(ArchiveError, match=r"another 'saved_model\.pb'|another 'variables"):
        _verify(_replaced(world, forged))


def test_another_archive_of_the_same_files_is_not_what_was_attested(world: World, tmp_path: Path) -> None:
    import gzip

    tar = gzip.decompress(world.store.blob_path(world.manifest.archive.digest).read_bytes())
    again = gzip.compress(tar, 9, mtime=0)
    digest = f"sha256:{sha256_bytes(again)}"
    assert digest != world.manifest.archive.digest
    world.store.blob_target(digest).parent.mkdir(parents=True, exist_ok=True)
    world.store.blob_target(digest).write_bytes(again)
    forged = replace(world.manifest, archive=Blob("model.tar.gz", digest, len(again)))
    with pytest.raises(NotVerified, match="the archive is another one"):
        _verify(_replaced(world, forged))


def test_a_signed_version_under_another_name_or_number_is_refused(world: World) -> None:
    """A store that serves an old version as a new one, or one model as another."""
    for handle in (replace(world.manifest.handle, version=2), replace(world.manifest.handle, name="other")):
        path = world.store.manifest_path(handle)
        path.parent.mkdir(parents=True)
        path.write_text(replace(world.manifest, handle=handle).to_json())
        moved = replace(world, manifest=replace(world.manifest, handle=handle))
        with pytest.raises(NotVerified, match=f"Expected provenance of '{handle}'"):
            _verify(moved, Trust.in_key(world.key.public))


@pytest.mark.parametrize("title", [signature.TITLE, slsa.TITLE])
def test_half_of_the_signatures_is_none(world: World, title: str) -> None:
    with pytest.raises(NotVerified, match=f"Expected '{title}' beside"):
        _verify(_with_blob(world, title, None))


def test_without_the_published_key_a_known_one_is_needed(world: World) -> None:
    bare = _with_blob(world, attest.KEY_TITLE, None)
    assert _verify(bare, Trust.in_key(world.key.public)).signed
    with pytest.raises(NotVerified, match="signed by a key that is known here"):
        _verify(bare)


def test_a_published_key_of_a_stranger_vouches_for_nothing(world: World, pairs: list[Pair]) -> None:
    swapped = _with_blob(world, attest.KEY_TITLE, pairs[1].public.read_bytes())
    with pytest.raises(NotVerified, match="signed by a key that is known here"):
        _verify(swapped)
    with pytest.raises(RecipeError, match="Expected a public key"):
        _verify(_with_blob(world, attest.KEY_TITLE, b"no key"))


def _tampered(text: bytes, how: str) -> bytes:
    value = json.loads(text)
    inner = value.get("dsseEnvelope", value)
    payload = json.loads(base64.b64decode(inner["payload"]))
    match how:
        case "payload":
            payload["predicateType"] = "https://example.org"
            inner["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
        case "space":
            inner["payload"] = base64.b64encode(base64.b64decode(inner["payload"]) + b" ").decode()
        case "type":
            inner["payloadType"] = "text/plain"
        case "signature":
            signed = bytearray(base64.b64decode(inner["signatures"][0]["sig"]))
            signed[-1] ^= 1
            inner["signatures"][0]["sig"] = base64.b64encode(signed).decode()
        case "no signature":
            inner["signatures"] = []
        case "not base64":
            inner["payload"] = "!" + inner["payload"]
        case "no payload":
            del inner["payload"]
        case _:
            return b"[1, 2"
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "how", ["payload", "space", "type", "signature", "no signature", "not base64", "no payload", "not json"]
)
@pytest.mark.parametrize("title", [signature.TITLE, slsa.TITLE])
def test_a_tampered_envelope_is_refused(world: World, title: str, how: str) -> None:
    with pytest.raises(NotVerified, match=title.replace(".", r"\.")):
        _verify(_with_blob(world, title, _tampered(_blob(world, title), how)), Trust.in_key(world.key.public))


def test_a_wrong_hint_of_who_signed_changes_nothing(world: World) -> None:
    value = json.loads(_blob(world, slsa.TITLE))
    value["signatures"][0]["keyid"] = "somebody else"
    assert _verify(_with_blob(world, slsa.TITLE, json.dumps(value).encode()), Trust.in_key(world.key.public)).signed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["subject"].reverse(), "Expected provenance of"),
        (lambda s: s["subject"].pop(), "Expected provenance of"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "Expected provenance of"),
        (lambda s: s["subject"][1]["digest"].update({slsa.CONTENT_DIGEST: "0" * 64}), "Expected provenance of"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v0.2"), "to be SLSA provenance v1"),
        (lambda s: s["predicate"].pop("runDetails"), "to be provenance"),
        (lambda s: s["predicate"]["runDetails"]["metadata"].update(finishedOn="yesterday"), "the time of a signature"),
    ],
)
def test_a_statement_of_the_right_key_about_something_else_is_refused(
    world: World, change: Callable[[dict], object], words: str
) -> None:
    statement = json.loads(base64.b64decode(json.loads(_blob(world, slsa.TITLE))["payload"]))
    change(statement)
    signed = envelope.sign(json.dumps(statement).encode(), world.key.private)
    with pytest.raises(NotVerified, match=words):
        _verify(_with_blob(world, slsa.TITLE, signed), Trust.in_key(world.key.public))


def test_provenance_by_a_key_that_may_not_sign_for_the_publisher_is_refused(
    world: World, pairs: list[Pair], tmp_path: Path
) -> None:
    payload = base64.b64decode(json.loads(_blob(world, slsa.TITLE))["payload"])
    swapped = _with_blob(world, slsa.TITLE, envelope.sign(payload, pairs[1].private))
    mine = _trust(tmp_path, world.key).known[0]
    theirs = _trust(tmp_path, pairs[1], publishers=["beta"]).known[0]
    with pytest.raises(NotVerified, match="may sign for beta"):
        _verify(swapped, Trust((mine, theirs)))
    assert _verify(swapped, Trust((mine, replace(theirs, publishers=("acme",))))).signed


def test_a_blob_that_is_gone_is_told(world: World) -> None:
    world.store.blob_path(world.manifest.blob(slsa.TITLE).digest).unlink()
    with pytest.raises(PiecehubError, match="Expected the blob"):
        _verify(world)


def test_a_signed_version_in_a_bucket_verifies_too(world: World) -> None:
    from obstore.store import MemoryStore

    from piecehub.store.cloud import BucketBackend

    memory = MemoryStore()
    bucket = Store(BucketBackend("memory://bucket", memory, memory))
    manifest = published(bucket, world.model, world.key)
    assert verify_version(StoreShelf(bucket), manifest.handle, Trust.in_key(world.key.public)).signed
    key = layout.blob_key(manifest.archive.digest)
    memory.put(key, bytes(memory.get(key).bytes())[:-1])
    with pytest.raises(PiecehubError, match=manifest.archive.digest):
        verify_version(StoreShelf(bucket), manifest.handle)
