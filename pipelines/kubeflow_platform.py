"""What pods need of their cluster, as the second document of a package: Kubeflow's platform document, plain dicts.

    {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {LABEL: {
        "secretAsEnv":    [{"secretName", "keyToEnv": [{"secretKey", "envVar"}]}],     credentials of the store
        "secretAsVolume": [{"secretName", "mountPath"}],                               the signing key
        "pvcMount":       [{"constant": CLAIM, "mountPath"}]}}}}}}                     the working folder

Secrets are named in it, and never read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.errors import RecipeError
from piecehub.signing.place import MOUNTED_KEY
from piecehub.store.place import SCHEMES
from pipelines.kubeflow_mend import executor_path

# Where trials lie without a volume: in the pod, which goes with them.
IN_POD = "/tmp/piecehub"
# The executors of the components that see the store.
PARENT = "components.parent_resolver.ParentResolver_Executor"
INCUMBENT = "components.incumbent_resolver.IncumbentResolver_Executor"
PUSHER = "components.hub_pusher.HubPusher_Executor"
_PARENT_LOOKUP = "piecehub.store.parent.ParentLookup_Executor"
_SEE_THE_STORE = (PARENT, _PARENT_LOOKUP, INCUMBENT, PUSHER)
# Those of the components that see the records that a recipe reads.
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
        examples: the uri of a bucket, where what a recipe's `data.py` writes is laid down.
        examples_secret: the secret with the credentials of that bucket, or of the one that `data.folder` names.
    """

    store: str = ""
    store_secret: str = ""
    signing_secret: str = ""
    volume: str = ""
    examples: str = ""
    examples_secret: str = ""

    def __post_init__(self) -> None:
        if "@" in self.store:
            raise RecipeError(
                "Expected a bucket by its name alone. Received: a uri with an '@', which would stand in the package, "
                "password and all; give credentials by --store-secret."
            )
        if self.store and self._scheme not in SCHEMES:
            raise RecipeError(
                f"Expected a bucket as the store of a package ({', '.join(f'{s}://' for s in SCHEMES)}). Received: "
                f"'{self.store}'; without --store the pusher publishes into the working folder."
            )
        if self.store_secret and not self.store:
            raise RecipeError("Expected --store with --store-secret. Received: none; say which bucket it is for.")
        name, _, keys = self.store_secret.partition(":")
        for value in [*([name] if self.store_secret else []), *filter(None, (self.signing_secret, self.volume))]:
            if not _NAME.fullmatch(value):
                raise RecipeError(f"Expected the name of a secret or claim in Kubernetes. Received: '{value}'.")
        for key in filter(None, keys.split(",")):
            if not _KEY.fullmatch(key):
                raise RecipeError(f"Expected the name of a variable as a key of '{name}'. Received: '{key}'.")
        self._refuse_words_of_examples()

    def _refuse_words_of_examples(self) -> None:
        if "@" in self.examples or (self.examples and self.examples.partition("://")[0] not in SCHEMES):
            raise RecipeError(
                f"Expected a bucket for examples, by its name alone ({', '.join(f'{s}://' for s in SCHEMES)}). "
                f"Received: '{self.examples}'; without --examples they lie in the working folder."
            )
        name, *keys = re.split("[:,]", self.examples_secret)
        if self.examples_secret and not (_NAME.fullmatch(name) and all(map(_KEY.fullmatch, keys))):
            raise RecipeError(
                "Expected the name of a secret in Kubernetes, and variables as its keys, for --examples-secret. "
                f"Received: '{self.examples_secret}'."
            )

    @property
    def _scheme(self) -> str:
        return self.store.partition("://")[0]

    @property
    def needs_no_volume(self) -> bool:
        """Whether pods are to write nowhere but into the bucket, and into themselves."""
        return bool(self.store) and not self.volume

    def document(self, spec: Mapping[str, Any], working_folder: str, data: str = "") -> dict[str, Any]:
        """The platform document for a package; empty if it asks for nothing of the cluster.

        Args:
            spec: the package.
            working_folder: where the volume is mounted.
            data: the place of the records; only of a bucket is there a secret.
        """
        executors = spec["deploymentSpec"]["executors"]
        asked = {label: self._of(executor, working_folder, data) for label, executor in executors.items()}
        found = {label: wants for label, wants in asked.items() if wants}
        return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": found}}}} if found else {}

    def _of(self, executor: Mapping[str, Any], working_folder: str, data: str) -> dict[str, Any]:
        path, wants = executor_path(executor.get("container", {})), dict[str, Any]()
        if self.volume:
            wants["pvcMount"] = [{"constant": self.volume, "mountPath": working_folder}]
        scheme = data.partition("://")[0]
        secrets = [_variables(self.store_secret, self._scheme)] if self.store_secret and path in _SEE_THE_STORE else []
        if self.examples_secret and scheme in SCHEMES and path in _SEE_THE_DATA:
            secrets.append(_variables(self.examples_secret, scheme))
        if secrets:
            wants["secretAsEnv"] = secrets
        if self.signing_secret and path == PUSHER:
            wants["secretAsVolume"] = [{"secretName": self.signing_secret, "mountPath": str(MOUNTED_KEY.parent)}]
        return wants


def _variables(secret: str, scheme: str) -> dict[str, Any]:
    """The keys of a secret, `NAME` or `NAME:KEY,KEY`, as variables of their names; by default those of the scheme."""
    name, _, keys = secret.partition(":")
    told = tuple(filter(None, keys.split(","))) or _CREDENTIALS[scheme]
    return {"secretName": name, "keyToEnv": [{"secretKey": key, "envVar": key} for key in told]}
