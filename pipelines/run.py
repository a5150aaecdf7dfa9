"""`piecehub.run`: a recipe's pipeline, from a program."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub import logs
from piecehub.facts.progress import phase
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.ui.shown import form_of, shown
from pipelines.recipe.loader import load_recipe

if TYPE_CHECKING:
    from pipelines.local_runner import Outcome


def run(
    recipe: str | PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    workdir: str | PathLike[str] = DEFAULT_NAME,
    signing_key: str | PathLike[str] | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
    store: str = "",
) -> "Outcome":
    """Runs a recipe's pipeline on this machine, to its verdict: trains, exports, measures, and publishes what may be.

    How far it is, is told on standard error, as `piecehub run` does. Finished components come from the cache. A piece
    that may not be published is no error: its outcome says why.

    Args:
        recipe: a folder, or the name of a shipped recipe.
        settings: values laid over the recipe's own, by their keys.
        workdir: where store, metadata, runs, logs and data lie.
        signing_key: the private key that signs what is published; no record holds its path.
        beam_args: given such as `["--runner=FlinkRunner"]`, examples are read and trials are run by Beam pipelines, to
            the same bytes.
        devices: what the full model is trained and trials run on: all GPUs, or the processor, if empty; `cpu:2` are two
            replicas.
        store: what is published to and a parent comes from: a folder, or a bucket by its uri (`s3://`, `gs://`,
            `az://`, `minio://`); that of the working folder if empty.

    Raises:
        RecipeError: if the recipe or a setting is wrong.
        PiecehubError: if a component fails; the sentence says which and why.

    Example:
        >>> outcome = piecehub.run("my_recipe", settings={"train.epochs": 16}, workdir="work")
        >>> outcome.pushed, [piece.handle for piece in outcome.pieces]
        (True, ['piecehub/digits/1'])
    """
    loaded = load_recipe(recipe, settings or {})
    key = Path(signing_key) if signing_key else None
    with shown(form_of()) as show:
        with phase("loading TensorFlow and TFX"), logs.away():  # of what libraries print while they load
            from pipelines import local_runner
        return local_runner.run(loaded, Workdir(Path(workdir)), key, beam_args, devices, show.fd, store)
