"""What is signed: the files, and what they were made from; read by tools that are not ours too."""

import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from piecehub.errors import EnvironmentProblem, NotVerified, RecipeError
from piecehub.facts import provenance
from piecehub.facts.content import list_files
from piecehub.signing import attest, envelope, place, signature, slsa
from piecehub.signing.keys import new_key, public_key_of, read_private_key, read_public_key
from piecehub.store.catalog import Store
from tests.signing.conftest import Pair, World, chain_of, lineage_of, published

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
MODEL_SIGNING = [sys.executable, "-P", "-m", "model_signing", "verify", "key"]


def _blob(world: World, title: str) -> bytes:
    return world.store.read_blob(world.manifest.blob(title).digest)


def _statement(world: World) -> dict:
    value = json.loads(_blob(world, slsa.TITLE))
    return json.loads(base64.b64decode(value["payload"]))


@needs_openssl
def test_a_new_key_is_its_owners_alone_and_openssl_reads_both_halves(tmp_path: Path) -> None:
    made = new_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    der = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "key.pem.pub"), "-outform", "DER"]
    public = subprocess.run(der, capture_output=True, check=True).stdout
    assert made.fingerprint == f"sha256:{hashlib.sha256(public).hexdigest()}"
    derive = ["openssl", "pkey", "-in", str(tmp_path / "key.pem"), "-pubout"]
    assert subprocess.run(derive, capture_output=True, check=True).stdout == made.pem
    assert public_key_of(tmp_path / "key.pem") == read_public_key(tmp_path / "key.pem.pub") == made


def test_a_new_key_is_its_owners_alone_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        new_key(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(EnvironmentProblem, match="File exists"):
        new_key(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    with pytest.raises(EnvironmentProblem, match="File exists"):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


@needs_openssl
def test_keys_of_openssl_sign_too(tmp_path: Path) -> None:
    make = "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out key.pem"
    subprocess.run(f"{make} && openssl pkey -in key.pem -pubout -out key.pem.pub", shell=True, cwd=tmp_path, check=True)
    signed = envelope.sign(b'{"a": 1}', tmp_path / "key.pem")
    statement, key = envelope.open_envelope(json.loads(signed), [read_public_key(tmp_path / "key.pem.pub")], "it")
    assert (statement, key) == ({"a": 1}, public_key_of(tmp_path / "key.pem"))


@pytest.mark.parametrize("kind", ["P-384", "Ed25519", "with a password", "public", "no key", "absent"])
def test_other_keys_are_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    path, plain = tmp_path / "key", NoEncryption()
    keys = {
        "P-384": (ec.generate_private_key(ec.SECP384R1()), plain),
        "Ed25519": (ed25519.Ed25519PrivateKey.generate(), plain),
        "with a password": (ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"secret")),
    }
    if kind in keys:
        key, encryption = keys[kind]
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    elif kind == "public":
        path.write_bytes(new_key(tmp_path / "pair").pem)
    elif kind == "no key":
        path.write_text("not a key")
    with pytest.raises(EnvironmentProblem if kind == "absent" else RecipeError, match=r"Expected a .*key.*Received: "):
        read_private_key(path)
    if kind not in ("public", "absent"):
        with pytest.raises(RecipeError, match="Expected a public key"):
            read_public_key(path)


def test_model_signings_own_command_verifies_the_bundle(world: World, pairs: list[Pair], tmp_path: Path) -> None:
    bundle = tmp_path / "model.sig"
    bundle.write_bytes(_blob(world, signature.TITLE))

    def verdict(key: Pair) -> subprocess.CompletedProcess[str]:
        options = ["--signature", str(bundle), "--public_key", str(key.public), "--no-ignore-git-paths"]
        command = [*MODEL_SIGNING, str(world.model), *options]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
        )

    assert "succeeded" in verdict(world.key).stdout
    assert verdict(pairs[1]).returncode != 0
    (world.model / ".gitignore").write_text("*")
    assert verdict(world.key).returncode != 0


def test_the_signature_is_over_dsses_encoding_by_cryptography_alone(world: World, pairs: list[Pair]) -> None:
    """Verified without a library for envelopes: the protocol's own formula, PAE(type, body)."""
    for value in (json.loads(_blob(world, slsa.TITLE)), json.loads(_blob(world, signature.TITLE))["dsseEnvelope"]):
        body, kind = base64.b64decode(value["payload"]), value["payloadType"].encode()
        encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
        signed = base64.b64decode(value["signatures"][0]["sig"])
        read_public_key(world.key.public).load().verify(signed, encoded, ec.ECDSA(SHA256()))
        with pytest.raises(InvalidSignature):
            read_public_key(pairs[1].public).load().verify(signed, encoded, ec.ECDSA(SHA256()))


