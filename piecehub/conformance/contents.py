"""S1, S10 and S12: the files of a SavedModel."""

import re
from pathlib import PurePosixPath

import tensorflow as tf

from piecehub.conformance.model import Model, some
from piecehub.conformance.tables import foreign_tables
from piecehub.conformance.verdict import Verdict, advise, held, short

# tfhub.dev, tools/validator.py (_check_valid_remote_asset): the files of a model, and the characters of a name. What
# lies in 'debug/' is S14.
_FILES = re.compile(
    r"saved_model\.pb|saved_model\.pbtxt|tfhub_module\.pb|keras_metadata\.pb|fingerprint\.pb|debug/.+"
    r"|variables/variables\.[^/]+|assets/.+|assets\.extra/.+"
)
_SEGMENT = re.compile(r"[\w-][-!',_\w.=:% ]*")
_TEXT = "saved_model.pbtxt"
_CHECKPOINT = "variables/variables"
_OPTIMIZER = re.compile(r"(.*/)?(_?optimizer/|\.OPTIMIZER_SLOT/).*")
_METRIC = re.compile(r"(.*/)?(keras_api/|_?metrics/).*")


def only_its_files(model: Model) -> Verdict:
    """S1: regular files, named and placed as a SavedModel's are."""
    if irregular := [path for path in model.paths if not model.is_regular(path)]:
        return short("only regular files and folders", some(irregular), "put the files themselves there")
    strange = [path for path in model.paths if not _allowed(path)]
    if strange:
        return short("only files of a SavedModel", some(strange), "remove them, or use 'assets.extra/'")
    if _TEXT in model.paths:
        return short("one graph", f"'{_TEXT}' beside 'saved_model.pb'", "remove it: nobody has looked at it")
    return held("Every file belongs to a SavedModel.")


def assets_are_its_own(model: Model) -> Verdict:
    """S10: assets lie below `assets/`, and whoever fills a table from a file takes one of them."""
    names = sorted({asset.filename for graph in model.graph.each for asset in graph.assets})
    if outside := [name for name in names if not _stays_below(name)]:
        return short("assets by their path below 'assets/'", some(outside), "save the model again")
    if absent := [name for name in names if not model.is_regular(f"assets/{name}")]:
        return short("every asset to be there", f"{some(absent)} missing", "copy the whole folder")
    if foreign := sorted({table for graph in model.graph.each for table in foreign_tables(graph)}):
        return short("tables filled from assets of the model", some(foreign), "track the file as tf.saved_model.Asset")
    return held(f"{len(names)} assets, all there.")


def checkpoint_holds_the_model(model: Model) -> Verdict:
    """S12: every value can be read. An optimizer's state is of no use, and metrics, which tf_keras leaves, are told."""
    if not model.is_regular(f"{_CHECKPOINT}.index"):
        return held("There is no checkpoint.")
    try:
        names = _readable(str(model.folder / _CHECKPOINT))
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        return short("a checkpoint that can be read whole", f"{type(error).__name__}", "copy the whole folder again")
    if optimizer := [name for name in names if _OPTIMIZER.fullmatch(name)]:
        return advise("a checkpoint without an optimizer's state", some(optimizer), "save with include_optimizer=False")
    metrics = sum(bool(_METRIC.fullmatch(name)) for name in names)
    counter = any(name.startswith("save_counter/") for name in names)
    notes = [*([f"{metrics} of a metric"] if metrics else []), *(["a save counter"] if counter else [])]
    return held(f"{len(names)} entries, none of an optimizer{'; ' + ' and '.join(notes) if notes else ''}.")


def _readable(checkpoint: str) -> list[str]:
    """The names of a checkpoint's values, after a look at each: the index alone does not tell that data are missing.

    Raises what TensorFlow raises at a value that is missing, cut short, or of another checksum.
    """
    dtypes = tf.train.load_checkpoint(checkpoint).get_variable_to_dtype_map()
    for name, dtype in dtypes.items():
        tf.raw_ops.RestoreV2(prefix=checkpoint, tensor_names=[name], shape_and_slices=[""], dtypes=[dtype])
    return sorted(dtypes)


def _allowed(path: str) -> bool:
    return bool(_FILES.fullmatch(path)) and all(_SEGMENT.fullmatch(segment) for segment in path.split("/"))


def _stays_below(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name
