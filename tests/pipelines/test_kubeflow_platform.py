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


def test_without_a_volume_trials_and_checkpoints_are_kept_in_the_store():
    assert OnCluster(store="s3://shop/").kept == "s3://shop/work"
    assert OnCluster(store="s3://shop", work="gs://other").kept == "gs://other"
    assert OnCluster(store="s3://shop", volume="work").kept == ""
    assert OnCluster().kept == ""


@pytest.mark.parametrize(
    ("asked", "secret"),
    [
        ({"store": "s3://shop", "store_secret": "shop"}, "shop"),
        ({"store": "s3://shop", "store_secret": "shop", "work": "az://w", "work_secret": "own"}, "own"),
        ({"work": "az://w", "work_secret": "own"}, "own"),
        ({"work": "/mnt/work", "store": "s3://shop", "store_secret": "shop"}, ""),
        ({"store": "s3://shop", "store_secret": "shop", "volume": "work"}, ""),
    ],
)
def test_what_keeps_something_in_a_bucket_gets_its_credentials(asked, secret):
    train = {"container": {"args": ["--executor_class_path", "a.Trainer", "--trials_folder", "x"]}}
    found = OnCluster(**asked)._of(train, "/mnt/work").get("secretAsEnv", [])
    assert [source["secretName"] for source in found] == ([secret] if secret else [])
    keys = {pair["envVar"].partition("_")[0] for source in found for pair in source["keyToEnv"]}
    assert keys == ({"AZURE" if secret == "own" else "AWS"} if secret else set())


def test_only_what_sees_the_records_gets_the_credentials_of_their_bucket():
    listing = _executor("piecehub.store.data.DataListing_Executor")
    asked = OnCluster(store="s3://shop", store_secret="shop", data_secret="records")
    for executor, place, names in (
        (listing, "gs://records/{SPAN}", ["records"]),
        (listing, "/mnt/records", []),
        (_executor(_GATE), "gs://records", []),
    ):
        found = asked._of(executor, "/mnt/work", place).get("secretAsEnv", [])
        assert [source["secretName"] for source in found] == names
    assert [s["secretName"] for s in OnCluster(data_secret="r")._of(listing, "", "s3://r")["secretAsEnv"]] == ["r"]
    lookup = _executor("piecehub.store.parent.ParentLookup_Executor")
    assert [s["secretName"] for s in asked._of(lookup, "/mnt/work")["secretAsEnv"]] == ["shop"]


@pytest.mark.parametrize(("work", "names"), [("s3://w", ["shop"]), ("az://w", ["shop", "own"])])
def test_what_sees_the_store_has_its_credentials_and_those_of_another_kind_of_bucket(work, names):
    push = {"container": {"args": ["--executor_class_path", _PUSHER, "--trials_folder", "x"]}}
    asked = OnCluster(store="s3://shop", store_secret="shop", work=work, work_secret="own")
    assert [source["secretName"] for source in asked._of(push, "/mnt/work")["secretAsEnv"]] == names


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"store": "/mnt/store"}, "Expected a bucket with --store"),
        ({"store": "ftp://shop"}, "Received: 'ftp://shop'"),
        ({"store": "s3://key:secret@shop"}, "give credentials by --store-secret"),
        ({"code": "s3://key:secret@shop"}, "by its name alone with --code"),
        ({"code": "code"}, "Expected a bucket with --code"),
        ({"store": "s3"}, "Expected a bucket with --store"),
        ({"store_secret": "shop"}, "Expected --store with --store-secret"),
        ({"store": "s3://shop", "store_secret": "Shop"}, "name of a secret or claim in Kubernetes. Received: 'Shop'"),
        ({"store": "s3://shop", "store_secret": ":AWS_REGION"}, "name of a secret or claim in Kubernetes"),
        ({"store": "s3://shop", "store_secret": "shop:NO-KEY"}, "as a key of 'shop'. Received: 'NO-KEY'"),
        ({"work": "work"}, "or a folder that pods see, by its whole path. Received: 'work'"),
        ({"work": "s3://key:secret@shop"}, "by its name alone with --work"),
        ({"work_secret": "shop"}, "Expected --work with --work-secret"),
        ({"data_secret": "my records"}, "name of a secret or claim in Kubernetes. Received: 'my records'"),
        ({"signing_secret": "my keys"}, "Received: 'my keys'"),
        ({"volume": "-work"}, "Received: '-work'"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(RecipeError) as refused:
        OnCluster(**asked)
    assert words in str(refused.value)
