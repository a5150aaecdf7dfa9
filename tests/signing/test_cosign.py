"""What we sign, read by cosign: a verifier in another language, of other people. `make engines` builds it."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from piecehub.facts.content import list_files
from piecehub.signing import signature, slsa
from tests.signing.conftest import Pair, World

_BUILT = Path(__file__).parents[2] / "build" / "engines" / "cosign"
pytestmark = pytest.mark.long
Cosign = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    """Runs it, with a home of its own; no transparency log knows a key of one's own, so it asks none."""
    program = shutil.which("cosign") or (str(_BUILT) if _BUILT.exists() else "")
    if not program:
        pytest.skip("no cosign here; `make engines` builds it")

    def run(command: str, key: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        whole = [program, command, "--key", key, "--insecure-ignore-tlog", *arguments]
        environment = {"HOME": str(tmp_path / "home")}
        return subprocess.run(whole, capture_output=True, text=True, check=False, env=environment, timeout=120)

    return run


def _written(world: World, title: str, folder: Path) -> Path:
    path = folder / title
    path.write_bytes(world.store.read_blob(world.manifest.blob(title).digest))
    return path


def test_cosign_verifies_the_provenance_and_nothing_else_in_its_place(
    world: World, pairs: list[Pair], cosign: Cosign, tmp_path: Path
) -> None:
    statement = _written(world, slsa.TITLE, tmp_path)
    archive = world.store.blob_path(world.manifest.archive.digest)

    def verdict(statement: Path, archive: Path, key: Pair) -> subprocess.CompletedProcess[str]:
        about = ["--signature", statement, "--type", "slsaprovenance1"]
        return cosign("verify-blob-attestation", key.public, *about, archive)

    whole = verdict(statement, archive, world.key)
    assert whole.returncode == 0 and "Verified OK" in whole.stderr, whole
    assert verdict(statement, archive, pairs[1]).returncode != 0
    (tmp_path / "other.tar.gz").write_bytes(archive.read_bytes() + b"x")
    assert verdict(statement, tmp_path / "other.tar.gz", world.key).returncode != 0
    value = json.loads(statement.read_text())
    value["payload"] = value["payload"][:40] + ("A" if value["payload"][40] != "A" else "B") + value["payload"][41:]
    statement.write_text(json.dumps(value))
    assert verdict(statement, archive, world.key).returncode != 0


def test_cosign_verifies_the_signature_over_the_files(
    world: World, pairs: list[Pair], cosign: Cosign, tmp_path: Path
) -> None:
    """Its artifact is what the signed subject is the sha256 of: the digests of the files, one after the other."""
    bundle, digests, root = _written(world, signature.TITLE, tmp_path), tmp_path / "digests", tmp_path / "root.json"
    digests.write_bytes(b"".join(bytes.fromhex(file.sha256) for file in list_files(world.model)))
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')

    def verdict(artifact: Path, key: Pair) -> subprocess.CompletedProcess[str]:
        about = ["--bundle", bundle, "--new-bundle-format", "--trusted-root", root]
        return cosign("verify-blob-attestation", key.public, *about, "--type", _type_of(bundle), artifact)

    whole = verdict(digests, world.key)
    assert whole.returncode == 0 and "Verified OK" in whole.stderr, whole
    assert verdict(digests, pairs[1]).returncode != 0
    digests.write_bytes(digests.read_bytes()[:-1])
    assert verdict(digests, world.key).returncode != 0


def _type_of(bundle: Path) -> str:
    """The predicate of the signed statement."""
    statement = json.loads(base64.b64decode(json.loads(bundle.read_text())["dsseEnvelope"]["payload"]))
    return statement["predicateType"]
