"""Models and evidence that were made elsewhere."""

import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from piecehub.conformance.glance import Glance
from piecehub.conformance.page import Fault
from piecehub.facts.conformance_report import Finding
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import Workdir
from piecehub.publishing import begun, look
from piecehub.store.archive import unpack
from piecehub.store.catalog import Store
from piecehub.store.incumbent import copy_evidence
from tests.conformance.broken_models import of, plain

GOLDEN = Path(__file__).parents[1] / "golden" / "workdir.tar.gz"


@dataclass(frozen=True)
class Measured:
    """A SavedModel, its evidence of a real run, and what that run said of it."""

    model: Path
    evidence: Path
    verdict: str
    page: str


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that conforms: rows of four numbers to three."""
    return of(plain)(tmp_path_factory.mktemp("rows") / "model")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What a run of `digits` published, whose rule asked for a gain above -100 points."""
    root = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(root, filter="data")
    store = Store.open(Workdir(root / ".piecehub").store)
    manifest = store.manifest(Handle.parse("piecehub/digits/1"))
    unpack(store.blob_path(manifest.archive.digest), root / "model")
    copy_evidence(store, manifest, root)
    page = store.read_blob(manifest.blob("documentation.md").digest).decode()
    return Measured(root / "model", root / "evidence", json.dumps(manifest.facts["verdict"]), page)


@pytest.fixture
def glances_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a model is taken in this process, which has TensorFlow loaded, in place of a fresh one."""
    from piecehub.conformance import inside

    def glance(folder: Path, _: object, documentation: str = "") -> Glance:
        found = inside.glance(str(folder), documentation)
        findings = tuple(Finding(**each) for each in found["findings"])
        faults = tuple(Fault(**each) for each in found["faults"])
        return Glance(findings, found["interface"] or {}, faults, found["serves"])

    monkeypatch.setattr(look, "glance", glance)
    monkeypatch.setattr(begun, "glance", glance)


@pytest.fixture
def blessed(digits: Measured, tmp_path: Path) -> Path:
    """The evidence with that rule, as `piecehub evaluate --out` keeps it."""
    folder = tmp_path / "blessed"
    shutil.copytree(digits.evidence, folder)
    (folder / "verdict.json").write_text(digits.verdict, encoding="utf-8")
    return folder
