"""One run of a package on a server: submitted, waited for, and what became of it."""

import time
from collections.abc import Mapping
from typing import Any

from piecehub.errors import RunFailed, ServerUnreached
from piecehub.facts.pod_outcome import PodOutcome, read_outcome
from pipelines.operating.connection import Server
from pipelines.operating.package import Package
from pipelines.operating.pod_logs import logs_of_task, what_to_ask
from pipelines.operating.uploads import upload

_PUSHER = "HubPusher"
SUCCEEDED = "SUCCEEDED"
# A cancelled run ends too, for which the SDK's own call waits for ever.
ENDED = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
# How often in a row a server may not answer while a run of hours is waited for.
_SILENCES = 10


def submit(
    server: Server, package: Package, parameters: Mapping[str, Any], *, name: str, root: str = "", experiment: str = ""
) -> str:
    """Starts a run, and returns its id; the package is uploaded if the server does not have it.

    Args:
        server: where.
        package: what.
        parameters: of `Package.arguments`.
        name: the run's.
        root: the pipeline root; empty for the server's own.
        experiment: that it belongs to; empty for one of the pipeline's name.
    """
    version = upload(server, package)
    made = server.ask(
        "run_pipeline",
        experiment_id=experiment_id(server, experiment or package.name),
        job_name=name,
        params=dict(parameters),
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        pipeline_root=root or None,
    )
    return str(made.run_id)


def experiment_id(server: Server, name: str) -> str:
    """The id of an experiment, which is made if it is not there."""
    return str(server.ask("create_experiment", name=name, namespace=server.namespace).experiment_id)


def wait(server: Server, run_id: str, at_most_s: float, pause_s: float = 5.0) -> Any:
    """Waits until a run has ended, and returns it.

    Args:
        server: where it runs.
        run_id: the run.
        at_most_s: how long; the run goes on after it.
        pause_s: between two questions.

    Raises:
        ServerUnreached: if it takes longer, or the server does not answer several times in a row.
    """
    until, state, silences = time.monotonic() + at_most_s, "not told", 0
    while True:
        try:
            run, silences = server.ask("get_run", run_id=run_id), 0
            state = run.state or state
            if state in ENDED:
                return run
        except ServerUnreached:
            silences += 1
            if silences == _SILENCES:
                raise
        if time.monotonic() + pause_s > until:
            raise ServerUnreached(
                f"Expected the run {run_id} to end within {at_most_s:g} s. Received: its state is {state}; it goes on, "
                "and `piecehub kubeflow list` tells of it."
            )
        time.sleep(pause_s)


def outcome(server: Server, run: Any) -> PodOutcome:
    """Whether a run that has ended published.

    Raises:
        RunFailed: if it did not end well.
        ServerUnreached: if it did, and nothing tells what its pusher did.
    """
    if run.state != SUCCEEDED:
        raise RunFailed(_failure(run))
    told = read_outcome(logs_of_task(server, run, _PUSHER))
    if told is None:
        raise ServerUnreached(
            f"Expected to read what the run {run.run_id} published. Received: it succeeded, and no log of {_PUSHER} "
            f"tells; {what_to_ask(server, run)}"
        )
    return told


def _failure(run: Any) -> str:
    details = (run.run_details.task_details if run.run_details else None) or ()
    failed = sorted({detail.display_name for detail in details if detail.state == "FAILED" and detail.display_name})
    where = f" in {', '.join(failed)}" if failed else ""
    why = f" ({run.error.message})" if run.error and run.error.message else ""
    return (
        f"Expected the run {run.run_id} to succeed. Received: {run.state}{where}{why}; `piecehub kubeflow logs "
        f"{run.run_id}` shows what its pods wrote."
    )
