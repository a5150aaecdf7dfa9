"""Which Beam runner a component's pipelines go to: said by who starts the run, never by a recipe.

It changes no result, so it is no parameter of a component, whose cache key and records would hold it. The local runner
and the entry point on Kubeflow lay it around the execution of a component, in the same thread.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

# Before Beam's arguments in a Kubeflow package: they are for the work of our components too, not for TFX's alone.
ON_BEAM = "--on_beam"
_ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("piecehub-beam-arguments", default=())


@contextmanager
def beam_with(arguments: Sequence[str]) -> Generator[None]:
    """What runs inside, in this thread, gives Beam these arguments, such as `--runner=FlinkRunner`."""
    token = _ARGUMENTS.set(tuple(arguments))
    try:
        yield
    finally:
        _ARGUMENTS.reset(token)


def beam_arguments() -> tuple[str, ...]:
    """The arguments that hold here; empty where work is done on this machine, without Beam."""
    return _ARGUMENTS.get()
