"""Object stores of others, as real servers on loopback: MinIO (S3), Azurite (Azure), fake-gcs-server (Google).

`make engines` builds them into `build/engines`. Each gives the address of a bucket for stores, and the library's
variables that lead there, or to a proxy in front of it.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import boto3

from tests.loopback import held_port, listens
from tests.store.gcs_in_xml import gcs_in_xml

FOLDER = Path(__file__).parents[2] / "build" / "engines"
# Azurite's own, which stands in its documentation.
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_AZURE_ACCOUNT = "devstoreaccount1"
_KEY, _SECRET = "key-of-a-test", "secret-of-a-test"


@dataclass(frozen=True)
class Engine:
    """Where a store may be made.

    Attributes:
        title: what docs/faults.md calls the place.
        uri: a bucket.
        endpoint: the address of its server.
        variables: the environment of a client that speaks to a given address.
    """

    title: str
    uri: str
    endpoint: str
    variables: Callable[[str], Mapping[str, str]]


def s3(title: str, uri: str, endpoint: str, key: str = _KEY, secret: str = _SECRET) -> Engine:
    """A server that speaks S3."""

    def variables(address: str) -> dict[str, str]:
        values = {"ENDPOINT_URL": address, "ACCESS_KEY_ID": key, "SECRET_ACCESS_KEY": secret}
        return {
            f"AWS_{name}": value for name, value in (values | {"REGION": "us-east-1", "ALLOW_HTTP": "true"}).items()
        }

    return Engine(title, uri, endpoint, variables)


@contextmanager
def minio(scratch: Path) -> Generator[Engine, None, None]:
    """MinIO."""
    keys = {"MINIO_ROOT_USER": _KEY, "MINIO_ROOT_PASSWORD": _SECRET}
    command = [FOLDER / "minio", "server", scratch / "minio", "--address", "127.0.0.1:PORT", "--quiet"]
    with _running(command, scratch, environment=keys) as port:
        url = f"http://127.0.0.1:{port}"
        access = {"aws_access_key_id": _KEY, "aws_secret_access_key": _SECRET}
        boto3.client("s3", endpoint_url=url, region_name="us-east-1", **access).create_bucket(Bucket="stores")
        yield s3("S3 (MinIO)", "s3://stores", url)


@contextmanager
def azurite(scratch: Path) -> Generator[Engine, None, None]:
    """Azurite."""
    program = FOLDER / "node_modules" / ".bin" / "azurite-blob"
    command = [program, "--blobPort", "PORT", "--location", scratch / "azurite", "--skipApiVersionCheck", "--silent"]
    with _running([*command, "--disableTelemetry"], scratch) as port:
        _make_container(port)
        yield Engine("Azure (Azurite)", "az://stores", f"http://127.0.0.1:{port}", _azure_variables)


def _azure_variables(address: str) -> dict[str, str]:
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": _AZURE_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY,
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": address,
        "AZURE_ALLOW_HTTP": "true",
    }


@contextmanager
def fake_gcs_alone(scratch: Path) -> Generator[Engine, None, None]:
    """fake-gcs-server, which takes no writes by the XML API."""
    command = [FOLDER / "fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", "PORT"]
    command += ["-backend", "memory", "-public-host", "127.0.0.1:PORT", "-external-url", "http://127.0.0.1:PORT"]
    with _running(command, scratch) as port:
        url = f"http://127.0.0.1:{port}"
        _send(port, "POST", "/storage/v1/b?project=test", json.dumps({"name": "stores"}).encode(), expected=200)
        yield Engine("Google Cloud Storage (fake-gcs-server)", "gs://stores", url, lambda to: _google(to, scratch))


@contextmanager
def fake_gcs(scratch: Path) -> Generator[Engine, None, None]:
    """fake-gcs-server behind a translation of writes into what it takes."""
    with fake_gcs_alone(scratch) as alone, gcs_in_xml(alone.endpoint.removeprefix("http://")) as url:
        yield Engine(alone.title, alone.uri, url, alone.variables)


def _google(address: str, scratch: Path) -> dict[str, str]:
    account = scratch / f"account-{address.rpartition(':')[2]}.json"
    facts = {
        "gcs_base_url": address,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    account.write_text(json.dumps(facts), encoding="utf-8")
    return {"GOOGLE_SERVICE_ACCOUNT": str(account), "GOOGLE_ALLOW_HTTP": "true"}


Start = Callable[[Path], AbstractContextManager[Engine]]
ENGINES: dict[str, Start] = {"minio": minio, "azurite": azurite, "fake-gcs-server": fake_gcs}
REFUSED: dict[str, Start] = {"fake-gcs-server alone": fake_gcs_alone}
_PROGRAMS = {"azurite": "node_modules/.bin/azurite-blob", "fake-gcs-server alone": "fake-gcs-server"}


def missing(name: str) -> str:
    """What to do if a program is not on this machine; empty if it is."""
    return "" if (FOLDER / _PROGRAMS.get(name, name)).exists() else f"no {name} here; `make engines` builds it"


@contextmanager
def _running(
    command: list[str | Path], scratch: Path, environment: Mapping[str, str] | None = None
) -> Generator[int, None, None]:
    """The port at which a program listens; its words name that PORT."""
    with held_port() as port, (scratch / "engine.log").open("wb") as log:
        command = [str(word).replace("PORT", str(port)) for word in command]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        try:
            deadline = time.monotonic() + 60
            while not listens(port):
                assert process.poll() is None and time.monotonic() < deadline, (scratch / "engine.log").read_text()
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _make_container(port: int) -> None:
    """By a signed request: Azurite refuses others (Azure's "Shared Key" scheme)."""
    path, date, version = f"/{_AZURE_ACCOUNT}/stores", formatdate(usegmt=True), "2021-12-02"
    # The method, eleven fields that this request has not, Azure's own fields, and the resource with its query.
    named = f"x-ms-date:{date}\nx-ms-version:{version}\n"
    text = "PUT" + "\n" * 12 + named + f"/{_AZURE_ACCOUNT}{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(_AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": version, "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {_AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    _send(port, "PUT", f"{path}?restype=container", b"", expected=201, headers=headers)


def _send(
    port: int, method: str, path: str, body: bytes, expected: int, headers: Mapping[str, str] | None = None
) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        assert answer.status == expected, (answer.status, answer.read())
