"""Who compiles a package is told what pods must find by a path of this machine."""

import shutil
from pathlib import Path

import pytest

from pipelines.kubeflow_places import sought_by_pods
from pipelines.kubeflow_platform import OnCluster
from pipelines.recipe.loader import RECIPES, load_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of one's own, whose code reads a table elsewhere."""
    folder = tmp_path / "work" / "mine"
    shutil.copytree(RECIPES / "digits", folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "recipe.toml").read_text("utf-8")
    (folder / "recipe.toml").write_text(text.replace("[data]", '[data]\nreads = ["../../table.csv"]', 1), "utf-8")
    return folder


def _told(folder: str | Path, cluster: OnCluster, workdir: Path) -> list[str]:
    return list(sought_by_pods(load_recipe(str(folder)), cluster, workdir))


def test_code_and_data_that_lie_on_this_machine_alone_are_told(recipe: Path, tmp_path: Path) -> None:
    code, data = _told(recipe, OnCluster(), tmp_path / "other")
    assert code.startswith(f"Pods look for the recipe's code at '{recipe}': ") and code.endswith("by --code.")
    assert data.startswith(f"Pods look for what data.py reads at '{tmp_path / 'table.csv'}': ")


def test_what_is_brought_or_lies_on_the_volume_or_in_the_image_is_not_told(recipe: Path, tmp_path: Path) -> None:
    assert len(_told(recipe, OnCluster(code="s3://bucket/code"), tmp_path / "other")) == 1
    assert len(_told(recipe, OnCluster(volume="claim"), tmp_path / "work")) == 1
    assert _told(recipe, OnCluster(volume="claim"), tmp_path) == []
    assert _told("digits", OnCluster(), tmp_path) == []


def test_records_in_a_folder_are_told_and_those_in_a_bucket_are_not(recipe: Path, tmp_path: Path) -> None:
    text = (recipe / "recipe.toml").read_text("utf-8")
    for place, count in ((str(tmp_path), 1), ("s3://bucket/records", 0)):
        head, _, rest = text.partition("[data]")
        part, _, tail = rest.partition("\n[model]")
        (recipe / "recipe.toml").write_text(
            f'{head}[data]\nfolder = "{place}"\nschema = "schema.pbtxt"\nlabel = "label"\n\n[model]{tail}', "utf-8"
        )
        assert part and len(_told(recipe, OnCluster(code="s3://bucket/code"), tmp_path / "other")) == count
