"""A store on gs://, as far as it can be seen without Google: what the client reads before it opens the place."""

import pytest
from obstore.store import MemoryStore

from piecehub.store import expanded
from piecehub.store.catalog import Store
from piecehub.store.cloud import BucketBackend
from piecehub.store.publish import publish
from tests.loopback import serving
from tests.store.conformance import servers
from tests.store.hub_client import HubError


@pytest.fixture(params=["memory", pytest.param("fake-gcs-server", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest) -> Store:
    """A store on gs://: in the library's memory, and on a server."""
    if request.param != "memory":
        return Store.create(request.getfixturevalue("engine_uri")(request.param))
    memory = MemoryStore()
    return Store(BucketBackend("gs://bucket/store", memory, memory)).made()


@pytest.mark.parametrize("program", ["ours", "nginx"])
def test_the_client_is_told_the_place_of_an_expanded_copy(program, store, client, models, tmp_path):
    """H18: 303, and a body that is the place to its last byte."""
    if program == "nginx" and servers.nginx_program() is None:
        pytest.skip("this machine has no nginx; on Debian: apt-get install nginx-light")
    for model in models[:2]:
        publish(store, model, "acme", "tiny", blobs={}, facts={})
    place = expanded.expand(store, store.newest("acme", "tiny"))
    assert expanded.location(store, store.newest("acme", "tiny")) == place
    with serving(lambda: store) if program == "ours" else servers.nginx(store, tmp_path) as url:
        assert client.gcs_location(f"{url}/acme/tiny/2", tmp_path) == place
        with pytest.raises(HubError, match="ValueError: Expected 303"):
            client.gcs_location(f"{url}/acme/tiny/1", tmp_path)
