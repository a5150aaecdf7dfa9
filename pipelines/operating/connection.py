"""A Kubeflow Pipelines server, connected to by `kfp.Client`: where it is, who asks, and what it says of itself."""

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from piecehub.errors import EnvironmentProblem, RecipeError, first_line
from pipelines.operating.refusals import PatientPool

# Where Kubernetes mounts the token that Kubeflow's own pods ask with.
SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
_PAGE = 100
# Where one server serves one team, that is where Kubeflow's manifests put pods.
_POD_NAMESPACE = "kubeflow"


@dataclass(frozen=True)
class Where:
    """Which server, and who asks.

    Attributes:
        host: its address, with http:// or https://, of the API or of the page.
        namespace: whose pipelines, runs and schedules are meant; empty where the server has one team.
        token_file: holds a bearer token, and is read again for every call; None asks without one.
        ca: a file of the authorities that its certificate may have; None takes the usual ones.
        timeout_s: how long one answer may take.
    """

    host: str
    namespace: str = ""
    token_file: Path | None = None
    ca: Path | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.host)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RecipeError(
                f"Expected the address of a Kubeflow Pipelines server, as https://HOST. Received: '{self.host}'."
            )
        if parts.username is not None:
            raise RecipeError(
                "Expected a --host without a password. Received: an address with an '@'; give a token by --token-file."
            )
        for option, path in (("--token-file", self.token_file), ("--ca", self.ca)):
            if path is not None:
                _refuse_unreadable(option, path)


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        where: its address, and who asks.
        client: the SDK's.
        pool: the connections that it asks by.
        is_multi_user: whether it serves several namespaces.
        version: of its software, as it says; empty if it does not.
    """

    where: Where
    client: Any
    pool: PatientPool
    is_multi_user: bool
    version: str

    @property
    def namespace(self) -> str | None:
        """What calls are limited to; None where the server has one team."""
        return self.where.namespace if self.is_multi_user else None

    @property
    def pod_namespace(self) -> str:
        """Where pods run."""
        return self.where.namespace or _POD_NAMESPACE

    def ask(self, call: str, **arguments: Any) -> Any:
        """What a method of `kfp.Client` returns; the lines that it prints for a notebook go nowhere."""
        with redirect_stdout(io.StringIO()):
            return getattr(self.client, call)(**arguments)

    def each(self, call: str, field: str, **arguments: Any) -> Iterator[Any]:
        """Everything that a `list_…` call finds, page by page; an empty page has None for a list."""
        token = ""
        while True:
            page = self.ask(call, page_token=token, page_size=_PAGE, **arguments)
            yield from getattr(page, field) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def get(self, path: str, **query: str) -> bytes:
        """What the server answers to a path that the SDK has no call for."""
        return _get(self.where, self.pool, path, query)


def connect(where: Where) -> Server:
    """Asks a server whether it is there, and what it is.

    Raises:
        PiecehubError: as `refusals` has them, or if it has several users and no namespace is given.
    """
    client = _client(where)
    rest = client._run_api.api_client.rest_client
    pool = PatientPool(where.host, where.timeout_s, **rest.pool_manager.connection_pool_kw)
    rest.pool_manager = pool
    # What the SDK asks in its constructor, and hides a wrong token behind a wait of 25 s.
    health = json.loads(_get(where, pool, "/apis/v2beta1/healthz", {}))
    is_multi_user = bool(health.get("multi_user") or health.get("apiServerMultiUser"))
    if is_multi_user and not where.namespace:
        raise RecipeError(
            f"Expected --namespace, for '{where.host}' serves several. Received: none; say whose is meant."
        )
    client._context_setting = {"namespace": where.namespace if is_multi_user else ""}
    return Server(where, client, pool, is_multi_user, _version(where, pool))


def _client(where: Where) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kfp.client import Client
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

        token = ServiceAccountTokenVolumeCredentials(str(where.token_file)) if where.token_file else None
        ca = str(where.ca) if where.ca else None
        # With any namespace it does not ask; which one is meant is settled when the server has answered.
        return Client(host=where.host, namespace="-", credentials=token, ssl_ca_cert=ca)


def _version(where: Where, pool: PatientPool) -> str:
    """Only the older API tells it; the page's server has it by another name."""
    try:
        told = json.loads(_get(where, pool, "/apis/v1beta1/healthz", {}))
    except (EnvironmentProblem, RecipeError):
        return ""
    return str(told.get("tag_name") or told.get("apiServerTagName") or "")


def _get(where: Where, pool: PatientPool, path: str, query: dict[str, str]) -> bytes:
    url = where.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
    return pool.request("GET", url, headers=_headers(where)).data


def _headers(where: Where) -> dict[str, str]:
    if where.token_file is None:
        return {}
    return {"authorization": f"Bearer {where.token_file.read_text(encoding='utf-8').strip()}"}


def _refuse_unreadable(option: str, path: Path) -> None:
    try:
        has_text = bool(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(
            f"Expected a file of text for {option}. Received: '{path}' ({first_line(error)})."
        ) from error
    if not has_text:
        raise EnvironmentProblem(f"Expected a file of text for {option}. Received: '{path}', which is empty.")
