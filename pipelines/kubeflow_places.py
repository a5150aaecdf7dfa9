"""What a package names by its path here, so that pods must find it there: told when a recipe is compiled."""

from collections.abc import Iterator
from pathlib import Path

from piecehub.store.place import is_uri
from pipelines.kubeflow_platform import OnCluster
from pipelines.recipe.loader import RECIPES, LoadedRecipe


def sought_by_pods(loaded: LoadedRecipe, cluster: OnCluster, workdir: Path) -> Iterator[str]:
    """A sentence for each place of the recipe's that pods look for where it lies here.

    Shipped recipes lie in the image, and what the working folder holds is on the volume, if there is one. No place is
    looked at: what is here says nothing of what is in the image.
    """
    for place, what, remedy in _places(loaded, cluster):
        on_volume = cluster.volume and place.is_relative_to(workdir.resolve())
        if not on_volume and not place.is_relative_to(RECIPES):
            yield f"Pods look for {what} at '{place}': {remedy}."


def _places(loaded: LoadedRecipe, cluster: OnCluster) -> Iterator[tuple[Path, str, str]]:
    data, folder = loaded.config.data, loaded.folder.resolve()
    if not cluster.code:
        yield folder, "the recipe's code", "compile in an image that holds it there, or bring it to a bucket by --code"
    mount = "have it there in the image or on the volume, or let data.folder name a bucket"
    for read in data.reads:
        yield (folder / read).resolve(), f"what {data.module} reads", mount
    if data.folder and not is_uri(data.folder):
        yield (folder / data.folder).resolve(), "the records", mount
