"""A pod as a sandbox: what a container of our image has on Kubeflow, and nothing else.

A random uid without a name, a root that cannot be written, the launcher's empty folders, the environment of
`kubeflow/Dockerfile` with what Kubeflow adds, an empty working folder, no network, all capabilities dropped; the
project as the image holds it; and what the driver's patch mounts: the volume, and the signing key as Kubernetes lays
out a secret.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubeflow.driver import Json

PROJECT = Path(__file__).parents[2]
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "ssl", "hosts")
# What kubeflow/Dockerfile copies into the image.
IMAGE = ("piecehub", "components", "pipelines", "pyproject.toml", "README.md", "requirements.lock")
_WRITABLE = ("/s3", "/gcs", "/minio", "/.cache", "/.local", "/.config")
_NO_SUCH_PROGRAM = ("/usr/bin/bwrap", "/bin/bwrap")  # not in the image


@dataclass(frozen=True)
class Pod:
    """How one attempt of a task ended.

    Attributes:
        log: what it wrote, both streams in one, as `kubectl logs` shows it.
        seconds: how long it ran, and `cpu_s` how long processors did.
    """

    returncode: int
    log: str
    seconds: float
    cpu_s: float

    @property
    def last_line(self) -> str:
        """The last line of the log."""
        return (self.log.splitlines() or [""])[-1]


@dataclass(frozen=True)
class Node:
    """Where pods are started.

    Attributes:
        image: folders that lie in the image, too, at the same place.
        claims: volumes by their names, each a folder of this machine.
        secrets: by name, what each holds, by key.
        has_network: whether pods reach this machine.
        kills: asked, as long as a pod runs, with its command line and its attempt, whether the node loses it now.
        looks: what is entered with the id of its process as long as a pod runs.
    """

    image: Sequence[Path] = ()
    claims: Mapping[str, Path] = field(default_factory=dict[str, Path])
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict[str, Mapping[str, bytes]])
    has_network: bool = False
    kills: Callable[[Sequence[str], int], bool] | None = None
    looks: Callable[[int], AbstractContextManager[object]] = nullcontext

    def start(self, argv: Sequence[str], pod: Path, attempt: int, patch: Json) -> Pod:
        """Runs a container.

        Args:
            argv: its command line.
            pod: the folder of this machine that holds its /minio, /s3 and so on.
            attempt: its number.
            patch: what the driver adds to the pod (driver.pod_patch).
        """
        pod.mkdir(parents=True, exist_ok=True)
        before, started = os.times(), time.monotonic()
        with (pod / "log").open("wb") as log:
            process = subprocess.Popen(
                [*self._sandbox(pod, patch), "--", *argv],
                env=self._environment(attempt, patch),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            with self.looks(process.pid):
                while self.kills and process.poll() is None:
                    if self.kills(argv, attempt):
                        process.kill()  # and all in it, which die with their parent
                    time.sleep(0.05)
                process.wait()
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        said = (pod / "log").read_text(encoding="utf-8", errors="replace")
        return Pod(process.returncode, said, time.monotonic() - started, cpu_s)

    def _environment(self, attempt: int, patch: Json) -> dict[str, str]:
        told = re.search(r"^ENV (PATH=(?:.*\\\n)*.*)$", (PROJECT / "kubeflow" / "Dockerfile").read_text(), re.MULTILINE)
        assert told
        image = dict(word.split("=", 1) for word in told[1].replace("\\\n", " ").split())
        image["PATH"] = f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        kubernetes = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        pod = {"KFP_POD_NAME": "a-pod", "KFP_POD_UID": "0", "KFP_RETRY_INDEX": str(attempt)}
        told = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"] for variable in patch["container"].get("env", [])
        }
        secret = {name: self.secrets[ref["name"]][ref["key"]].decode() for name, ref in told.items()}
        return {**image, **kubernetes, **pod, **secret}

    def _sandbox(self, pod: Path, patch: Json) -> list[str]:
        program = shutil.which("bwrap")
        assert program
        uid = str(random.randrange(1_000_000_000, 1_000_700_000))
        # Without a namespace of processes, in which the kernel would not tell us what they took of processors.
        command = [program, "--unshare-user", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"]
        command += [] if self.has_network else ["--unshare-net"]
        command += ["--uid", uid, "--gid", "0", "--cap-drop", "ALL"]
        command += ["--bind", "/proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        python = [sys.prefix, sys.base_prefix]
        read_only = [*_SYSTEM, *(f"/etc/{name}" for name in _ETC), *python, *(str(PROJECT / name) for name in IMAGE)]
        read_only += map(str, self.image)
        for path in read_only:
            command += ["--ro-bind-try", path, path]
        for path in _NO_SUCH_PROGRAM:
            command += ["--ro-bind-try", "/dev/null", path]
        for path in _WRITABLE:
            (pod / path.lstrip("/")).mkdir(exist_ok=True)
            command += ["--bind", str(pod / path.lstrip("/")), path]
        volumes = {volume["name"]: volume for volume in patch["volumes"]}
        for mount in patch["container"].get("volumeMounts", []):
            volume = volumes[mount["name"]]
            if "secret" in volume:
                folder = _secret(pod, mount["name"], self.secrets[volume["secret"]["secretName"]])
                command += ["--ro-bind", str(folder), mount["mountPath"]]
            else:
                claim = self.claims[volume["persistentVolumeClaim"]["claimName"]]
                command += ["--bind", str(claim), mount["mountPath"]]
        return [*command, "--remount-ro", "/", "--chdir", "/tmp"]


def _secret(pod: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """A folder as the kubelet makes it: files in a dated one, and links by way of `..data`."""
    folder = pod / "secrets" / name
    dated = folder / "..2026_11_29_00_00_00.000000001"
    dated.mkdir(parents=True, exist_ok=True)
    for key, content in files.items():
        (dated / key).write_bytes(content)
        (folder / key).unlink(missing_ok=True)
        (folder / key).symlink_to(f"..data/{key}")
    (folder / "..data").unlink(missing_ok=True)
    (folder / "..data").symlink_to(dated.name)
    return folder
