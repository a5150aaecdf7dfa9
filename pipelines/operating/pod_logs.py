"""What the pods of a run wrote. The API has no call for it: the server of Kubeflow's page has, at `/k8s/pod/logs`.

A run tells its tasks as nodes of Argo's workflow: a task's node has those that ran for it as children, known by
`WORKFLOW-HASH`. The pod of one is called so, or, with Argo's newer names, `WORKFLOW-TEMPLATE-HASH`.
"""

from collections.abc import Iterator
from typing import Any

from piecehub.errors import RecipeError, ServerUnreached
from piecehub.facts.nearest import nearest
from pipelines.operating.connection import Server

_TEMPLATE = "system-container-impl"
# Nodes of Kubeflow's own: what decides on a task, and the whole.
_DRIVER = "-driver"
_POD = "executor"


def tasks_of(run: Any) -> list[str]:
    """The tasks that a run tells of, in the order of their starts."""
    named = [detail for detail in _details(run) if _is_task(detail)]
    named.sort(key=lambda detail: (str(detail.start_time or detail.create_time or ""), detail.display_name))
    return list(dict.fromkeys(detail.display_name for detail in named))


def logs_of_task(server: Server, run: Any, task: str) -> str:
    """What the last pod of a task wrote; empty if there was none, as for what came from the cache.

    Raises:
        RecipeError: if the run has no such task.
        ServerUnreached: if the page's server is not reached by this address, or does not have the log.
    """
    known = tasks_of(run)
    if task not in known:
        meant = nearest(task, known)
        hint = (
            f"did you mean '{meant}'?" if meant else f"there are {', '.join(known)}." if known else "it has not begun."
        )
        raise RecipeError(f"Expected a task of the run {run.run_id}. Received: '{task}'; {hint}")
    pods = list(dict.fromkeys(pods_of(run, task)))
    for pod in reversed(pods):
        text = _log(server, run, pod)
        if text is not None:
            return text
    if not pods:
        return ""
    raise ServerUnreached(
        f"Expected '{server.where.host}' to have the log of {task} (/k8s/pod/logs). Received: none for the pod "
        f"{pods[0]}; {what_to_ask(server, run)}"
    )


def what_to_ask(server: Server, run: Any) -> str:
    """The sentence's end that says how to read the logs of a run without us."""
    return (
        "give --host the address of Kubeflow's page, or ask `kubectl logs --namespace "
        f"{server.pod_namespace} --selector pipeline/runid={run.run_id} --container main --prefix --tail -1`."
    )


def _log(server: Server, run: Any, pod: str) -> str | None:
    created = run.created_at.strftime("%Y-%m-%d") if run.created_at else ""
    query = {"podname": pod, "runid": str(run.run_id), "podnamespace": server.pod_namespace, "createdat": created}
    try:
        return server.get("/k8s/pod/logs", **query).decode("utf-8", "replace")
    except (ServerUnreached, RecipeError):  # it answers 404 or 500 for a pod that is gone, or has another name
        return None


def _details(run: Any) -> list[Any]:
    return list((run.run_details.task_details if run.run_details else None) or ())


def _is_task(detail: Any) -> bool:
    name, children = detail.display_name or "", detail.child_tasks or ()
    of_kubeflow = name.startswith((_POD, "root")) or name.endswith(_DRIVER)
    is_the_workflow = any((child.pod_name or "").rpartition("-")[0] == name for child in children)
    return bool(children) and not of_kubeflow and not is_the_workflow


def pods_of(run: Any, task: str) -> Iterator[str]:
    """Names that pods of a task may have, the likeliest last."""
    details = _details(run)
    by_node = {detail.pod_name: detail for detail in details if detail.pod_name}
    waiting = [child for detail in details if detail.display_name == task for child in detail.child_tasks or ()]
    while waiting:
        node = waiting.pop(0).pod_name or ""
        # A task that was tried again: its node stands over those of the attempts.
        waiting += (by_node[node].child_tasks or ()) if node in by_node else ()
        if node:
            workflow, _, digits = node.rpartition("-")
            yield node
            yield f"{workflow}-{_TEMPLATE}-{digits}"
