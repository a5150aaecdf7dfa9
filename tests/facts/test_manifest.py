"""The manifest and the handle: text and back."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.content import FileEntry, content_digest
from piecehub.facts.handle import RESERVED_PUBLISHERS, Handle
from piecehub.facts.manifest import Blob, Manifest

FILES = (FileEntry("assets/größe.txt", 3, "a" * 64), FileEntry("saved_model.pb", 5, "b" * 64))
MANIFEST = Manifest(
    handle=Handle("acme", "vision/tiny", 12),
    digest=content_digest(FILES),
    files=FILES,
    published_at="2024-01-02T03:04:05.678+00:00",
    compression="gzip",
    archive=Blob("model.tar.gz", f"sha256:{'1' * 64}", 99),
    blobs=(Blob("documentation.md", f"sha256:{'2' * 64}", 5), Blob("evidence.json", f"sha256:{'3' * 64}", 6)),
    facts={"fine_tunable": True, "parameters": {"rate": 0.1, "layers": [1, 2]}},
)


def test_a_manifest_survives_its_text():
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_equal_manifests_give_equal_bytes():
    facts = dict(reversed(list(MANIFEST.facts.items())))
    other = dataclasses.replace(MANIFEST, facts=facts, blobs=MANIFEST.blobs[::-1], files=FILES[::-1])
    assert other.to_json() == MANIFEST.to_json()


def test_the_text_is_an_oci_image_manifest():
    """As image-spec 1.1 has it: an empty config, descriptors, and annotations that are strings."""
    value = json.loads(MANIFEST.to_json())
    assert value["schemaVersion"] == 2 and value["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert value["artifactType"] == "application/vnd.piecehub.model.v1+json"
    assert value["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert value["layers"][0] == {
        "mediaType": "application/gzip",
        "digest": f"sha256:{'1' * 64}",
        "size": 99,
        "annotations": {"org.opencontainers.image.title": "model.tar.gz"},
    }
    assert [layer["mediaType"] for layer in value["layers"][1:]] == ["text/markdown", "application/json"]
    assert all(isinstance(note, str) for note in value["annotations"].values())


def test_blobs_are_found_by_title():
    assert MANIFEST.blob("evidence.json") == MANIFEST.blobs[1] and MANIFEST.blob("model.tar.gz") == MANIFEST.archive
    assert MANIFEST.blob("nothing") is None


@pytest.mark.parametrize("change", [{"schemaVersion": 3}, {"artifactType": "application/other"}])
def test_a_manifest_of_another_kind_is_refused(change):
    value = json.loads(MANIFEST.to_json()) | change
    with pytest.raises(StoreError, match="Expected a manifest of schema 2"):
        Manifest.from_json(json.dumps(value))


@pytest.mark.parametrize("key", ["layers", "annotations", "model"])
def test_a_manifest_with_a_part_missing_is_refused(key):
    value = json.loads(MANIFEST.to_json())
    del value[key]
    with pytest.raises(StoreError, match="a damaged one"):
        Manifest.from_json(json.dumps(value))


def test_a_manifest_whose_digest_is_no_digest_is_refused():
    with pytest.raises(StoreError, match="a damaged one"):
        Manifest.from_json(MANIFEST.to_json().replace(f"sha256:{'1' * 64}", "sha256:../../etc"))


_SEGMENT = st.text("az09._-", max_size=8).map(lambda s: f"x{s}")


@settings(max_examples=50, deadline=None, database=None)
@given(
    st.text("az09-", max_size=8).map(lambda s: f"x{s}"),
    st.lists(_SEGMENT, min_size=1, max_size=3).map("/".join),
    st.integers(1, 10**12),
)
def test_a_handle_survives_its_text(publisher, name, version):
    handle = Handle(publisher, name, version)
    assert Handle.parse(str(handle)) == handle


@pytest.mark.parametrize(
    "text",
    ["", "acme", "acme/tiny", "acme/1", "acme/tiny/x", "acme/tiny/-1", "acme/tiny/0", "acme/tiny/١", "a/b//1",
     "Acme/tiny/1", "acme/Tiny/1", "acme/../1", "acme/tiny/2/1", "acme/aliases/1", "acme/.hidden/1"],
)  # fmt: skip
def test_what_is_no_handle_is_refused(text):
    with pytest.raises(RecipeError):
        Handle.parse(text)


@pytest.mark.parametrize("publisher", sorted(RESERVED_PUBLISHERS))
def test_routes_of_the_server_are_no_publishers(publisher):
    with pytest.raises(RecipeError, match="not a route"):
        Handle(publisher, "tiny", 1)
