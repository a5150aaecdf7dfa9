"""`piecehub kubeflow doctor` on a package's image: as its registry has it, and as pods pulled it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.operating.image_name import Image, parse
from pipelines.operating.registry import Found, look_up
from tests.kubeflow.api import Kfp
from tests.kubeflow.packages import write_package
from tests.kubeflow.registry import Registry, serving_registry
from tests.kubeflow.server import Served, serving
from tests.kubeflow.test_operating_commands import Ended, kubeflow

_NAME = "acme/piecehub"
_MANIFEST = b'{"schemaVersion": 2}'


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with serving_registry(Registry()) as running:
        yield running


def _log_in(folder: Path, host: str, password: str) -> None:
    (folder / "docker").mkdir()
    secret = base64.b64encode(f"ann:{password}".encode()).decode()
    (folder / "docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": secret}}}))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("piecehub:1", Image("docker.io", "library/piecehub", "1", "")),
        ("acme/piecehub:1", Image("docker.io", "acme/piecehub", "1", "")),
        ("registry.example/piecehub:0.1.0-1", Image("registry.example", "piecehub", "0.1.0-1", "")),
        ("localhost/a/b", Image("localhost", "a/b", "", "")),
        ("registry.example:5000/a/b@sha256:00", Image("registry.example:5000", "a/b", "", "sha256:00")),
        ("localhost:5000/a:1@sha256:00", Image("localhost:5000", "a", "1", "sha256:00")),
    ],
)
def test_an_image_is_read_as_docker_reads_it(name: str, parts: Image) -> None:
    assert parse(name) == parts


@pytest.mark.parametrize("tells_digest", [True, False])
@pytest.mark.parametrize(("asks_for", "password"), [("Bearer", ""), ("Bearer", "word"), ("Basic", "word")])
def test_a_digest_is_told_to_who_may_ask(registry, tmp_path, asks_for, password, tells_digest):
    registry.password, registry.asks_for, registry.tells_digest = password, asks_for, tells_digest
    digest = registry.add(_NAME, "1", _MANIFEST)
    _log_in(tmp_path, registry.host, password or "any")
    assert look_up(parse(f"{registry.host}/{_NAME}:1"), 5) == Found(digest)
    assert look_up(parse(f"{registry.host}/{_NAME}@{digest}"), 5) == Found(digest)
    assert look_up(parse(f"{registry.host}/{_NAME}:2"), 5) == Found()


@pytest.mark.parametrize(
    ("asks_for", "password", "noted", "broken", "why"),
    [
        ("Bearer", "word", "other", 0, "'localhost' gives no token for 'localhost:"),
        ("Basic", "word", "other", 0, "does not let in who asks (401)"),
        ("Negotiate", "word", "word", 0, "does not let in who asks (401)"),
        ("Bearer", "", "", 403, "does not let in who asks (403)"),
        ("Bearer", "", "", 503, "answers 503"),
        ("Bearer", "", "", "silent", "did not answer in 0.2 s"),
    ],
)
def test_who_is_not_let_in_or_gets_no_answer_is_told_why(registry, tmp_path, asks_for, password, noted, broken, why):
    registry.password, registry.asks_for, registry.broken = password, asks_for, broken
    registry.add(_NAME, "1", _MANIFEST)
    _log_in(tmp_path, registry.host, noted or "any")
    assert why in look_up(parse(f"{registry.host}/{_NAME}:1"), 0.2 if broken == "silent" else 5).untold


def _pod(image: str, pulled: str) -> dict:
    """What Kubernetes says of a pod, as far as it matters."""
    return {
        "spec": {"containers": [{"name": "wait", "image": "argo"}, {"name": "main", "image": image}]},
        "status": {"containerStatuses": [{"name": "main", "imageID": f"{image}@{pulled}"}]},
    }


def _doctor(tmp_path: Path, image: str, pulled: str = "", *words: str) -> Ended:
    """What doctor says of a package with that image, whose last run pulled that digest; none if empty."""
    package = write_package(tmp_path / "digits.yaml", image=image)
    with serving(Served(Kfp())) as served:
        assert kubeflow(served, "run", package).code == 0
        (run,) = served.state.runs
        served.state.end(run, "SUCCEEDED", {"HubPusher": "…"})
        if pulled:
            (pod,) = served.state.pod_logs
            served.state.pods[pod] = _pod(image, pulled)
        return kubeflow(served, "doctor", package, *words)


def test_doctor_holds_package_registry_and_pods_against_each_other(registry, tmp_path):
    digest = registry.add(_NAME, "1", _MANIFEST)
    named = f"{registry.host}/{_NAME}@{digest}"
    looked = _doctor(tmp_path, named, digest)
    assert looked.code == 0
    assert f"ok       image      {named}, as the registry has it" in looked.out
    assert f"pulled {digest}\n" in looked.out and "ok       pods" in looked.out
    tagged = _doctor(tmp_path, f"{registry.host}/{_NAME}:1")
    assert (tagged.code, f"by a tag, is {digest} in the registry; `compile --image {named}`" in tagged.out) == (0, True)
    assert "note     pods       what those of run" in tagged.out
    moved = _doctor(tmp_path, f"{registry.host}/{_NAME}:1", f"sha256:{'0' * 64}")
    assert moved.code == 3
    assert f"which is {digest} now; its tag was moved" in moved.out
    gone = _doctor(tmp_path, f"{registry.host}/{_NAME}:2")
    assert (gone.code, "has no such image; push it" in gone.out) == (3, True)


def test_doctor_asks_kubectl_for_pods_of_which_the_page_does_not_tell(registry, tmp_path, monkeypatch):
    """A program in kubectl's place, for there is no cluster."""
    digest = registry.add(_NAME, "1", _MANIFEST)
    named = f"{registry.host}/{_NAME}:1"
    pods = {"items": [{"kind": "Pod"}, _pod(named, digest)]}
    (tmp_path / "pods.json").write_text(json.dumps(pods))
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$2" = secret ] || cat {tmp_path}/pods.json\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert "note     pods" in _doctor(tmp_path, named).out
    assert f"pulled {digest}\n" in _doctor(tmp_path, named, "", "--kubectl").out
    assert "get pods --namespace kubeflow --selector pipeline/runid=" in (tmp_path / "asked").read_text()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert "note     pods" in _doctor(tmp_path, named, "", "--kubectl").out


def test_an_image_for_several_processors_is_any_of_its_manifests(registry, tmp_path):
    part = f"sha256:{'1' * 64}"
    digest = registry.add(_NAME, "1", json.dumps({"manifests": [{"digest": part}]}).encode())
    assert look_up(parse(f"{registry.host}/{_NAME}:1"), 5) == Found(digest, parts=(part,))
    assert "ok       pods" in _doctor(tmp_path, f"{registry.host}/{_NAME}:1", part).out


def test_a_registry_that_is_not_reached_fails_no_doctor(registry, tmp_path):
    registry.broken = 503
    looked = _doctor(tmp_path, f"{registry.host}/{_NAME}:1")
    assert looked.code == 0
    assert f"its digest is not told: '{registry.host}' answers 503; `docker login {registry.host}`" in looked.out
    assert look_up(parse("localhost:9/a:1"), 5).untold.startswith("'localhost:9' is not reached")