def test_the_provenance_names_the_version_its_data_code_parameters_and_judgements(world: World) -> None:
    value = _statement(world)
    archive, content = value["subject"]
    assert archive == {"name": "acme/tiny/1", "digest": {"sha256": world.manifest.archive.digest[7:]}}
    assert content["digest"] == {slsa.CONTENT_DIGEST: world.manifest.digest[7:]}
    definition, details = (value["predicate"][key] for key in ("buildDefinition", "runDetails"))
    assert definition["buildType"] == slsa.FROM_PIPELINE
    trainer = definition["externalParameters"]["components"][0]
    assert trainer == {
        "component": "FullModelTrainer",
        "parameters": {"name": "digits", "seed": 7, "train": {"epochs": 8}},
    }
    needed = {item["name"]: set(item["digest"].values()) for item in definition["resolvedDependencies"]}
    assert needed["data/upstream/FullModelTrainer.examples/train"] == {"a" * 64}
    assert needed["requirements.lock"] == {"3" * 64}
    code = [i["digest"] for i in definition["resolvedDependencies"] if i["name"] == "code/FullModelTrainer"]
    assert [list(digest.values()) for digest in code] == [["1" * 64], ["2" * 64]]
    made = {item["name"]: item["digest"] for item in details["byproducts"]}
    assert made["conformance"] == {slsa.CONTENT_DIGEST: "f" * 64}
    assert made["documentation.md"] == {"sha256": world.manifest.blob("documentation.md").digest[7:]}
    assert details["metadata"]["finishedOn"] == world.manifest.published_at


def test_a_parameter_that_nobody_allowed_stays_out_of_the_statement(world: World) -> None:
    lineage = lineage_of(world.model, access_token="hf_secret", checkpoint="/home/somebody/x")
    payload = slsa.statement(world.manifest, lineage, "urn:test", "0.1.0").decode()
    assert "hf_secret" not in payload and "somebody" not in payload
    assert '"epochs":8' in payload


def test_every_parameter_of_every_component_was_decided_about() -> None:
    """A new one is published only when somebody put it onto the list."""
    import ast

    folder = Path(__file__).parents[2] / "components"
    named = {
        argument.arg
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        for argument in node.args.args
        if argument.annotation and ast.unparse(argument.annotation).startswith("Parameter[")
    }
    texts = {"description", "intended_use", "limitations", "training_data", "hub_tasks"}
    elsewhere = {"code_digest", "lock_digest", "digest", "checkpoint", "checkpoint_digest"}
    elsewhere |= {"image", "cluster_run"}  # of the pusher: as the invocation, and what it depends on
    elsewhere |= {"input_fingerprint", "splits"}  # of the ingester, whose outputs are told by those who read them
    places = {"recipe_folder", "resume_folder", "source_folder", "store_folder", "trials_folder"}
    assert named - texts - elsewhere - places == set(slsa.PARAMETERS)


def test_equal_versions_give_equal_statements(world: World) -> None:
    first, second = (slsa.statement(world.manifest, lineage_of(world.model), "urn:b", "1") for _ in range(2))
    assert first == second


def test_a_model_that_changes_while_it_is_published_is_not_signed(
    world: World, make_model: Callable[[str], Path]
) -> None:
    other = make_model("others")
    files = list_files(other)
    (other / "saved_model.pb").write_bytes(b"meanwhile")
    with pytest.raises(NotVerified, match=r"'saved_model\.pb', which is changed"):
        signature.sign_files(other, files, world.key.private)


def test_an_unsigned_version_has_none_of_it(world: World, make_model: Callable[[str], Path]) -> None:
    manifest = published(world.store, make_model("unsigned"), None, "unsigned")
    assert [blob.title for blob in manifest.blobs] == ["documentation.md"]


def test_the_private_key_and_its_path_stand_nowhere_in_the_store(world: World) -> None:
    secrets = [world.key.private.read_bytes().splitlines()[1], str(world.key.private).encode()]
    for path in world.store.root.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in secrets), path


