"""The last run of a schedule on a Kubeflow Pipelines server: what whoever watches a nightly run asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduledRun:
    """A schedule, and its last run.

    Attributes:
        schedule: its name.
        is_paused: whether it fires no more.
        state: of the last run, as Kubeflow calls it; empty if there was none.
        age_s: how many seconds ago that was to start; None if there was none.
    """

    schedule: str
    is_paused: bool
    state: str
    age_s: float | None
