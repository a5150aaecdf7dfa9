"""What the store says of the models that a recipe has to do with: versions, and what people said of them.

Light: neither TFX nor TensorFlow is imported.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from piecehub.facts.handle import Handle
from piecehub.facts.plan import plain
from piecehub.store.catalog import Store
from pipelines.recipe.tables import LoadedRecipe

State = dict[str, Any]


def store_state(loaded: LoadedRecipe, place: str) -> State:
    """By model, its versions and its log (yanks, quarantines, aliases); of a store that is not there, nothing."""
    config, store = loaded.config, Store.open(place)
    models = [(config.recipe.publisher, piece.name) for piece in config.piece]
    if config.model.parent:
        parent = Handle.parse(config.model.parent)
        models.append((parent.publisher, parent.name))
    return {f"{publisher}/{name}": plain(asdict(store.state(publisher, name))) for publisher, name in models}


def after_publishing(before: State, handles: Iterable[str]) -> State:
    """The state before a run, and beside it what the run itself published."""
    new = [Handle.parse(handle) for handle in handles if handle]
    return {
        model: state
        | {"versions": sorted({*state["versions"], *(h.version for h in new if f"{h.publisher}/{h.name}" == model)})}
        for model, state in before.items()
    }
