"""Whether an image of a package is the one that its registry has, and that pods ran: for `piecehub kubeflow doctor`.

Of a pod, the server of Kubeflow's page tells at `/k8s/pod` what Kubernetes knows, and so does `kubectl get pods`:

    spec.containers[name=main].image                  as the package names it
    status.containerStatuses[name=main].imageID       REPOSITORY@sha256:…, what was pulled
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from piecehub.cli.machine import Row
from piecehub.errors import PiecehubError
from pipelines.operating.connection import Server
from pipelines.operating.image_name import Image, parse
from pipelines.operating.package import Package
from pipelines.operating.pod_logs import pods_of, tasks_of
from pipelines.operating.registry import Found, look_up
from pipelines.operating.uploads import pipeline_id_of

_KUBECTL_S = 20
_MAIN = "main"
# Of a run's tasks, those whose pods are asked for: the image is that of all.
_MOST_TASKS = 3


def image_rows(server: Server, package: Package, *, asks_kubectl: bool) -> Iterator[Row]:
    """A line for each image of a package as its registry has it, and one for what pods of the last run pulled."""
    ran = _ran(server, package, asks_kubectl=asks_kubectl)
    for name in package.images:
        image = parse(name)
        found = look_up(image, server.where.timeout_s)
        yield _at_registry(name, image, found)
        yield _in_pods(name, image, found, ran)


def _at_registry(name: str, image: Image, found: Found) -> Row:
    if found.untold:
        do = f"`docker login {image.registry}`, or ask from where it is reached"
        told = name if image.digest else f"{name}, by a tag"
        return Row("image", "note", f"{told}; its digest is not told: {found.untold}", do)
    if not found.digest:
        return Row("image", "missing", f"{name}: '{image.registry}' has no such image", "push it, or compile anew")
    if not image.digest:
        do = f"`compile --image {image.repository}@{found.digest}` names what cannot be moved"
        return Row("image", "note", f"{name}, by a tag, is {found.digest} in the registry", do)
    if found.digest != image.digest:
        return Row("image", "missing", f"{name}: the registry answers with {found.digest}", "see to the registry")
    return Row("image", "ok", f"{name}, as the registry has it")


def _in_pods(name: str, image: Image, found: Found, ran: "tuple[str, dict[str, str]]") -> Row:
    run, pulled = ran
    digest, expected = pulled.get(name, ""), image.digest or found.digest
    if not run:
        return Row("pods", "note", "no run has ended yet, so none pulled an image")
    if not digest:
        do = "--host with the page's address, or --kubectl, tells while pods are there"
        return Row("pods", "note", f"what those of run {run} pulled as {name} is not told", do)
    if not expected:
        return Row("pods", "note", f"those of run {run} pulled {digest}", "hold it against the registry's")
    if digest not in (expected, *found.parts):
        return Row(
            "pods",
            "missing",
            f"those of run {run} pulled {digest} as {name}, which is {expected} now",
            "its tag was moved, of which Kubeflow's cache knows nothing: push under another, and compile with that",
        )
    return Row("pods", "ok", f"those of run {run} pulled {digest}")


def _ran(server: Server, package: Package, *, asks_kubectl: bool) -> tuple[str, dict[str, str]]:
    """The newest run of the package's pipeline that has ended, and what its pods pulled, by the image's name."""
    pipeline_id = pipeline_id_of(server, package.name)
    found = server.each("list_runs", "runs", namespace=server.namespace, sort_by="created_at desc")
    ours = (run for run in found if run.finished_at and _is_of(run, pipeline_id))
    if not pipeline_id or (newest := next(ours, None)) is None:
        return "", {}
    run_id = str(newest.run_id)
    pods = list(_told_by_the_page(server, server.ask("get_run", run_id=run_id)))
    if not pods and asks_kubectl:
        pods = _told_by_kubectl(server, run_id)
    return run_id, {name: digest for pod in pods for name, digest in _pulled(pod)}


def _is_of(run: Any, pipeline_id: str) -> bool:
    reference = run.pipeline_version_reference
    return reference is not None and reference.pipeline_id == pipeline_id


def _told_by_the_page(server: Server, run: Any) -> Iterator[Any]:
    for task in tasks_of(run)[-_MOST_TASKS:]:
        for pod in pods_of(run, task):
            try:
                yield json.loads(server.get("/k8s/pod", podname=pod, podnamespace=server.pod_namespace))
            except (PiecehubError, ValueError):  # 404 or 500 for one that is gone; the API alone has no such page
                continue


def _told_by_kubectl(server: Server, run_id: str) -> list[Any]:
    asked = ["kubectl", "get", "pods", "--namespace", server.pod_namespace]
    asked += ["--selector", f"pipeline/runid={run_id}", "--output", "json"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_KUBECTL_S)
        return json.loads(done.stdout)["items"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return []


def _pulled(pod: Any) -> Iterator[tuple[str, str]]:
    """The image of a pod's own container, and the digest that it was pulled by."""
    try:
        [named] = [one["image"] for one in pod["spec"]["containers"] if one["name"] == _MAIN]
        [told] = [one["imageID"] for one in pod["status"]["containerStatuses"] if one["name"] == _MAIN]
    except (KeyError, TypeError, ValueError):  # another page's answer, or a pod that never started
        return
    _, at, digest = str(told).rpartition("@")
    if at:  # else it is an id of that node's own
        yield str(named), digest
