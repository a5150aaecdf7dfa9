import copy
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import (
    MANIFESTS,
    VERSIONS,
    Json,
    documents,
    invalid,
    kubectl,
    not_there,
    one,
    overlay,
    rendered,
    unrestricted,
    unselected,
)
from tests.docs.blocks import commands

_README = (MANIFESTS / "README.md").read_text(encoding="utf-8")
_BUCKET, _VOLUME, _TOKENS = re.findall(r"^```yaml\n(.*?)^```", _README, re.MULTILINE | re.DOTALL)
_READER, _TOKENS_SECRET = ("Secret", "piecehub-store-reader"), ("Secret", "piecehub-tokens")
# What only a cluster can answer.
_OF_A_CLUSTER = ("label", "apply", "rollout", "port-forward")
_KINDS = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]


@pytest.fixture(scope="module", params=["volume", "bucket", "README's bucket", "README's volume", "README's tokens"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Json]]:
    """What an overlay renders, by its name."""
    if (MANIFESTS / request.param).is_dir():
        return request.param, rendered(MANIFESTS / request.param)
    own = {"README's bucket": _BUCKET, "README's volume": _VOLUME, "README's tokens": _BUCKET + _TOKENS}
    return request.param, overlay(tmp_path_factory.mktemp("reader"), own[request.param])


@pytest.fixture
def found(case: tuple[str, list[Json]]) -> list[Json]:
    return copy.deepcopy(case[1])


