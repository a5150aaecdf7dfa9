"""Real keys, a small model with the chain that a run leaves, and the version that was published of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from piecehub.facts import provenance
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.manifest import Manifest
from piecehub.facts.provenance import Input
from piecehub.lineage import published as lineages
from piecehub.lineage.published import Lineage
from piecehub.signing.attest import attest_with
from piecehub.signing.keys import new_key
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace
from piecehub.store.catalog import Store
from piecehub.store.publish import publish


@dataclass(frozen=True)
class Pair:
    """The files of a key pair."""

    private: Path
    public: Path


@dataclass(frozen=True)
class World:
    """What was published, and with what."""

    store: Store
    model: Path
    key: Pair
    manifest: Manifest


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Three key pairs of different people."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two", "three"):
        new_key(folder / name)
    return [Pair(folder / name, folder / f"{name}.pub") for name in ("one", "two", "three")]


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder that looks like a SavedModel; `text` decides its content."""

    def make(text: str) -> Path:
        folder = tmp_path / f"model of {text}" / "saved_model"
        for path, data in {
            "saved_model.pb": f"graph of {text}".encode() * 100,
            "variables/variables.index": b"index",
            "variables/variables.data-00000-of-00001": text.encode() * 5000,
            "assets/vocabulary.txt": b"one\ntwo\n",
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder

    return make


def chain_of(model: Path, **parameters: object) -> provenance.Provenance:
    """The statements that a run of three components leaves, as components/dsl.py writes them."""
    splits = {"train": f"sha256:{'a' * 64}", "eval": f"sha256:{'b' * 64}"}
    examples = Input("Examples", f"sha256:{'c' * 64}", splits)
    code, lock = f"sha256:{'1' * 64}+sha256:{'2' * 64}", f"sha256:{'3' * 64}"
    trained = provenance.make(
        "FullModelTrainer", "full_model", f"sha256:{'d' * 64}", {"examples": [examples]},
        {"train": '{"epochs":8}', "seed": 7, "name": "digits"} | parameters, code, lock,
    )  # fmt: skip
    full = Input("components.FullModel", f"sha256:{'d' * 64}", None, trained)
    exported = provenance.make(
        "ReusableExporter", "reusable_model", f"sha256:{'e' * 64}", {"full_model": [full]}, {}, code, lock
    )
    reusable = Input("components.ReusableSavedModel", f"sha256:{'e' * 64}", None, exported)
    report = Input("components.ConformanceReport", f"sha256:{'f' * 64}")
    inputs = {"reusable_model": [reusable], "conformance": [report]}
    return provenance.make("DocumentationWriter", "documentation", f"sha256:{'0' * 64}", inputs, {}, code, lock)


def lineage_of(model: Path, **parameters: object) -> Lineage:
    """What that chain tells."""
    return lineages.from_chain(chain_of(model, **parameters), content_digest(list_files(model)))


def published(
    store: Store, model: Path, key: Pair | None, name: str = "tiny", lineage: Lineage | None = None
) -> Manifest:
    """Publishes a model of acme, signed if there is a key."""
    attest = attest_with(SigningPlace(key.private, LOCAL_BUILDER), model, lineage or lineage_of(model)) if key else None
    blobs = {"documentation.md": f"# Module acme/{name}/1\n".encode()}
    return store.manifest(publish(store, model, "acme", name, blobs=blobs, facts={}, attest=attest).handle)


@pytest.fixture
def world(tmp_path: Path, pairs: list[Pair], make_model: Callable[[str], Path]) -> World:
    """One version that the first key signed."""
    store, model = Store.open(tmp_path / "store"), make_model("weights")
    return World(store, model, pairs[0], published(store, model, pairs[0]))
