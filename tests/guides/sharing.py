"""What the tests share: exported pieces, and a store that is served."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.store.catalog import Store
from piecehub.store.publish import publish


@dataclass(frozen=True)
class Exported:
    """A Keras 3 model and the SavedModel that was exported of it."""

    model: Any
    folder: Path


@dataclass(frozen=True)
class Shared:
    """A store that is served."""

    root: Path
    url: str

    def publish(self, folder: Path, publisher: str, name: str) -> str:
        """Publishes a SavedModel; the address that `hub.load` takes."""
        done = publish(Store.open(self.root), folder, publisher, name, blobs={}, facts={})
        return done.handle.url(self.url)
