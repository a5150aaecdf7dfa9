"""The suite against servers that break the protocol: it must say so, by name."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.loopback import answering
from tests.store.conformance import servers
from tests.store.conformance.expected import Expected

FOLDER = Path(__file__).parent


@pytest.fixture
def small(store: Store, make_model, tmp_path: Path) -> tuple[Store, Path]:
    """A store with two versions, and the file of what must be there."""
    for text in ("one", "two"):
        publish(store, make_model(text), "acme", "tiny", blobs={"documentation.md": b"# Page"}, facts={})
    path = tmp_path / "expected.json"
    path.write_text(json.dumps([asdict(version) for version in Expected.of(store).versions]))
    return store, path


def _suite(url: str, expected: Path, *features: str) -> dict[str, bool]:
    """Which tests of the protocol passed, by name."""
    options = [f"--feature={feature}" for feature in features]
    command = [sys.executable, "-P", "-m", "pytest", FOLDER / "test_protocol.py", f"--base-url={url}", "-v", "--tb=no"]
    done = subprocess.run(
        [*command, f"--expected={expected}", *options, "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        cwd=FOLDER.parents[2],
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if "::test_" in line and line.endswith("%]")]
    assert lines, done.stdout + done.stderr
    passed: dict[str, bool] = {}
    for line in lines:
        name = line.split("::")[1].partition("[")[0]
        passed[name] = passed.get(name, True) and " PASSED " in line
    return passed


def test_a_host_of_plain_files_keeps_its_subset_and_is_told_what_it_lacks(small, tmp_path):
    store, expected = small
    with servers.plain(store, tmp_path) as url:
        passed = _suite(url, expected)
    for kept in (
        "as_it_was_published",
        "keep_the_rules",
        "is_404",
        "byte_for_byte",
        "by_digest_and_by_title",
        "by_date",
    ):
        assert all(found for name, found in passed.items() if kept in name), (kept, passed)
    for lacking in ("chunks", "digest_is", "lists", "parts", "known_bytes_are_not_sent_again", "reading", "sentence"):
        assert not all(found for name, found in passed.items() if lacking in name), (lacking, passed)


def test_a_server_that_says_the_same_to_everything_fails(small):
    with answering({}, otherwise=(200, {}, b"<html>hello</html>")) as url:
        passed = _suite(url, small[1], "archive")
    assert not passed["test_every_version_is_sent_as_it_was_published"]
    assert not passed["test_what_is_not_there_is_404_with_or_without_the_query"]


def test_a_server_that_mixes_versions_up_fails(small, tmp_path):
    store, expected = small
    with servers.plain(store, tmp_path) as url:
        one, two = (tmp_path / "plain" / "acme" / "tiny" / name for name in ("1", "2"))
        one.unlink()
        one.hardlink_to(two)
        passed = _suite(url, expected, "archive")
    assert not passed["test_every_version_is_sent_as_it_was_published"]
    assert passed["test_what_is_not_there_is_404_with_or_without_the_query"]
