"""`piecehub.run`: a recipe's pipeline, from a program."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from piecehub.facts.loading import loading
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.store.place import whole
from piecehub.ui.shown import Show, form_of, shown
from pipelines.outcome import Outcome
from pipelines.planning.at_once import nothing_to_do
from pipelines.planning.repeat import repeated, signer
from pipelines.recipe.loader import load_recipe
from pipelines.recipe.tables import LoadedRecipe


def run(
    recipe: str | PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    workdir: str | PathLike[str] = DEFAULT_NAME,
    signing_key: str | PathLike[str] | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
    skip: bool = True,
    store: str | PathLike[str] = "",
) -> Outcome:
    """Runs a recipe's pipeline on this machine, to its verdict: trains, exports, measures, and publishes what may be.

    How far it is, is told on standard error, as `piecehub run` does. Finished components come from the cache, and where
    nothing has changed since the last run, its outcome is given again. A piece that may not be published is no error:
    its outcome says why.

    Args:
        recipe: a folder, or the name of a shipped recipe.
        settings: values laid over the recipe's own, by their keys.
        workdir: where store, metadata, runs, logs and data lie.
        signing_key: the private key that signs what is published; no record holds its path.
        beam_args: given such as `["--runner=FlinkRunner"]`, examples are read and trials are run by Beam pipelines, to
            the same bytes.
        devices: what the full model is trained and trials run on: all GPUs, or the processor, if empty; `cpu:2` are two
            replicas.
        skip: whether a run in which nothing has changed is left out; else what sees the store runs whatever it says.
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
    start = run_if_needed if skip else run_anyway
    with shown(form_of()) as show:
        return start(loaded, Workdir(Path(workdir), whole(str(store))), key, beam_args, devices, show)


def run_if_needed(
    loaded: LoadedRecipe, workdir: Workdir, signing_key: Path | None, beam_args: Sequence[str], devices: str, show: Show
) -> Outcome:
    """Runs a recipe that was loaded; where nothing has changed, TensorFlow and TFX are not even loaded."""
    if nothing_to_do(loaded, workdir, devices, signer(signing_key)):
        return repeated(loaded, workdir)
    return _runner().run_if_needed(loaded, workdir, signing_key, beam_args, devices, show.fd)


def run_anyway(
    loaded: LoadedRecipe, workdir: Workdir, signing_key: Path | None, beam_args: Sequence[str], devices: str, show: Show
) -> Outcome:
    """The same, but what sees the store runs in any case."""
    return _runner().run(loaded, workdir, signing_key, beam_args, devices, show.fd)


def _runner() -> Any:
    with loading("TensorFlow and TFX"):
        from pipelines import local_runner
    return local_runner
