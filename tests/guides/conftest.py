"""One process with TensorFlow, one store on loopback, and a few pieces that all tests of the guides only read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["no_proxy"] = "127.0.0.1"  # the store is on loopback

import pytest

from piecehub.exporting.reusable import export
from piecehub.extraction.roads import cut_piece
from tests.guides import models
from tests.guides.sharing import Exported, Shared
from tests.loopback import served


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """An empty store, served."""
    root = tmp_path_factory.mktemp("guides") / "store"
    with served(root) as url:
        yield Shared(root, url)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test downloads into a cache of its own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A text embedding."""
    return _exported(models.text_embedding(), tmp_path_factory.mktemp("sentences") / "model")


@pytest.fixture(scope="session")
def sentences_url(store: Shared, sentences: Exported) -> str:
    """The address of the text embedding in the store."""
    return store.publish(sentences.folder, "acme", "sentences")


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An image feature vector, cut out of a classifier that was trained a little."""
    return _exported(
        cut_piece(models.trained(models.classifier()), "features"), tmp_path_factory.mktemp("features") / "model"
    )


def _exported(model: Any, folder: Path) -> Exported:
    export(model, folder)
    return Exported(model, folder)


@pytest.fixture(scope="session")
def features_url(store: Shared, features: Exported) -> str:
    """The address of the image feature vector in the store."""
    return store.publish(features.folder, "acme", "features")
