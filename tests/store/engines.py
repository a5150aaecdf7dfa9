"""Object stores of others, as real servers on loopback: MinIO (S3), Azurite (Azure) and fake-gcs-server (GCS).

`make engines` builds them into `build/engines`. Each gives the address of a bucket for stores, and the library's
variables that lead there.
"""

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

FOLDER = Path(__file__).parents[2] / "build" / "engines"
# Azurite's own, which stands in its documentation.
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_AZURE_ACCOUNT = "devstoreaccount1"


@dataclass(frozen=True)
class Engine:
    """Where a store may be made, and the environment that a client of it needs."""

    uri: str
    variables: Mapping[str, str]


@contextmanager
def minio(scratch: Path) -> Generator[Engine, None, None]:
    """MinIO, which speaks S3."""
    port = _free_port()
    keys = {"MINIO_ROOT_USER": "key-of-a-test", "MINIO_ROOT_PASSWORD": "secret-of-a-test"}
    command = [FOLDER / "minio", "server", scratch / "minio", "--address", f"127.0.0.1:{port}", "--quiet"]
    with _running(command, port, scratch, environment=keys):
        url = f"http://127.0.0.1:{port}"
        access = {"aws_access_key_id": "key-of-a-test", "aws_secret_access_key": "secret-of-a-test"}
        boto3.client("s3", endpoint_url=url, region_name="us-east-1", **access).create_bucket(Bucket="stores")
        names = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "key-of-a-test", "SECRET_ACCESS_KEY": "secret-of-a-test"}
        values = names | {"REGION": "us-east-1", "ALLOW_HTTP": "true"}
        yield Engine("s3://stores", {f"AWS_{name}": value for name, value in values.items()})


@contextmanager
def azurite(scratch: Path) -> Generator[Engine, None, None]:
    """Azurite, which speaks Azure Blob Storage."""
    port = _free_port()
    program = FOLDER / "node_modules" / ".bin" / "azurite-blob"
    command = [program, "--blobPort", str(port), "--location", scratch / "azurite", "--skipApiVersionCheck", "--silent"]
    with _running(command, port, scratch):
        values = {
            "AZURE_STORAGE_ACCOUNT_NAME": _AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY,
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
            "AZURE_ALLOW_HTTP": "true",
        }
        _make_container(port)
        yield Engine("az://stores", values)


@contextmanager
def fake_gcs(scratch: Path) -> Generator[Engine, None, None]:
    """fake-gcs-server, which speaks Google Cloud Storage."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [FOLDER / "fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-public-host", f"127.0.0.1:{port}", "-external-url", url]
    with _running(command, port, scratch):
        _request(f"{url}/storage/v1/b?project=test", json.dumps({"name": "stores"}).encode(), "POST")
        account = scratch / "account.json"
        facts = {
            "gcs_base_url": url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        account.write_text(json.dumps(facts), encoding="utf-8")
        yield Engine("gs://stores", {"GOOGLE_SERVICE_ACCOUNT": str(account), "GOOGLE_ALLOW_HTTP": "true"})


ENGINES = {"minio": minio, "azurite": azurite}
# It lacks Google's XML API, by which the library writes with a condition.
REFUSED = {"fake-gcs-server": fake_gcs}
_PROGRAMS = {"minio": "minio", "azurite": "node_modules/.bin/azurite-blob", "fake-gcs-server": "fake-gcs-server"}


def missing(name: str) -> str:
    """What to do if the engine is not on this machine; empty if it is."""
    return "" if (FOLDER / _PROGRAMS[name]).exists() else f"this machine has no {name}; `make engines` builds it"


@contextmanager
def _running(
    command: list[str | Path], port: int, scratch: Path, environment: Mapping[str, str] | None = None
) -> Generator[None, None, None]:
    with (scratch / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        try:
            deadline = time.monotonic() + 60
            while not _answers(port):
                assert process.poll() is None and time.monotonic() < deadline, (scratch / "engine.log").read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return taken.getsockname()[1]


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _request(url: str, body: bytes, method: str, headers: Mapping[str, str] | None = None) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 201), answer.status


def _make_container(port: int) -> None:
    """By a signed request: Azurite refuses others (Azure's "Shared Key" scheme)."""
    import hashlib
    import hmac
    from email.utils import formatdate

    date, version = formatdate(usegmt=True), "2021-12-02"
    path = f"/{_AZURE_ACCOUNT}/stores"
    named = f"x-ms-date:{date}\nx-ms-version:{version}\n"
    text = "PUT\n" + "\n" * 2 + "\n" * 9 + named + f"/{_AZURE_ACCOUNT}{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(_AZURE_KEY), text.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    headers = {"x-ms-date": date, "x-ms-version": version}
    headers |= {"Authorization": f"SharedKey {_AZURE_ACCOUNT}:{signature}", "Content-Length": "0"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}?restype=container", b"", headers, method="PUT")
    request.headers.pop("Content-type", None)
    request.add_unredirected_header("Content-type", "")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201, answer.status
