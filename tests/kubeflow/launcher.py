"""Kubeflow Pipelines 2.16.1's launcher, replayed: from the driver's words to a container's arguments, and back.

Two things are stricter than the real one, which loses data there without a word: a uri in the output file that is none
of an object store, and an output that is empty or missing, raise `DataLost`.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubeflow.driver import LOGS, Json, local_path

_TOP_FIELDS = {"artifacts", "parameterValues", "parameters"}
_PLACEHOLDER = re.compile(r"\{\{\$.*?\}\}", re.DOTALL)


class DataLost(Exception):
    """The real launcher would say COMPLETE, and what the component made would be nowhere."""


class LauncherFailed(Exception):
    """The real launcher ends with an error although the container did not."""


def argv(container: Json, executor_input: Json, attempt: int) -> list[str]:
    """The container's command line: placeholders filled in, and the log named by its attempt (17)."""
    asked = json.loads(json.dumps(executor_input))
    for artifact in asked["outputs"]["artifacts"].get(LOGS, {}).get("artifacts", []):
        artifact["uri"] += f"-{attempt}"
    text = json.dumps(asked, separators=(",", ":"), ensure_ascii=False)
    return [_filled(argument, text) for argument in [*container["command"], *container.get("args", [])]]


def _filled(argument: str, text: str) -> str:
    if argument == "{{$}}":
        return text
    if found := _PLACEHOLDER.search(argument):
        raise NotImplementedError(f"this replay fills in no {found[0]}")
    return argument


@dataclass(frozen=True)
class ObjectStore:
    """Objects by uri, below a folder. It keeps no empty folders, as no object store does."""

    root: Path

    def _path(self, uri: str) -> Path:
        return self.root / uri.replace("://", "/", 1)

    def download(self, uri: str, target: Path) -> None:
        """All objects whose key begins with the uri's: 2.16 takes a plain prefix, so `model` brings `model_run` too."""
        prefix = self._path(uri)
        found = [path for path in prefix.parent.glob("*") if path.name.startswith(prefix.name)]
        for place in found:
            for path in _files(place):
                rest = str(path)[len(str(prefix)) :]
                destination = Path(f"{target}{rest}")
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, destination)

    def upload(self, source: Path, uri: str) -> int:
        """A file, or all files below a folder; returns how many objects there are now."""
        paths = list(_files(source)) if source.exists() else []
        for path in paths:
            destination = self._path(uri) / path.relative_to(source) if source.is_dir() else self._path(uri)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination)
        return len(paths)


def _files(place: Path) -> Iterator[Path]:
    return iter([place]) if place.is_file() else (path for path in sorted(place.rglob("*")) if path.is_file())


def prepare(executor_input: Json, store: ObjectStore, pod: Path) -> None:
    """What is there before the container starts: inputs, the log, the task's folder; no output's own (19)."""
    for listed in executor_input["inputs"].get("artifacts", {}).values():
        for artifact in listed["artifacts"]:
            store.download(artifact["uri"], inside(pod, local_path(artifact["uri"])))
    inside(pod, executor_input["outputs"]["outputFile"]).parent.mkdir(parents=True, exist_ok=True)


def collect(executor_input: Json, store: ObjectStore, pod: Path) -> dict[str, tuple[str, Json]]:
    """What ML Metadata is told of each output after exit 0, uri and facts; uploads them (20-25)."""
    told = _output_metadata(inside(pod, executor_input["outputs"]["outputFile"]))
    found: dict[str, tuple[str, Json]] = {}
    for key, listed in executor_input["outputs"]["artifacts"].items():
        if key == LOGS:
            continue
        (declared,) = listed["artifacts"]
        said = (told.get("artifacts", {}).get(key, {}).get("artifacts") or [{}])[0]
        uri, facts = said.get("uri") or declared["uri"], said.get("metadata", {})
        if not local_path(uri):
            raise DataLost(f"the output '{key}' has the local uri {uri}: nothing is uploaded, the task is COMPLETE")
        if not store.upload(inside(pod, local_path(uri)), uri):
            raise DataLost(f"the output '{key}' is empty or missing: nothing is uploaded, the task is COMPLETE")
        if any(value is None for value in facts.values()):
            raise LauncherFailed(f"the output '{key}' has a fact that is null")
        found[key] = (uri, facts)
    return found


def collect_parameters(executor_input: Json, pod: Path) -> Json:
    """The values of the output parameters (26): from the output file, else from a file of each one's own.

    That lies in the container's `/tmp`, which is gone here with the pod: a container of ours tells in the output file.
    """
    told = _output_metadata(inside(pod, executor_input["outputs"]["outputFile"])).get("parameterValues", {})
    asked = executor_input["outputs"].get("parameters", {})
    if missing := sorted(asked.keys() - told.keys()):
        raise LauncherFailed(f"failed to read output parameter name={missing[0]!r}")
    return {key: told[key] for key in asked}


def _output_metadata(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if unknown := told.keys() - _TOP_FIELDS:
        raise LauncherFailed(f"the output file has the unknown field {sorted(unknown)[0]}")
    return told


def inside(pod: Path, path: str) -> Path:
    """Where a path of the pod lies on this machine."""
    return pod / path.lstrip("/")
