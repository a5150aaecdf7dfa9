"""A cluster, replayed: runs a package task by task, as Kubeflow Pipelines 2.16.1 and Argo do, each attempt in a pod."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.kubeflow import launcher
from tests.kubeflow.driver import Artifact, Json, Metadata, Run
from tests.kubeflow.pods import Node, Pod

_ROOT = "minio://mlpipeline/v2/artifacts"


def documents(package: Path) -> list[Json]:
    """The documents of a package: the pipeline, and what it asks of the cluster, if anything."""
    return list(yaml.safe_load_all(package.read_bytes()))


def needed(spec: Json, *tasks: str) -> set[str]:
    """Some tasks of a pipeline with all that run before them: what they read is not there otherwise."""
    found, waiting = set[str](), list(tasks)
    while waiting:
        task = waiting.pop()
        found.add(task)
        waiting += spec["root"]["dag"]["tasks"][task].get("dependentTasks", [])
    return found


@dataclass
class Cluster:
    """What outlives a run: the object store, ML Metadata and its cache, and every pod's folder.

    Attributes:
        folder: where all of it lies.
        node: starts pods.
    """

    folder: Path
    node: Node
    metadata: Metadata = field(default_factory=Metadata)
    cached: dict[str, tuple[dict[str, Artifact], Json]] = field(
        default_factory=dict[str, tuple[dict[str, Artifact], Json]]
    )

    @property
    def store(self) -> launcher.ObjectStore:
        """The object store."""
        return launcher.ObjectStore(self.folder / "objects")

    def run(
        self,
        package: Path | Sequence[Json],
        parameters: Mapping[str, Any] | None = None,
        only: Collection[str] = (),
        root: str = _ROOT,
    ) -> "Ran":
        """Runs a package to its end, or to the first task that fails in its last attempt.

        Args:
            package: its file, or its documents.
            parameters: given at submission.
            only: no tasks but these; all if empty.
            root: the pipeline root.
        """
        spec, *platform = documents(package) if isinstance(package, Path) else package
        run = Run(spec, root, str(uuid.uuid4()), parameters or {}, platform[0] if platform else {})
        ran = Ran(self, run)
        for task in (t for t in run.order() if not only or t in only):
            ran.task(task)
            if ran.failed:
                break
        return ran


@dataclass
class Ran:
    """What became of a run.

    Attributes:
        pods: by task, its attempts; none of a task that came from the cache.
        asked: by task, what the driver told its launcher.
        from_cache: tasks that came from there.
        failed: the task that failed, or "".
    """

    cluster: Cluster
    run: Run
    pods: dict[str, list[Pod]] = field(default_factory=dict[str, list[Pod]])
    asked: dict[str, Json] = field(default_factory=dict[str, Json])
    from_cache: set[str] = field(default_factory=set[str])
    failed: str = ""

    def task(self, task: str) -> None:
        """Driver, cache, and pods until one ends well or there are no more retries."""
        cluster, run = self.cluster, self.run
        asked = self.asked[task] = run.executor_input(task, cluster.metadata, str(uuid.uuid4()))
        key = run.fingerprint(task, asked)
        caching = run.tasks[task].get("cachingOptions", {}).get("enableCache", False)
        if caching and key in cluster.cached:
            cluster.metadata.hand_on(task, *cluster.cached[key])
            self.from_cache.add(task)
            return
        for attempt in range(1 + run.tasks[task].get("retryPolicy", {}).get("maxRetryCount", 0)):
            if self._attempt(task, attempt):
                cluster.cached[key] = dict(cluster.metadata.made.get(task, {})), cluster.metadata.values[task]
                return
        self.failed = task

    def _attempt(self, task: str, attempt: int) -> bool:
        cluster, asked = self.cluster, self.asked[task]
        folder = cluster.folder / "pods" / self.run.run_id / f"{task}-{attempt}"
        launcher.prepare(asked, cluster.store, folder)
        argv = launcher.argv(self.run.container(task), asked, attempt)
        pod = cluster.node.start(argv, folder, attempt, self.run.patch(task))
        self.pods.setdefault(task, []).append(pod)
        if pod.returncode:
            return False
        cluster.metadata.values[task] = launcher.collect_parameters(asked, folder)
        for key, (uri, facts) in launcher.collect(asked, cluster.store, folder).items():
            cluster.metadata.publish(task, key, uri, facts)
        return True

    def output(self, task: str, key: str) -> Path:
        """The folder of the object store that holds an output."""
        uri = self.cluster.metadata.made[task][key].uri
        return self.cluster.store.root / uri.replace("://", "/", 1)

    def logs(self) -> str:
        """What the pods of the task that failed wrote, shortened, for a test that fails."""
        return "\n".join(f"--- {self.failed}\n{pod.log[-3000:]}" for pod in self.pods.get(self.failed, []))
