"""What a recipe's `data.py` writes, laid down by its content: `<place>/<content digest of a part>/<split>/*`.

On Kubeflow a task does so in every run, and what reads a part comes from the cache as long as its name is the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piecehub.errors import DataError, RecipeError
from piecehub.examples.layout import record_files
from piecehub.facts.content import content_digest, list_files
from piecehub.store.data import FINGERPRINT, FOLDER, Parts, output
from piecehub.store.place import open_backend
from piecehub.training.recipe_modules import get_function, load_module, recipe_code


def write_examples(recipe: Path, module: str, arguments: Mapping[str, Any], folder: Path) -> None:
    """Calls a recipe's `write(folder, **arguments)`; RecipeError if there is none, or it raises."""
    write = get_function(load_module(recipe, module), "write")
    with recipe_code(f"'{module}' to write the examples", RecipeError, recipe):
        write(folder, **arguments)


def lay_down_examples(
    recipe_folder: str, module: str, arguments: str, examples_folder: str, parts: str
) -> dict[str, str]:
    """What the writer of the examples does on Kubeflow: writes them, and tells each part's place and name.

    Args:
        recipe_folder: the recipe.
        module: its file whose `write` writes all parts into a folder.
        arguments: of that function, as JSON.
        examples_folder: where parts are laid down: a folder, or the uri of a bucket.
        parts: the splits of each, as JSON.

    Raises:
        RecipeError: if the module raises.
        DataError: if it wrote no records of a split.
        EnvironmentProblem: if the place cannot be written.
    """
    backend = open_backend(examples_folder)
    names: dict[str, str] = {}
    with backend.staging() as staging:
        write_examples(Path(recipe_folder), module, json.loads(arguments), staging)
        _refuse_empty(staging, json.loads(parts))
        for part in json.loads(parts):
            entries = list_files(staging / part)
            names[part] = content_digest(entries).removeprefix("sha256:")
            standing = {entry.key: entry.size_bytes for entry in backend.list(names[part])}
            for entry in entries:
                key = f"{names[part]}/{entry.path}"
                if standing.get(key) != entry.size_bytes:
                    backend.put(key, staging / part / entry.path)
            print(f"Records of '{part}': {examples_folder}/{names[part]}", flush=True)
    return {
        **{output(part, FOLDER): f"{examples_folder.rstrip('/')}/{name}" for part, name in names.items()},
        **{output(part, FINGERPRINT): name for part, name in names.items()},
    }


def _refuse_empty(folder: Path, parts: Parts) -> None:
    for part, splits in parts.items():
        for split in splits:
            if not any(Path(file).stat().st_size for file in record_files(str(folder / part / split))):
                raise DataError(f"Expected records in the split '{part}/{split}'. Received: none from the module.")