def test_racing_publishers_sign_the_number_that_they_got(
    world: World, make_model: Callable[[str], Path], pairs: list[Pair]
) -> None:
    """The statement names the handle, so whoever loses a number signs the next one anew."""
    from concurrent.futures import ThreadPoolExecutor

    models = [make_model(f"rival {number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda model: published(Store.open(world.store.root), model, pairs[1], "race"), models))
    assert sorted(manifest.handle.version for manifest in made) == [1, 2, 3, 4, 5, 6]
    for manifest in made:
        signed = json.loads(world.store.read_blob(manifest.blob(slsa.TITLE).digest))
        assert json.loads(base64.b64decode(signed["payload"]))["subject"][0]["name"] == str(manifest.handle)


def _signed_bundle(world: World, change: Callable[[dict], object]) -> bytes:
    """A bundle by the right key over other words."""
    value = json.loads(_blob(world, signature.TITLE))
    statement = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    return json.dumps(value | {"dsseEnvelope": json.loads(envelope.sign(payload, world.key.private))}).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(predicateType="https://example.org"), "list each file once"),
        (lambda s: s["predicate"]["serialization"].update(method="shards"), "list each file once"),
        (lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"), "list each file once"),
        (lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]), "list each file once"),
        (lambda s: s["predicate"]["resources"].pop(), "is not signed"),
        (lambda s: s["predicate"].pop("resources"), "to list files"),
        (lambda s: s.pop("predicate"), "to list files"),
    ],
)
def test_a_bundle_of_the_right_key_about_something_else_is_refused(
    world: World, change: Callable[[dict], object], words: str
) -> None:
    keys = [read_public_key(world.key.public)]
    assert signature.check_files(_signed_bundle(world, lambda s: None), world.manifest.files, keys) == keys[0]
    with pytest.raises(NotVerified, match=words):
        signature.check_files(_signed_bundle(world, change), world.manifest.files, keys)


def test_a_bundle_that_leaves_files_out_by_its_own_word_is_refused(world: World, tmp_path: Path) -> None:
    """As model-signing signs by default: `.gitignore` is passed over, so one may be added to what was signed."""
    from model_signing import signing

    shutil.copytree(world.model, tmp_path / "copy")
    config = signing.Config().use_elliptic_key_signer(private_key=world.key.private)
    config.sign(tmp_path / "copy", tmp_path / "model.sig")
    (tmp_path / "copy" / ".gitignore").write_text("*")
    theirs = [*MODEL_SIGNING, str(tmp_path / "copy"), "--signature", str(tmp_path / "model.sig")]
    done = subprocess.run([*theirs, "--public_key", str(world.key.public)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(NotVerified, match=r"'\.gitignore', which is not signed"):
        signature.check_files(
            (tmp_path / "model.sig").read_bytes(), list_files(tmp_path / "copy"), [read_public_key(world.key.public)]
        )


def test_the_chain_that_the_tests_sign_is_one_that_holds(world: World) -> None:

    again = provenance.from_json(chain_of(world.model).to_json())
    assert len(again.chain) == 3


def test_only_what_runs_where_a_key_was_laid_finds_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component asks for its place; on Kubeflow the place is a mounted secret, if there is one."""
    provenance.write(tmp_path, chain_of(world.model))
    assert attest.attest_run(world.model, tmp_path) is None
    assert place.mounted_place() is None
    monkeypatch.setattr(place, "MOUNTED_KEY", world.key.private)
    mounted = place.mounted_place()
    assert mounted == place.SigningPlace(world.key.private, place.KUBEFLOW_BUILDER)
    with place.signing_with(mounted):
        sign = attest.attest_run(world.model, tmp_path)
    assert place.signing_place() is None
    assert sign is not None
    made = sign(world.manifest)
    assert set(made) == {signature.TITLE, slsa.TITLE, attest.KEY_TITLE}
    payload = json.loads(base64.b64decode(json.loads(made[slsa.TITLE])["payload"]))
    assert payload["predicate"]["runDetails"]["builder"]["id"] == place.KUBEFLOW_BUILDER


def test_a_place_is_of_its_thread_alone(world: World) -> None:
    found: list[object] = []
    with place.signing_with(place.SigningPlace(world.key.private, "urn:test")):
        thread = threading.Thread(target=lambda: found.append(place.signing_place()))
        thread.start()
        thread.join()
        assert place.signing_place() is not None
    assert found == [None]
