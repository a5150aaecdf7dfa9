"""Content digests and provenance: one identity of what a folder holds."""

import hashlib
import json
from pathlib import Path

import pytest

from piecehub.errors import PiecehubError
from piecehub.facts import provenance
from piecehub.facts.content import content_digest, list_files


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_the_content_digest_is_what_sha256sum_would_say(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"b/c": b"two", "a": b"one"})
    lines = [f"{hashlib.sha256(d).hexdigest()} 3 {n}\n" for n, d in [("a", b"one"), ("b/c", b"two")]]
    assert content_digest(list_files(folder)) == "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("change", [{"a": b"two"}, {"c": b""}, {"d/a": b"one"}])
def test_any_change_of_a_folder_changes_its_digest(tmp_path: Path, change: dict[str, bytes]) -> None:
    before = content_digest(list_files(_folder(tmp_path, {"a": b"one"})))
    assert content_digest(list_files(_folder(tmp_path, change))) != before


def test_a_link_cannot_be_shared(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(PiecehubError, match="only regular files"):
        list_files(tmp_path)


def _made(digest: str, inputs: list[provenance.Input]) -> provenance.Provenance:
    return provenance.make("Door", "out", digest, {"source": inputs}, {"b": 1, "a": "x"}, "sha256:c", "sha256:l")


def test_the_chain_of_an_artifact_holds_every_statement_before_it(tmp_path: Path) -> None:
    first = _made("sha256:1", [provenance.Input("Examples", "sha256:0", {"train": "sha256:t"})])
    second = _made("sha256:2", [provenance.Input("components.Piece", "sha256:1", None, first)])
    third = _made("sha256:3", [provenance.Input("components.Piece", "sha256:2", None, second)])
    provenance.write(tmp_path, third)
    read = provenance.read(tmp_path)
    assert read is not None
    assert {s["digest"] for s in read.chain.values()} == {"sha256:1", "sha256:2", "sha256:3"}
    assert read.digest == third.digest


def test_a_changed_or_missing_statement_breaks_the_chain() -> None:
    first = _made("sha256:1", [])
    second = _made("sha256:2", [provenance.Input("components.Piece", "sha256:1", None, first)])
    changed = json.loads(second.to_json())
    changed["ancestors"][first.digest]["parameters"]["b"] = 2
    with pytest.raises(PiecehubError, match="it was changed"):
        provenance.from_json(json.dumps(changed))
    missing = json.loads(second.to_json())
    missing["ancestors"] = {}
    with pytest.raises(PiecehubError, match="it is missing"):
        provenance.from_json(json.dumps(missing))


def test_the_digest_of_an_artifact_leaves_its_provenance_out(tmp_path: Path) -> None:
    before = provenance.artifact_digest(_folder(tmp_path, {"a": b"one"}))
    provenance.write(tmp_path, _made(before, []))
    assert provenance.artifact_digest(tmp_path) == before
