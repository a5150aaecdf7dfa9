"""Writes the folder of a recipe: its table, its code from the templates, its schema and its test."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piecehub.errors import RecipeError
from pipelines.starting.looked import TEMPLATES, Feature, Looked
from pipelines.starting.plan import Plan
from pipelines.starting.recipe_text import recipe_text

# What is said of a Keras model in the templates, and of a SavedModel.
_OF_SAVED_MODEL = {
    "The network that was trained before, for": "A Reusable SavedModel, for",
    "`model.keras` with its weights": "`saved_model/`",
    "`[piece] layer` says up to which of its layers it is shared.": "`[piece] road` says that it is shared as it is.",
    'with_name("model.keras")': 'with_name("saved_model")',
    "# Classes of the model's own, by name.\nOWN = {}\n": "",
}
_BUILD_SAVED_MODEL = '''\
def build_model(*, seed: int) -> keras.Model:
    """The SavedModel in a Keras model; it has no initializers, so whoever measures it draws the controls of a seed."""
    del seed
    inputs: Any = {inputs}
    return keras.Model(inputs, piecehub.ReusableLayer(MODEL, trainable=True)(inputs))
'''


def write_recipe(folder: Path, name: str, looked: Looked, plan: Plan) -> list[Path]:
    """Writes the recipe; returns its files. What is written lies in a folder of another name until all of it is there.

    Raises:
        RecipeError: if the folder is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RecipeError(f"Expected a folder that is not there, or is empty. Received: '{folder}'; choose another.")
    contents = {
        "recipe.toml": recipe_text(name, looked, plan),
        "schema.pbtxt": _schema(looked, plan),
        "data.py": _filled(looked.data, looked.constants.get(looked.data, {})),
        "model.py": _model(looked),
        "test_recipe.py": _test(looked),
    }
    if looked.columns is not None and (looked.model.endswith("columns") or looked.data == "csv_table"):
        contents["columns.json"] = json.dumps(looked.columns, indent=2, ensure_ascii=False) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        staged = Path(beside) / folder.name
        staged.mkdir()
        for file, text in contents.items():
            (staged / file).write_text(text, encoding="utf-8")
        if looked.trained:
            looked.trained.write(staged)
        if folder.exists():
            folder.rmdir()
        shutil.move(staged, folder)
    return sorted(folder.iterdir(), key=lambda path: [*contents, path.name].index(path.name))


def _filled(template: str, constants: Mapping[str, Any]) -> str:
    """A template with other constants."""
    text = (TEMPLATES / f"{template}.py").read_text("utf-8")
    for name, value in constants.items():
        several = isinstance(value, tuple) and "," in name
        shown = ", ".join(map(repr, value)) if several else _quoted(value)
        before = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(f"\n{before}\n", f"\n{name} = {shown}\n", 1)
    return text


def _test(looked: Looked) -> str:
    text = _filled("test_recipe", {})
    return text.replace('    "train.epochs": 1,\n', "") if looked.trained else text


def _model(looked: Looked) -> str:
    text = _filled(looked.model, looked.constants.get(looked.model, {}))
    if looked.trained and looked.trained.inputs:
        return _of_saved_model(text, looked.trained.inputs)
    if looked.trained and looked.trained.trust:
        text = text.replace("compile=False)", "compile=False, safe_mode=False)")
    return _with_own(text) if looked.trained and looked.trained.own else text


def _of_saved_model(text: str, inputs: str) -> str:
    """The file of a Keras model as that of a Reusable SavedModel: it decodes alike, and builds another thing."""
    decoding, _, _ = text.partition("def build_model(")
    for of_keras, instead in _OF_SAVED_MODEL.items():
        decoding = decoding.replace(of_keras, instead)
    return decoding + _BUILD_SAVED_MODEL.format(inputs=inputs)


def _with_own(text: str) -> str:
    """The file of a model with its own classes."""
    taken = text.replace("\nOWN = {}\n", "\nOWN = vars(own)\n")
    return taken.replace("\nimport piecehub\n", "\nimport piecehub\n\nfrom . import own\n", 1)


def _quoted(value: Any) -> str:
    """A constant as Python writes it, with the quotes that the rest of the file has."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(key)}: {_quoted(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _schema(looked: Looked, plan: Plan) -> str:
    """What an example must look like, by TFX's rules of a schema (docs/data.md)."""
    lines = ["# What an example must look like, upstream and downstream; an anomaly stops the run before any training."]
    for feature in looked.features:
        lines += _feature(feature)
    kind = "INT" if looked.classes else "FLOAT"
    domain = [f"  int_domain {{ min: 0 max: {plan.labels - 1} }}"] if looked.classes else []
    lines += ["feature {", '  name: "label"', f"  type: {kind}", _PRESENT, "  shape {}", *domain, "}"]
    return "\n".join(lines) + "\n"


_PRESENT = "  presence { min_fraction: 1.0 min_count: 1 }"


def _feature(feature: Feature) -> list[str]:
    lines = ["feature {", f'  name: "{feature.name}"', f"  type: {feature.type}"]
    if feature.there < 1:
        # Half of what there is now: more missing values than that are worth a look.
        share = max(0.001, round(feature.there / 2, 3))
        lines += ["  value_count { min: 1 max: 1 }", f"  presence {{ min_fraction: {share} }}"]
    else:
        dimension = f" dim {{ size: {feature.size} }} " if feature.size else ""
        lines += [_PRESENT, f"  shape {{{dimension}}}"]
    return [*lines, "}"]
