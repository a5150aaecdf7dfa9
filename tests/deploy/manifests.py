"""Manifests as kubectl renders them, and what Kubernetes would say of them."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

Json = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes"
# The oldest with what the manifests say, the newest that the schemas are of, and one between.
VERSIONS = ("1.30", "1.34", "1.37")


def kubectl(*words: str, cwd: Path | None = None) -> str:
    """What kubectl of the environment says; it knows no cluster."""
    program = Path(sys.executable).with_name("kubectl")
    environment = {"KUBECONFIG": "/dev/null", "HOME": "/nonexistent"}
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> list[Json]:
    """The documents of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(kustomization: Path) -> list[Json]:
    """What `kubectl apply --kustomize` would send."""
    return documents(kubectl("kustomize", str(kustomization)))


def overlay(folder: Path, kustomization: str) -> list[Json]:
    """What a kustomization of somebody's own renders, which lies beside `deploy`."""
    shutil.copytree(MANIFESTS, folder / "deploy" / "kubernetes")
    (folder / "my").mkdir()
    (folder / "my" / "kustomization.yaml").write_text(kustomization, encoding="utf-8")
    return rendered(folder / "my")


def one(found: Iterable[Json], kind: str) -> Json:
    """The document of a kind."""
    [document] = [document for document in found if document["kind"] == kind]
    return document


def invalid(found: Iterable[Json], version: str) -> list[str]:
    """What the schemas of a version of Kubernetes have against documents, unknown fields among it."""
    said: list[str] = []
    for document in found:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            said.append(f"{document['kind']} {'.'.join(map(str, error.path))}: {error.message}")
    return said


def unrestricted(pod: Json) -> list[str]:
    """What the profile `restricted` of the Pod Security Standards has against a pod's spec.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/ for Linux; what a pod inherits counts.
    """
    return [*_unrestricted_pod(pod), *(said for one in _containers(pod) for said in _unrestricted(one, pod))]


def _containers(pod: Json) -> list[Json]:
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"),
    "secret",
}
_SYSCTLS = "sysctls"


def _unrestricted_pod(pod: Json) -> Iterator[str]:
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    if pod.get("securityContext", {}).get(_SYSCTLS):
        yield _SYSCTLS
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in volume.keys() - _VOLUMES - {"name"})


def _unrestricted(container: Json, pod: Json) -> Iterator[str]:
    own = container.get("securityContext", {})
    inherited = pod.get("securityContext", {}) | own
    capabilities = own.get("capabilities", {})
    holds = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "runAsNonRoot": inherited.get("runAsNonRoot") is True,
        "runAsUser": inherited.get("runAsUser") != 0,
        "seccompProfile": inherited.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "drop": "ALL" in capabilities.get("drop", []),
        "add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        "procMount": own.get("procMount", "Default") == "Default",
    }
    yield from (f"{container['name']}: {rule}" for rule, is_held in holds.items() if not is_held)


def named(pod: Json) -> set[tuple[str, str]]:
    """What a pod needs beside itself, by kind and name."""
    found = {("ServiceAccount", pod["serviceAccountName"])}
    for volume in pod.get("volumes", []):
        found |= {("Secret", volume["secret"]["secretName"])} if "secret" in volume else set()
        claim = volume.get("persistentVolumeClaim")
        found |= {("PersistentVolumeClaim", claim["claimName"])} if claim else set()
    for source in (source for container in _containers(pod) for source in container.get("envFrom", [])):
        found |= {("ConfigMap", source["configMapRef"]["name"])} if "configMapRef" in source else set()
        found |= {("Secret", source["secretRef"]["name"])} if "secretRef" in source else set()
    return found


def not_there(found: Iterable[Json]) -> set[tuple[str, str]]:
    """What the Deployment's pods need and documents do not hold."""
    found = list(found)
    there = {(document["kind"], document["metadata"]["name"]) for document in found}
    return named(one(found, "Deployment")["spec"]["template"]["spec"]) - there


def unselected(found: Iterable[Json]) -> list[str]:
    """The kinds that are for the Deployment's pods and select others, or more than these."""
    found = list(found)
    deployment = one(found, "Deployment")
    labels = deployment["metadata"]["labels"]
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": one(found, "Service")["spec"]["selector"],
        "NetworkPolicy": one(found, "NetworkPolicy")["spec"]["podSelector"].get("matchLabels"),
        "PodDisruptionBudget": one(found, "PodDisruptionBudget")["spec"].get("selector", {}).get("matchLabels"),
    }
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    return [kind for kind, selector in selectors.items() if selector != labels]
