"""The ids of a recipe's components, and the name of its pipeline; light."""

from pipelines.recipe.tables import Piece, Recipe
from pipelines.recipe.words import camel_case

# The store is a side input: what reads or writes it runs in every run, whatever the cache knows.
PARENT_RESOLVER = "ParentResolver"
_SEES_THE_STORE = ("IncumbentResolver", "HubPusher")


def pipeline_name(config: Recipe) -> str:
    """What ML Metadata, and the record of a run, call the recipe's pipeline."""
    return config.recipe.name.replace("/", "-")


def piece_suffixes(config: Recipe) -> list[str]:
    """What the ids of a piece's components end with: nothing for a single piece, else its name."""
    return [""] if len(config.piece) == 1 else [camel_case(piece.name) for piece in config.piece]


def task_suffixes(config: Recipe) -> list[str]:
    """The same for the components of a task: nothing for a single task, else its name."""
    return [""] if len(config.task) == 1 else [camel_case(task.name) for task in config.task]


def evaluator_ids(config: Recipe, piece: Piece, suffix: str) -> list[str]:
    """The ids of the evaluators of a piece, in the order of its tasks."""
    judging = config.tasks_of(piece)
    pairs = zip(task_suffixes(config), config.task, strict=True)
    return [f"FineTuneEvaluator{suffix}{end}" for end, task in pairs if task in judging]


def never_cached(config: Recipe) -> list[str]:
    """The ids of the components that run in every run."""
    ids = [f"{component}{suffix}" for suffix in piece_suffixes(config) for component in _SEES_THE_STORE]
    return [PARENT_RESOLVER, *ids] if config.model.parent else ids
