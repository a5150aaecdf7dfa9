"""The unmodified client of tensorflow_hub 0.16.1, on every server."""

import pytest

from piecehub.facts.content import list_files
from tests.store.hub_client import HubError

needs = pytest.mark.needs


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _contents(folder):
    return {file.path: file.sha256 for file in list_files(folder)}


def _arriving(version):
    """What the client unpacks: it makes no file of no bytes, for its file opens at the first write (GFile)."""
    return {path: sha256 for path, sha256 in version.files.items() if sha256 != EMPTY}


def test_the_client_resolves_every_version_to_what_was_published(server, client, tmp_path):
    """H3, H12 to H14."""
    for version in server.expected.served:
        folder = client.resolve(f"{server.url}/{version.name}", tmp_path)
        assert folder.parent == tmp_path and _contents(folder) == _arriving(version)
        assert client.resolve(f"{server.url}/{version.name}", tmp_path) == folder


def test_the_client_loads_and_calls_the_newest(server, client, newest, tmp_path, request):
    if request.config.getoption("--base-url", default=None) is None:
        assert client.load(f"{server.url}/{newest.name}", tmp_path) == [[[3.0, 8.0]], [1, -1]]


def test_what_cannot_be_had_leaves_the_cache_clean(server, client, newest, tmp_path):
    """H5."""
    gone = [version.name for version in server.expected.versions if version.is_gone]
    for name in (f"{newest.model}/9999", "nobody/nothing/1", *gone):
        with pytest.raises(HubError, match="HTTPError: HTTP Error 4"):
            client.resolve(f"{server.url}/{name}", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_uncompressed_model_is_on_gs_or_not_at_all(server, client, newest, tmp_path):
    """H18."""
    for version in server.expected.served:
        if version.gcs_location:
            assert client.gcs_location(f"{server.url}/{version.name}", tmp_path) == version.gcs_location
        else:
            with pytest.raises(HubError, match="ValueError: Expected 303"):
                client.gcs_location(f"{server.url}/{version.name}", tmp_path)


@needs("newest")
def test_the_client_takes_the_newest_without_a_number(server, client, newest, tmp_path):
    """H16, H21."""
    assert _contents(client.resolve(f"{server.url}/{newest.model}", tmp_path)) == _arriving(newest)


@needs("slash")
def test_a_slash_at_the_end_is_another_entry_of_the_same_content(server, client, newest, tmp_path):
    """H16."""
    folders = {client.resolve(f"{server.url}/{newest.name}{slash}", tmp_path) for slash in ("", "/")}
    assert len(folders) == 2 and all(_contents(folder) == _arriving(newest) for folder in folders)
