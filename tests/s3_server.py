"""A server that speaks S3 on loopback: moto."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET, BUCKET, REGION = "key", "secret", "bucket", "us-east-1"


class _OneWriteAtATime:
    """moto 5.2 looks whether a key is there, and writes it later: of 32 racing creators two could win. S3 does not."""

    def __init__(self, app: Any) -> None:
        self._app, self._lock = app, threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        with self._lock if environ["REQUEST_METHOD"] == "PUT" else nullcontext():
            return self._app(environ, start_response)


@contextmanager
def running_s3() -> Iterator[str]:
    """The address of a server with one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        "127.0.0.1", 0, _OneWriteAtATime(DomainDispatcherApplication(create_backend_app)), threaded=True
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    client_of(endpoint).create_bucket(Bucket=BUCKET)
    yield endpoint
    server.shutdown()
    thread.join(10)


def client_of(endpoint: str) -> Any:
    """A client of the server at an address."""
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": REGION}
    return boto3.client("s3", endpoint_url=endpoint, **keys)


def upload(endpoint: str, folder: Path, prefix: str) -> None:
    """Puts the files below a folder into the bucket, under a prefix."""
    for file in filter(Path.is_file, folder.rglob("*")):
        client_of(endpoint).upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder).as_posix()}")


def told_to(endpoint: str) -> dict[str, str]:
    """The variables by which a store's bucket at an address is reached."""
    told = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    return told | {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}


def beam_arguments(endpoint: str) -> list[str]:
    """What Beam is told to reach the server."""
    told = {"endpoint_url": endpoint, "access_key_id": KEY, "secret_access_key": SECRET, "region_name": REGION}
    return [f"--s3_{name}={value}" for name, value in told.items()]
