"""What the types of a recipe's tables do not say: names, labels, pieces and tasks that fit together."""

import json
from collections.abc import Callable, Iterator, Sequence

from piecehub.facts.handle import Handle, check_name, check_publisher
from piecehub.facts.spans import refuse_pattern
from piecehub.facts.tables import MOST_BYTES, ModelTable, TrainTable
from piecehub.transfer.protocol import check_ascending
from pipelines.recipe.faults import Fault, fault, refuse, refused, told
from pipelines.recipe.lines import Path
from pipelines.recipe.page_texts import text_faults
from pipelines.recipe.tables import EXPORT_OPTIONS, Piece, Recipe
from pipelines.recipe.training_checks import training_faults
from pipelines.recipe.words import camel_case

_GRID = {
    "shots": "shots",
    "learning_rates": "learning rates",
    "inverse_regularization": "values of inverse regularization",
    "sensitivity_batch_sizes": "batch sizes of the sensitivity",
}


def checked(recipe: Recipe) -> Recipe:
    """The recipe, if it holds together.

    Raises:
        RecipeError: naming what does not; `SeveralFaults` if that is more than one thing.
    """
    refuse(told(recipe_faults(recipe), {}, [()]))
    return recipe


def recipe_faults(recipe: Recipe) -> Iterator[Fault]:
    """All that does not hold together in a recipe whose types are right; no file is looked at."""
    yield from refused("recipe.publisher", check_publisher, recipe.recipe.publisher)
    yield from refused("recipe.name", check_name, recipe.recipe.name)
    if bool(recipe.data.module) == bool(recipe.data.folder):
        received = "both" if recipe.data.module else "none"
        yield fault(
            f"Expected either 'data.module' or 'data.folder' in the recipe. Received: {received}.",
            *(("data.folder", "data.module") if recipe.data.folder else ("data", "data.module", "data.folder")),
        )
    yield from refused("data.folder", refuse_pattern, recipe.data.folder)
    if not recipe.data.upstream and recipe.train.epochs:
        yield fault(
            "Expected 0 'train.epochs' without upstream examples ('data.upstream'). Received: "
            f"{recipe.train.epochs}; there is nothing to train on.",
            "train.epochs",
            "data.upstream",
        )
    yield from _seed_faults(recipe)
    yield from _label_faults(recipe)
    yield from training_faults(recipe.train, recipe.data.label) if recipe.data.upstream else ()
    yield from _piece_faults(recipe)
    yield from _task_faults(recipe)
    yield from _judging_faults(recipe)
    yield from _grid_faults(recipe)
    yield from text_faults(recipe)
    yield from _size_faults(recipe)
    if recipe.model.parent:
        yield from refused("model.parent", Handle.parse, recipe.model.parent)


def _seed_faults(recipe: Recipe) -> Iterator[Fault]:
    if recipe.train.seed in recipe.seeds():
        yield fault(
            "Expected a 'train.seed' that is no seed of the evaluation, or a control starts from the weights that the "
            f"piece started from. Received: {recipe.train.seed}; choose another.",
            "train.seed",
            "evaluation.seeds",
        )


def _label_faults(recipe: Recipe) -> Iterator[Fault]:
    loss, accuracy = recipe.train.loss, recipe.train.accuracy
    if bool(loss) != bool(accuracy):
        yield fault(
            "Expected both 'train.loss' and 'train.accuracy' in the recipe, or none. Received: one.",
            *(("train.loss", "train.accuracy") if loss else ("train.accuracy", "train.loss")),
        )
    if not recipe.data.label and not loss:
        yield fault(
            "Expected the entry 'data.label' in the recipe, or a 'train.loss' that needs none. Received: neither.",
            "data.label",
            "train.loss",
        )
    for number, task in enumerate(recipe.task):
        if not task.label:
            yield fault(
                f"Expected a label for the task '{task.name}' in the recipe. Received: none; add it.",
                ("task", number, "label"),
                "data.label",
            )


def _piece_faults(recipe: Recipe) -> Iterator[Fault]:
    for number, piece in enumerate(recipe.piece):
        entry = ("piece", number, "name")
        if piece.name:
            # One that has its name from the recipe is refused with that.
            yield from refused(entry, check_name, piece.name) if piece.name != recipe.recipe.name else ()
        elif len(recipe.piece) > 1:
            yield fault(
                "Expected a name for each of several pieces in the recipe. Received: one without; add it.", entry
            )
        yield from _layer_faults(number, piece)
        yield from _as_is_faults(number, recipe) if piece.road == "as_is" else ()
    yield from _double(
        [camel_case(piece.name) for piece in recipe.piece],
        lambda number: fault(
            "Expected pieces whose names differ in letters or digits. Received: "
            f"{', '.join(piece.name for piece in recipe.piece)}; rename one.",
            ("piece", number, "name"),
        ),
    )