def _pod(found: list[Json]) -> Json:
    return one(found, "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_schemas_know_every_field(found: list[Json], version: str):
    assert sorted({d["kind"] for d in found} - {"ConfigMap", "PersistentVolumeClaim"}) == _KINDS
    assert invalid(found, version) == []


def test_a_field_that_kubernetes_does_not_know_is_named(found: list[Json]):
    _pod(found)["containers"][0]["readynessProbe"] = {}
    one(found, "Service")["spec"]["ports"][0]["port"] = "http"
    assert [said.split(":")[0] for said in invalid(found, VERSIONS[0])] == [
        "Service spec.ports.0.port",
        "Deployment spec.template.spec.containers.0",
    ]


def test_pods_are_restricted_cannot_write_their_root_and_have_no_token(found: list[Json]):
    pod = _pod(found)
    [container] = pod["containers"]
    assert unrestricted(pod) == []
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert one(found, "ServiceAccount")["automountServiceAccountToken"] is False
    assert [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")] == ["/tmp"]
    assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_each_rule_that_a_pod_breaks_is_named(found: list[Json]):
    pod = _pod(found)
    pod["hostNetwork"] = True
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    pod["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0, "seccompProfile": {"type": "Unconfined"}}
    pod["securityContext"]["sysctls"] = [{"name": "kernel.msgmax", "value": "1"}]
    own = {"allowPrivilegeEscalation": True, "capabilities": {"drop": ["KILL"], "add": ["SYS_ADMIN"]}}
    pod["containers"][0]["securityContext"] = own | {"privileged": True, "procMount": "Unmasked"}
    pod["containers"][0]["ports"][0]["hostPort"] = 80
    rules = ("privileged", "allowPrivilegeEscalation", "runAsNonRoot", "runAsUser", "seccompProfile", "drop", "add")
    of_the_pod = ["hostNetwork", "sysctls", "volume host: hostPath"]
    assert unrestricted(pod) == of_the_pod + [f"server: {rule}" for rule in (*rules, "hostPort", "procMount")]


def test_service_policy_and_budget_are_of_these_pods_and_no_others(found: list[Json]):
    assert unselected(found) == []
    [port] = _pod(found)["containers"][0]["ports"]
    targets = {one(found, "Service")["spec"]["ports"][0]["targetPort"]}
    targets |= {p["port"] for rule in one(found, "NetworkPolicy")["spec"]["ingress"] for p in rule["ports"]}
    assert targets == {port["name"]}
    del one(found, "PodDisruptionBudget")["spec"]["selector"]
    one(found, "NetworkPolicy")["spec"]["podSelector"] = {}
    assert unselected(found) == ["NetworkPolicy", "PodDisruptionBudget"]


def test_what_a_pod_needs_is_there_but_for_secrets(case: tuple[str, list[Json]], found: list[Json]):
    secrets = {
        "bucket": {_READER},
        "README's bucket": {_READER},
        "README's tokens": {_READER, _TOKENS_SECRET},
    }
    assert not_there(found) == secrets.get(case[0], set())
    without = [document for document in found if document["kind"] != "ServiceAccount"]
    assert ("ServiceAccount", "piecehub") in not_there(without)


def test_a_volume_is_reached_without_a_network_and_a_bucket_by_tls_only(case: tuple[str, list[Json]]):
    policy = one(case[1], "NetworkPolicy")["spec"]
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert out == (set() if "volume" in case[0] else {53, 443})


def test_what_a_reader_says_of_his_own_arrives(tmp_path: Path):
    found = overlay(tmp_path, _BUCKET + _TOKENS)
    [container] = _pod(found)["containers"]
    assert container["image"] == "registry.example.com/piecehub:0.1.0-1"
    assert {document["metadata"]["namespace"] for document in found} == {"models"}
    assert one(found, "ConfigMap")["data"] == {"STORE": "s3://models/hub", "AWS_REGION": "eu-central-1"}
    assert container["args"][-2:] == ["--store=$(STORE)", "--tokens=/etc/piecehub/tokens/tokens.toml"]


def test_another_place_of_the_store_replaces_the_servers(tmp_path: Path):
    before, after = (
        one(overlay(tmp_path / name, _BUCKET.replace("models/hub", name)), "ConfigMap") for name in ("a", "b")
    )
    assert before["metadata"]["name"] != after["metadata"]["name"]


def _commands_of_the_readme() -> list[list[str]]:
    blocks = re.findall(r"(?:^    kubectl .*\n(?:^    .*\n)*)", _README, re.MULTILINE)
    return [shlex.split(line)[1:] for block in blocks for line in commands(re.sub(r"^    ", "", block, flags=re.M))]


def test_the_commands_of_the_readme_run_as_far_as_there_is_no_cluster(tmp_path: Path):
    overlay(tmp_path, _BUCKET)
    (tmp_path / "tokens.toml").write_text("acme = []\n")
    made, verbs = set[tuple[str, str]](), set[str]()
    for words in _commands_of_the_readme():
        verb = next(word for word in words if word in (*_OF_A_CLUSTER, "create", "kustomize"))
        verbs.add(verb)
        if verb not in _OF_A_CLUSTER:
            dry = ["--dry-run=client", "--output=yaml"] if verb == "create" else []
            told = documents(kubectl(*words, *dry, cwd=tmp_path))
            assert invalid(told, VERSIONS[-1]) == []
            made |= {(document["kind"], document["metadata"]["name"]) for document in told if verb == "create"}
    assert made == {("Namespace", "models"), _READER, _TOKENS_SECRET}
    assert verbs == {*_OF_A_CLUSTER, "create", "kustomize"}


def test_the_measured_table_stands_beside_the_requests_that_the_manifests_have():
    told = re.findall(r"(\d+) / (\d+) MiB", _README)
    has = [_pod(rendered(MANIFESTS / name))["containers"][0]["resources"] for name in ("volume", "bucket")]
    memory = [(one["requests"]["memory"], one["limits"]["memory"].replace("1Gi", "1024Mi")) for one in has]
    assert [(f"{low}Mi", f"{high}Mi") for low, high in told] == memory


def test_files_of_kustomizations_are_all_used():
    for folder in ("base", "volume", "bucket", "tokens"):
        kustomization = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text("utf-8"))
        named = {"kustomization.yaml", *kustomization.get("resources", [])}
        named |= {patch["path"] for patch in kustomization["patches"] if "path" in patch} if folder != "base" else set()
        assert {path.name for path in (MANIFESTS / folder).iterdir()} == named - {"../base"}
