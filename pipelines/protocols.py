"""What a recipe states of the evaluation of each task, as piecehub/transfer takes it; without TFX."""

from dataclasses import asdict
from typing import Any

from piecehub.transfer.protocol import Protocol
from piecehub.transfer.rule import Rule
from pipelines.recipe.tables import DownstreamTask, Recipe


def protocol_of(config: Recipe, task: DownstreamTask) -> Protocol:
    """The evaluation protocol that the recipe states for a task."""
    own = {"shots": task.shots, "seeds": task.seeds}
    stated: dict[str, Any] = asdict(config.evaluation) | {key: value for key, value in own.items() if value}
    return Protocol(**{key: value for key, value in stated.items() if not key.startswith("max_")})


def task_rules(config: Recipe) -> dict[str, dict[str, Any]]:
    """What the rule asks of single tasks, by name, where it is not what it asks of all (`rule.TaskRule`)."""
    keys = ("role", "min_gain", "non_inferiority_margin")
    stated = {task.name: {key: getattr(task, key) for key in keys} for task in config.task}
    return {name: {key: value for key, value in of.items() if value is not None} for name, of in stated.items()}


def rule_of(config: Recipe) -> Rule:
    """The blessing rule that the recipe states."""
    return Rule(**asdict(config.gate), tasks=task_rules(config))
