"""`pytest tests/store/faults --faults FOLDER` keeps what each campaign counted; report.py makes docs/faults.md."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from piecehub.errors import PiecehubError
from piecehub.facts.content import content_digest, list_files
from piecehub.store import archive
from piecehub.store.catalog import Store
from piecehub.store.fsck import check_store
from piecehub.store.publish import publish
from tests.store.faults.campaign import Campaign
from tests.store.faults.forge import Forge, running_forge


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the counts are kept."""
    parser.addoption("--faults", type=Path, help="A folder for what each campaign counted.")


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Publishers in processes of their own."""
    with running_forge() as found:
        yield found


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Callable[[str, str], Campaign]:
    """Starts a campaign; conclude it at the end of the test."""
    folder = request.config.getoption("--faults", default=None)
    return lambda name, place: Campaign(name, place, folder)


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what a killed process wrote is there all the same, and fsync is quick."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="piecehub-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose archive takes several blocks."""
    return make_model(tmp_path_factory.mktemp("model") / "model", "weights")


def make_model(folder: Path, text: str) -> Path:
    """A folder that looks like a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(f"graph of {text}".encode() * 100)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "data").write_bytes(bytes(i * i % 251 for i in range(50_000)) * 60 + text.encode())
    return folder


def readers_view(store: Store) -> list[str]:
    """What a reader can see that is wrong, or a part; reads every byte of every version that is there."""
    wrong: list[str] = []
    try:
        for manifest in store.models():
            with store.blob_file(manifest.archive.digest) as path:
                archive.verify(path, manifest.files)
            for blob in manifest.blobs:
                store.read_blob(blob.digest)
        wrong += [finding.key for finding in check_store(store).damage]
    except PiecehubError as error:
        wrong.append(error.sentence)
    return wrong


def look(campaign: Campaign, store: Store, model: Path, trial: str) -> None:
    """After a fault: a reader looks, the publisher tries again, a reader looks again."""
    campaign.wrong += [f"{trial}: {wrong}" for wrong in readers_view(store)]
    try:
        publish(store, model, "acme", "tiny", blobs={"documentation.md": b"# Page", "evidence.json": b"{}"}, facts={})
    except PiecehubError as error:
        campaign.not_one.append(f"{trial}: {error.sentence}")
        return
    found = store.models()
    if [m.handle.version for m in found] != [1] or found[0].digest != content_digest(list_files(model)):
        campaign.not_one.append(f"{trial}: {found}")
    campaign.not_one += [f"{trial}: {wrong}" for wrong in readers_view(store)]
