"""Publishing reusable pieces of trained TensorFlow models: the front door, with all that a user calls.

    import piecehub

    piecehub.export(model, "my_piece")                          # a Keras model as a Reusable SavedModel
    piecehub.check("my_piece").verdict                          # does it keep the interface?
    piecehub.evaluate("my_piece", recipe="my_recipe")           # how well does it fine-tune?
    layer = piecehub.ReusableLayer("my_piece", trainable=True)  # in a Keras 3 model
    piecehub.run("digits")                                      # train, cut, export, prove, publish

Every name is found on first use: `import piecehub` itself loads neither TensorFlow nor TFX. Paths are `str` or
`os.PathLike`; where a handle is taken, `publisher/name/version` of the store in `.piecehub` is one. Errors are
`piecehub.errors`; what a recipe does with pictures is `piecehub.images`. Nothing inside comes in by this door, so a new
name here changes no component's code digest.
"""

import importlib
from typing import TYPE_CHECKING, Any

from piecehub import errors as errors
from piecehub import extras as _extras
from piecehub import shadows as _shadows

if TYPE_CHECKING:
    from piecehub import images as images
    from piecehub.conformance.check import check as check
    from piecehub.consume.layer import ReusableLayer as ReusableLayer
    from piecehub.consume.loading import load as load
    from piecehub.examples.records import write_records as write_records
    from piecehub.examples.splits import write_splits as write_splits
    from piecehub.exporting.export_options import ExportOptions as ExportOptions
    from piecehub.exporting.reexport import reexport as reexport
    from piecehub.exporting.reusable import export as export
    from piecehub.exporting.reusable import export_preprocessor as export_preprocessor
    from piecehub.extraction.roads import cut_piece as cut_piece
    from piecehub.publishing.offered import publish as publish
    from piecehub.store.catalog import open_store as open_store
    from piecehub.training.checkpoint import restore_and_take_core as restore_and_take_core
    from piecehub.training.drawing import draw_weights as draw_weights
    from piecehub.training.own_fit import Training as Training
    from pipelines.evaluation import evaluate as evaluate
    from pipelines.run import run as run

# Where each name lives. No room may bear one of them: importing it would put the room in the name's place.
_HOMES = {
    "ExportOptions": "piecehub.exporting.export_options",
    "ReusableLayer": "piecehub.consume.layer",
    "Training": "piecehub.training.own_fit",
    "check": "piecehub.conformance.check",
    "cut_piece": "piecehub.extraction.roads",
    "draw_weights": "piecehub.training.drawing",
    "evaluate": "pipelines.evaluation",
    "export": "piecehub.exporting.reusable",
    "export_preprocessor": "piecehub.exporting.reusable",
    "load": "piecehub.consume.loading",
    "open_store": "piecehub.store.catalog",
    "publish": "piecehub.publishing.offered",
    "reexport": "piecehub.exporting.reexport",
    "restore_and_take_core": "piecehub.training.checkpoint",
    "run": "pipelines.run",
    "write_records": "piecehub.examples.records",
    "write_splits": "piecehub.examples.splits",
}
# Modules that are found on first use, as `from piecehub import images` finds them too.
_MODULES = ("images",)
# What a name needs to be of use, where that is not the extra `tf`.
_NEEDS = {"evaluate": _extras.PIPELINE, "open_store": "", "run": _extras.PIPELINE}
__all__ = [
    "ExportOptions",
    "ReusableLayer",
    "Training",
    "check",
    "cut_piece",
    "draw_weights",
    "evaluate",
    "export",
    "export_preprocessor",
    "load",
    "open_store",
    "publish",
    "reexport",
    "restore_and_take_core",
    "run",
    "write_records",
    "write_splits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module 'piecehub' has no attribute '{name}'")
    home, needs = _HOMES.get(name, f"piecehub.{name}"), _NEEDS.get(name, "tf")
    if needs and (lacks := _extras.lacking(needs, f"piecehub.{name}")):
        raise ModuleNotFoundError(lacks.sentence)
    if home.startswith("pipelines.") and (other := _shadows.in_the_way()):
        raise ImportError(other.sentence)
    module = importlib.import_module(home)
    if name in _MODULES:
        return module
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
