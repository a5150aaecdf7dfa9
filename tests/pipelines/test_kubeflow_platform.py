"""What a package asks of the cluster, by its names there; no secret is ever read."""

import pytest
import yaml

from piecehub.errors import RecipeError
from pipelines.kubeflow_mend import write_yaml
from pipelines.kubeflow_platform import OnCluster

_PUSHER = "components.hub_pusher.HubPusher_Executor"
_RESOLVER = "components.incumbent_resolver.IncumbentResolver_Executor"
_GATE = "components.publish_gate.PublishGate_Executor"


def _executor(path: str) -> dict:
    return {"container": {"image": "i:1", "args": ["--executor_class_path", path]}}


SPEC = {
    "pipelineInfo": {"name": "tiny"},
    "deploymentSpec": {
        "executors": {"push": _executor(_PUSHER), "resolve": _executor(_RESOLVER), "gate": _executor(_GATE)}
    },
}


def _executors(cluster: OnCluster) -> dict:
    document = cluster.document(SPEC, "/mnt/work")
    return document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_a_package_that_asks_for_nothing_has_one_document():
    assert OnCluster().document(SPEC, "/mnt/work") == {}
    assert len(list(yaml.safe_load_all(write_yaml(SPEC, {})))) == 1


def test_what_it_asks_for_is_a_second_document():
    platform = OnCluster(volume="work").document(SPEC, "/mnt/work")
    assert list(yaml.safe_load_all(write_yaml(SPEC, platform))) == [SPEC, platform]


def test_every_pod_mounts_the_volume_at_the_working_folder():
    found = _executors(OnCluster(volume="work"))
    assert found == {
        label: {"pvcMount": [{"constant": "work", "mountPath": "/mnt/work"}]} for label in ("push", "resolve", "gate")
    }


def test_only_what_reads_or_writes_the_store_gets_its_credentials():
    found = _executors(OnCluster(store="s3://shop/models", store_secret="shop"))
    pairs = [{"secretKey": key, "envVar": key} for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    assert found == {key: {"secretAsEnv": [{"secretName": "shop", "keyToEnv": pairs}]} for key in ("push", "resolve")}


@pytest.mark.parametrize(
    ("store", "secret", "keys"),
    [
        ("gs://shop", "shop", ["GOOGLE_SERVICE_ACCOUNT_KEY"]),
        ("az://shop", "shop", ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"]),
        ("s3://shop", "shop:AWS_ACCESS_KEY_ID,AWS_ENDPOINT_URL", ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"]),
    ],
)
def test_the_keys_of_the_secret_are_the_stores_variables(store, secret, keys):
    (source,) = _executors(OnCluster(store=store, store_secret=secret))["push"]["secretAsEnv"]
    assert [pair["envVar"] for pair in source["keyToEnv"]] == keys


def test_only_the_pusher_gets_the_signing_key():
    found = _executors(OnCluster(signing_secret="keys"))
    assert found == {"push": {"secretAsVolume": [{"secretName": "keys", "mountPath": "/etc/piecehub/signing"}]}}


def test_a_bucket_without_a_volume_means_that_pods_need_none():
    assert OnCluster(store="s3://shop").needs_no_volume
    assert not OnCluster(store="s3://shop", volume="work").needs_no_volume
    assert not OnCluster().needs_no_volume


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"store": "/mnt/store"}, "Expected a bucket as the store of a package"),
        ({"store": "ftp://shop"}, "Received: 'ftp://shop'"),
        ({"store": "s3://key:secret@shop"}, "give credentials by --store-secret"),
        ({"store_secret": "shop"}, "Expected --store with --store-secret"),
        ({"store": "s3://shop", "store_secret": "Shop"}, "name of a secret or claim in Kubernetes. Received: 'Shop'"),
        ({"store": "s3://shop", "store_secret": ":AWS_REGION"}, "name of a secret or claim in Kubernetes"),
        ({"store": "s3://shop", "store_secret": "shop:NO-KEY"}, "as a key of 'shop'. Received: 'NO-KEY'"),
        ({"signing_secret": "my keys"}, "Received: 'my keys'"),
        ({"volume": "-work"}, "Received: '-work'"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(RecipeError) as refused:
        OnCluster(**asked)
    assert words in str(refused.value)