def _double(names: Sequence[str], tell: Callable[[int], Fault]) -> Iterator[Fault]:
    """What there is to tell of the first name that stood before."""
    again = (number for number, name in enumerate(names) if name and name in names[:number])
    if (number := next(again, None)) is not None:
        yield tell(number)


def _layer_faults(number: int, piece: Piece) -> Iterator[Fault]:
    wanted = {"cut": "one layer or several", "take": "one layer"}.get(piece.road, "none")
    entries: tuple[Path, ...] = (("piece", number, "layer"), ("piece", number, "road"))
    if piece.road in ("cut", "take") and not piece.layers:
        yield fault("Expected the entry 'piece.layer' in the recipe. Received: none; add it.", *entries)
    if len(piece.layers) > {"cut": len(piece.layers), "take": 1}.get(piece.road, 0):
        received = ", ".join(piece.layers)
        yield fault(f"Expected {wanted} in 'piece.layer' for the road '{piece.road}'. Received: {received}.", *entries)


def _as_is_faults(number: int, recipe: Recipe) -> Iterator[Fault]:
    """A SavedModel that is copied is neither trained nor exported by other options than it was."""
    road = ("piece", number, "road")
    if recipe.data.upstream:
        yield fault(
            "Expected no training ('data.upstream' false) for the road 'as_is'. Received: examples to train on; take "
            "another road.",
            road,
            "data.upstream",
        )
    plain, piece = Piece(), recipe.piece[number]
    for key in EXPORT_OPTIONS:
        if getattr(piece, key) != getattr(plain, key):
            yield fault(
                f"Expected no 'piece.{key}' for the road 'as_is'. Received: one; that was settled by its first export.",
                ("piece", number, key),
                road,
            )


def _task_faults(recipe: Recipe) -> Iterator[Fault]:
    names = [task.name for task in recipe.task]
    yield from _double(
        names,
        lambda number: fault(
            f"Expected tasks of different names in the recipe. Received: {', '.join(names)}.", ("task", number, "name")
        ),
    )
    pieces = [piece.name for piece in recipe.piece]
    for number, task in enumerate(recipe.task):
        for name in task.pieces:
            if name not in pieces:
                yield fault(
                    f"Expected pieces of the recipe ({', '.join(pieces)}) in a task. Received: '{name}'.",
                    ("task", number, "pieces"),
                    *(("piece", other, "name") for other in range(len(pieces))),
                )


def _judging_faults(recipe: Recipe) -> Iterator[Fault]:
    """Whether each piece has tasks that judge it, as many as the gate asks for."""
    named = tuple(("task", number, key) for number in range(len(recipe.task)) for key in ("pieces", "role"))
    for number, piece in enumerate(recipe.piece):
        judging = sum(task.role == "gate" for task in recipe.tasks_of(piece))
        if not judging:
            yield fault(
                f"Expected a task that judges the piece '{piece.name}'. Received: none; add one.",
                ("piece", number, "name"),
                *named,
            )
        elif recipe.gate.min_tasks > judging:
            yield fault(
                f"Expected 'gate.min_tasks' of at most {judging}, as many as judge the piece '{piece.name}'. "
                f"Received: {recipe.gate.min_tasks}.",
                "gate.min_tasks",
                *named,
            )


def _grid_faults(recipe: Recipe) -> Iterator[Fault]:
    for key, what in _GRID.items():
        if values := getattr(recipe.evaluation, key):
            yield from refused(f"evaluation.{key}", check_ascending, what, values)
    yield from _seeds_ascend("evaluation.seeds", recipe.evaluation.seeds)
    for number, task in enumerate(recipe.task):
        if task.shots:
            yield from refused(("task", number, "shots"), check_ascending, "shots", task.shots)
        if task.seeds:
            yield from _seeds_ascend(("task", number, "seeds"), task.seeds)


def _seeds_ascend(entry: Path | str, seeds: Sequence[int]) -> Iterator[Fault]:
    yield from refused(entry, check_ascending, "seeds", seeds, 0)


def _size_faults(recipe: Recipe) -> Iterator[Fault]:
    pieces = ((("piece", number, "sub_pieces"), piece.sub_pieces) for number, piece in enumerate(recipe.piece))
    tables: list[tuple[Path | str, object]] = [("data.arguments", recipe.data.arguments), *pieces]
    for entry, table in tables:
        if len(json.dumps(table)) > MOST_BYTES:
            yield fault(f"Expected arguments under {MOST_BYTES} bytes. Received: more; read them from a file.", entry)
    yield from refused("model.arguments", ModelTable.of(recipe.model).to_json)
    yield from refused("train", TrainTable.of(recipe.train).to_json)
