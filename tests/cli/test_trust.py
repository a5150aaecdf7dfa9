"""The commands as a person meets them: what they print, and their exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from piecehub.cli import main as cli
from piecehub.facts.content import list_files
from piecehub.signing.hub_cache import entry_name
from piecehub.signing.keys import read_public_key
from piecehub.store import curate
from tests.loopback import served
from tests.signing.conftest import Pair, World


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


def piecehub(*arguments: object) -> Result:
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def sentence(result: Result) -> str:
    """What `main` would say of the error."""
    assert result.exception is not None, result.output
    return getattr(result.exception, "sentence", str(result.exception))


def test_keys_new_prints_the_fingerprint_that_consumers_compare(tmp_path: Path) -> None:
    made = piecehub("keys", "new", "key.pem")
    assert made.stdout.strip() == read_public_key(tmp_path / "key.pem.pub").fingerprint
    assert piecehub("keys", "fingerprint", "key.pem.pub").stdout == made.stdout
    assert "Expected to write a new key" in sentence(piecehub("keys", "new", "key.pem"))


def test_verify_tells_files_signer_and_builder(world: World) -> None:
    told = piecehub("verify", "acme/tiny/1", "--store", world.store.uri, "--key", world.key.public)
    assert told.exit_code == 0, sentence(told)
    assert told.stdout.splitlines()[0] == f"acme/tiny/1  {world.manifest.digest}"
    assert "signed by 'one.pub'" in told.stdout and "urn:piecehub:builder:local" in told.stdout
    nobody = piecehub("verify", "acme/tiny/1", "--store", world.store.uri)
    assert nobody.exit_code == 0
    assert "a key that nobody here vouches for" in nobody.stdout


def test_n11_verify_takes_an_alias(world: World) -> None:
    curate.set_alias(world.store, world.manifest.handle, "champion", by="anna", why="best so far")
    told = piecehub("verify", "acme/tiny@champion", "--store", world.store.uri)
    assert told.exit_code == 0, sentence(told)
    assert told.stdout.splitlines()[0] == f"acme/tiny/1  {world.manifest.digest}"


def test_a_valid_but_untrusted_signature_exits_1_in_one_line(world: World, pairs: list[Pair]) -> None:
    arguments = ["verify", "acme/tiny/1", "--store", world.store.uri, "--key", str(pairs[1].public)]
    command = [sys.executable, "-P", "-m", "piecehub.cli", *arguments]
    home = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": home})
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "valid but untrusted" in done.stderr


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    monkeypatch.setattr(sys, "argv", ["piecehub", "keys", "new", "key.pem"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "install 'piecehub[sign]'" in capsys.readouterr().err


def test_a_folder_verifies_by_its_bundle_and_one_key(world: World, tmp_path: Path) -> None:
    blob = world.manifest.blob("model.sig")
    assert blob is not None
    (tmp_path / "model.sig").write_bytes(world.store.read_blob(blob.digest))
    told = piecehub("verify", world.model, "--bundle", "model.sig", "--key", world.key.public, "--json")
    assert json.loads(told.stdout)["digest"] == world.manifest.digest
    assert "Expected --key with --bundle" in sentence(piecehub("verify", world.model, "--bundle", "model.sig"))
    (world.model / "saved_model.pb").write_bytes(b"changed")
    changed = piecehub("verify", world.model, "--bundle", "model.sig", "--key", world.key.public)
    assert (changed.exit_code, "which is changed" in sentence(changed)) == (1, True)


def test_a_server_is_verified_and_fetched_from_and_the_cache_is_mended(world: World, tmp_path: Path) -> None:
    with served(world.store.root) as url:
        handle = world.manifest.handle.url(url)
        assert piecehub("verify", handle, "--key", world.key.public).exit_code == 0
        done = piecehub("fetch", handle, "--key", world.key.public)
        entry = Path(done.stdout.strip())
        assert entry == tmp_path / "cache" / entry_name(handle)
        assert list_files(entry) == list_files(world.model)
        assert piecehub("cache", "doctor").exit_code == 0
        (entry / "assets" / "vocabulary.txt").write_text("poison")
        assert piecehub("cache", "doctor", "--offline").exit_code == 0
        sick = piecehub("cache", "doctor")
        assert sick.exit_code == 1
        assert "other files than were published: assets/vocabulary.txt" in sick.stdout
        assert json.loads(piecehub("cache", "doctor", "--json", "--purge").stdout)[0]["kind"] == "differs"
        assert not list((tmp_path / "cache").iterdir())
        assert piecehub("fetch", handle).exit_code == 0


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "naïve", "bell\a"])
def test_a_token_that_no_header_can_carry_is_not_repeated(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)
    told = sentence(piecehub("fetch", "http://127.0.0.1:1/acme/tiny/1", "--token-file", "token"))
    assert "Expected one token in 'token'" in told
    assert text not in told


def test_key_and_trust_together_are_too_much(world: World) -> None:
    both = ["--key", world.key.public, "--trust", world.key.public]
    assert "Received: both" in sentence(piecehub("verify", "acme/tiny/1", "--store", world.store.uri, *both))
