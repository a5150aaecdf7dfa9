"""The text of a new `recipe.toml`, with comments that teach."""

import json
from typing import Any

from pipelines.starting.looked import Looked
from pipelines.starting.plan import Plan

_HEAD = """\
# {title}
#
# It was written by `piecehub init`, from what was found in the data:
#
{notes}
#
# Nothing here is final: change what you know better, and look with `piecehub recipe check` and this folder.

[recipe]
name = {name_text} # the piece is published as publisher/name/version
publisher = "piecehub"

"""
_TRAINING = """\
[data]
module = "data.py" # whose `write` makes records of your data, once
reads = [{source}] # when something below it changes, records are written anew
schema = "schema.pbtxt" # what a record must look like
label = "label"{decode}

[data.arguments] # of `write`
source = {source}
task = {task}
held_out = {held_out}{held_out_comment}

[model]
module = "model.py"
function = "build_model"

[model.arguments]
{arguments}

[train]
epochs = {epochs}
batch_size = {batch_size}
learning_rate = {learning_rate}
optimizer = "adam"
seed = 100 # no seed of the evaluation: the controls start from those{more_train}

"""
_TRAINED = """\
[data]
module = "data.py" # whose `write` makes records of your data, once
reads = [{source}] # when something below it changes, records are written anew
schema = "schema.pbtxt" # what a record must look like
label = "label"
decode = "decode" # of model.py: what the model takes, from a record
upstream = false # nothing is trained; nobody looks whether the model has seen the task's examples

[data.arguments] # of `write`
source = {source}
task = {task}
upstream = false

[model]
module = "model.py"
function = "build_model"{checkpoint}

[train]
epochs = 0
batch_size = {batch_size}

"""
_REST = """\
[piece] # what is shared of the full model
{piece}

[[task]] # on which the piece shows how well it fine-tunes, beside a network from scratch
name = {task}{kind}

[evaluation]
shots = {shots} # {shots_of} that a downstream model learns from
seeds = [0, 1, 2, 3, 4] # each draws other shots and starts a network from scratch elsewhere
learning_rates = [0.001, 0.003]
steps = {steps} # of each fine-tuning
batch_size = 32
inverse_regularization = [0.1, 1.0, 10.0] # of linear models on frozen features
max_leakage = 0.1 # the share of examples that may equal one elsewhere or nearly so; each is told, fewer are better
sensitivity_batch_sizes = [32] # another one tries how much the batch size matters, and takes as long again

[gate] # what it takes to be published
min_gain = 0.0075 # the least gain over from scratch that must be shown, at the low end of its interval

[documentation] # what only a person knows; it becomes the model page, and without it nothing is published
description = {description}
intended_use = ""
limitations = ""
training_data = "" # what it is, whose, and under which license
license = "" # such as "apache-2.0", "mit", "cc-by-sa-4.0", or "custom"
{hub_tasks}
"""


def recipe_text(name: str, looked: Looked, plan: Plan) -> str:
    """A recipe for what was looked at, by a plan."""
    texts = looked.model == "texts"
    text = _HEAD + (_TRAINED if looked.trained else _TRAINING) + _REST
    return text.format(
        title=_comment(f"A piece from {_what(looked)}."),
        notes="\n".join(f"#   {_comment(note)}" for note in (*looked.notes, *looked.network, *plan.notes)),
        name_text=_toml(name),
        source=_toml(str(looked.source)),
        decode="" if texts else '\ndecode = "decode" # of model.py: what the model takes, from a record',
        task=_toml(plan.task),
        held_out=_toml(plan.held_out),
        held_out_comment=" # the classes of the downstream task" if plan.held_out else " # none: all are in both",
        arguments=_arguments(looked, plan),
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        learning_rate="0.003" if looked.model == "texts" else "0.002",
        more_train=_more_train(looked),
        kind="" if looked.classes else '\nkind = "regression"',
        shots=_toml(plan.shots),
        description=_toml(looked.description),
        shots_of="examples of each class" if looked.classes else "examples",
        steps=100 if looked.model.endswith("pictures") else 200,
        hub_tasks=_hub_tasks(looked),
        piece=_piece(looked),
        checkpoint="" if _is_saved_model(looked) else '\ncheckpoint = "model.keras" # the trained weights',
    )


def _is_saved_model(looked: Looked) -> bool:
    return bool(looked.trained and looked.trained.inputs)


def _comment(text: str) -> str:
    """A text on one line of a comment, whatever is in the names of somebody's classes and files."""
    return "".join(character if character.isprintable() else " " for character in text)


def _what(looked: Looked) -> str:
    names = {"images_folder": "a folder of pictures", "text_folder": "texts", "csv_table": "a table"}
    return f"{names.get(looked.data, 'records')}: {looked.source}"


def _arguments(looked: Looked, plan: Plan) -> str:
    count = "outputs" if looked.model == "columns" else "classes"
    comment = " # of the training" if plan.held_out else ""
    rest = [f"{key} = {_toml(value)}" for key, value in looked.arguments.items()]
    return "\n".join([f"{count} = {plan.outputs}{comment}", *rest])


def _more_train(looked: Looked) -> str:
    if looked.model == "pictures":
        return '\naugment = "augment"'
    if not looked.classes:
        return '\nloss = "squared_error"\naccuracy = "closeness"'
    return ""


def _piece(looked: Looked) -> str:
    if _is_saved_model(looked):
        return 'road = "as_is" # the SavedModel of the recipe, as it lies there'
    layer = looked.trained.layer if looked.trained else "features"
    cut = (
        f'road = "cut" # the model up to the layer of this name\nlayer = {_toml(layer)}' if layer else 'road = "whole"'
    )
    unfreeze = looked.trained and looked.trained.unfreeze
    return cut + ('\nfrozen = "unfreeze" # some of its layers are; "keep": they stay so for ever' if unfreeze else "")


def _hub_tasks(looked: Looked) -> str:
    if not looked.hub_tasks:
        return "# hub_tasks: TensorFlow Hub has no name for a task on tables"
    return f"hub_tasks = {_toml(looked.hub_tasks)} # what TensorFlow Hub calls it"


def _toml(value: Any) -> str:
    """Texts, numbers and lists of them, as TOML has them, which is as JSON has them, but for one character."""
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
