"""What pods need of their cluster, as the second document of a package: Kubeflow's platform document, plain dicts.

    {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {LABEL: {
        "secretAsEnv":    [{"secretName", "keyToEnv": [{"secretKey", "envVar"}]}],     credentials of buckets
        "secretAsVolume": [{"secretName", "mountPath"}],                               the signing key
        "pvcMount":       [{"constant": CLAIM, "mountPath"}]}}}}}}                     the working folder

Secrets are named in it, and never read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.containers.entrypoint import TRIALS_FOLDER
from piecehub.errors import RecipeError
from piecehub.signing.place import MOUNTED_KEY
from piecehub.store.layout import WORK
from piecehub.store.place import is_uri, refuse_no_place, scheme_of
from pipelines.kubeflow_mend import executor_path

# The executors of the components that see the store.
PARENT = "components.parent_resolver.ParentResolver_Executor"
INCUMBENT = "components.incumbent_resolver.IncumbentResolver_Executor"
PUSHER = "components.hub_pusher.HubPusher_Executor"
_SEE_THE_STORE = (PARENT, "piecehub.store.parent.ParentLookup_Executor", INCUMBENT, PUSHER)
# Those of the components that see the records.
_SEE_THE_DATA = (
    "piecehub.store.data.DataListing_Executor",
    "piecehub.training.written_examples.ExampleWriter_Executor",
    "components.example_ingester.ExampleIngester_Executor",
)
# The variables of piecehub/store/cloud.py that are secret, by the scheme of the store.
_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
    "minio": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"),
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class OnCluster:
    """What a package uses of the cluster, by its names there; empty for what it does not.

    Attributes:
        store: the uri of a bucket, which the pusher publishes to.
        store_secret: the secret with its credentials, `NAME` or `NAME:KEY,KEY`: keys are the names of variables.
        signing_secret: the secret whose `key.pem` signs what is published.
        volume: the claim of a volume that holds the working folder, mounted in every pod where that lies here.
        work: where examples, trials, checkpoints and marks of failures are kept: a uri, or a folder that pods see.
            Empty for the working folder on a volume, and without one for a place in the store.
        work_secret: the secret with its credentials; by default the store's. Pods that see the store have that one's
            for both, where both hold the same variables.
        data_secret: the secret with the credentials of the bucket that `data.folder` names; by default `work_secret`.
        code: where the recipe's code is brought, and fetched by pods: a uri, or a folder that they see. Empty for code
            that lies in the image.
    """

    store: str = ""
    store_secret: str = ""
    signing_secret: str = ""
    volume: str = ""
    work: str = ""
    work_secret: str = ""
    data_secret: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        for option, place in (("--store", self.store), ("--work", self.work), ("--code", self.code)):
            if place:
                refuse_no_place(place, f"with {option}", may_be_folder=option != "--store")
        for option, secret, place in (
            ("--store", self.store_secret, self.store),
            ("--work", self.work_secret, self.work or self.code or self.store),
        ):
            if secret and not place:
                raise RecipeError(
                    f"Expected {option} with {option}-secret. Received: none; say which bucket it is for."
                )
            _refuse_no_secret(secret)
        _refuse_no_secret(self.data_secret)
        for value in filter(None, (self.signing_secret, self.volume)):
            _refuse_no_name(value)

    @property
    def kept(self) -> str:
        """The place of examples, trials and checkpoints; empty for the working folder."""
        return self.work or (f"{self.store.rstrip('/')}/{WORK}" if self.store and not self.volume else "")

    def document(self, spec: Mapping[str, Any], working_folder: str, data: str = "") -> dict[str, Any]:
        """The platform document for a package, whose records lie in `data`; empty if it asks for nothing."""
        executors = spec["deploymentSpec"]["executors"]
        components = spec.get("components", {}).values()
        reads_code = {
            component["executorLabel"]
            for component in components
            if "recipe_folder" in component.get("inputDefinitions", {}).get("parameters", {})
        }
        asked = {label: self._of(each, working_folder, data, label in reads_code) for label, each in executors.items()}
        found = {label: wants for label, wants in asked.items() if wants}
        return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": found}}}} if found else {}

    def _of(
        self, executor: Mapping[str, Any], working_folder: str, data: str = "", reads_code: bool = False
    ) -> dict[str, Any]:
        container, wants = executor.get("container", {}), dict[str, Any]()
        path = executor_path(container)
        if self.volume:
            wants["pvcMount"] = [{"constant": self.volume, "mountPath": working_folder}]
        asks = [(self.store_secret, self.store)] if path in _SEE_THE_STORE else []
        if is_uri(data) and path in _SEE_THE_DATA:
            asks.append((self.data_secret or self.work_secret or self.store_secret, data))
        if is_uri(self.kept) and TRIALS_FOLDER in container.get("args", ()):
            asks.append((self.work_secret or self.store_secret, self.kept))
        if is_uri(self.code) and reads_code:
            asks.append((self.work_secret or self.store_secret, self.code))
        if variables := _variables(asks):
            wants["secretAsEnv"] = variables
        if self.signing_secret and path == PUSHER:
            wants["secretAsVolume"] = [{"secretName": self.signing_secret, "mountPath": str(MOUNTED_KEY.parent)}]
        return wants


def _variables(asks: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """What `secretAsEnv` says, for secrets with credentials of places; the first that has a variable gives it."""
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    for secret, place in asks:
        name, _, keys = secret.partition(":")
        told = tuple(filter(None, keys.split(","))) or _CREDENTIALS.get(scheme_of(place), ())
        if name and (more := [key for key in told if key not in taken]):
            found.append({"secretName": name, "keyToEnv": [{"secretKey": key, "envVar": key} for key in more]})
            taken.update(more)
    return found


def _refuse_no_secret(secret: str) -> None:
    name, _, keys = secret.partition(":")
    if secret:
        _refuse_no_name(name)
    for key in filter(None, keys.split(",")):
        if not _KEY.fullmatch(key):
            raise RecipeError(f"Expected the name of a variable as a key of '{name}'. Received: '{key}'.")


def _refuse_no_name(value: str) -> None:
    if not _NAME.fullmatch(value):
        raise RecipeError(f"Expected the name of a secret or claim in Kubernetes. Received: '{value}'.")
