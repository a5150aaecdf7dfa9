"""A store in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

`create` is one PUT with `If-None-Match: *` (S3, Azure) or `x-goog-if-generation-match: 0` (GCS): the server refuses it
if the key is taken. Its limit is 5 GiB, so only small objects are created; blobs of any size are put in parts, without
a condition, under the digest of their bytes.

An answer that got lost says nothing: the object may stand or not. So `create` retries by itself, where the library
would take the refusal of a retry for a lost race: a refusal counts as ours if what stands there is what we wrote.

Credentials and endpoints come by the library's own variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
AWS_ENDPOINT_URL, AWS_ALLOW_HTTP; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY
and others (https://developmentseed.org/obstore).
"""

import os
import random
import re
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, from_url

from piecehub.errors import EnvironmentProblem, StoreError, no_space
from piecehub.store.backend import Entry
from piecehub.store.proxies import directly_here

CREATE_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_BLOCK_BYTES = 1 << 20
# A part must pass within the library's 30 seconds; S3 takes 10,000 parts.
_PART_BYTES = 8 << 20
_MAX_PARTS = 9_000
_PARTS_AT_A_TIME = 4
# The largest object that S3, GCS and Azure copy in one request.
_MAX_COPY_BYTES = 5 << 30
_MINIO = "minio://"
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# By what S3 and MinIO, Azure, and Google Cloud Storage say that there is no such bucket, where there may be no object.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
# What a server answers, such as '403 Forbidden', and what it calls what is wrong, such as InvalidAccessKeyId.
_STATUS = re.compile(r"status code: (\d{3}[\w ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REFUSED = (AlreadyExistsError, PreconditionError)
_HOPELESS = (PermissionDeniedError, UnauthenticatedError, FileNotFoundError)  # the last: there is no such bucket


def open_bucket(uri: str) -> "BucketBackend":
    """The backend of `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; no request is made.

    `minio://bucket/prefix` is S3 of the server that AWS_ENDPOINT_URL names.

    Raises:
        EnvironmentProblem: if the library's variables do not make a client.
    """
    if uri.startswith(_MINIO) and not any(map(os.environ.get, _ENDPOINTS)):
        raise EnvironmentProblem(
            f"Expected the address of the server of '{uri}' in AWS_ENDPOINT_URL. Received: none; set it, and "
            "AWS_ALLOW_HTTP=true if it is one of http://."
        )
    address = re.sub(f"^{_MINIO}", "s3://", uri)
    own = {"disable_bulk_delete": True} if address.startswith("s3://") else {}  # few S3-compatible stores know it
    try:
        # Without client_options, since they would put the library's variables such as AWS_ALLOW_HTTP out of force.
        with directly_here():
            client = cast(Any, from_url)(address, **own)
            careful = cast(Any, from_url)(address, retry_config={"max_retries": 0}, **own)
    except (BaseError, ValueError) as error:
        raise _unreachable(uri, error) from error
    return BucketBackend(uri, client, careful)


@dataclass(frozen=True)
class BucketBackend:
    """The objects of a store are the objects below a bucket's prefix.

    Attributes:
        uri: what a person calls it; two backends of one uri are equal.
        client: retries by itself.
        careful: the same place by a client that never retries, for `create`.
    """

    uri: str
    client: ObjectStore
    careful: ObjectStore

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketBackend) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def create(self, key: str, data: bytes) -> bool:
        """Asks until there is an answer, then until it is known what it means."""
        problem: Exception | None = None
        for attempt in range(CREATE_ATTEMPTS):
            if attempt:
                time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1))
            try:
                obstore.put(self.careful, key, data, mode="create", use_multipart=False)
                return True
            except _REFUSED as error:
                problem, standing = error, self.read(key)
                if standing is not None:  # S3 also says 409 while another write is under way, and nothing stands yet
                    return attempt > 0 and standing == data
            except _HOPELESS as error:
                raise _unreachable(self.uri, error) from error
            except BaseError as error:
                problem = error
        if problem is not None and self.read(key) == data:
            return True
        raise _unreachable(self.uri, problem) from problem

    def put(self, key: str, source: Path) -> None:
        """One PUT, or parts; looks at the size that came to stand."""
        with _reaching(self.uri):
            part = max(_PART_BYTES, source.stat().st_size // _MAX_PARTS + 1)
            obstore.put(self.client, key, source, chunk_size=part, max_concurrency=_PARTS_AT_A_TIME)
        found = self.stat(key)
        if found is None or found.size_bytes != source.stat().st_size:
            raise StoreError(f"Expected '{key}' to stand in '{self.uri}' as it was sent. Received: {found}; try again.")

    def read(self, key: str) -> bytes | None:
        """One GET."""
        with _reaching(self.uri):
            try:
                return bytes(obstore.get(self.client, key).bytes())
            except FileNotFoundError as error:
                if any(words in str(error) for words in _NO_BUCKET):
                    raise
                return None

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """One GET, as it comes; the library asks for the rest where it breaks off."""
        if end is not None and end <= start:
            return
        wanted = {"range": {"offset": start} if end is None else (start, end)} if start or end else None
        with _reaching(self.uri):
            try:
                answer = obstore.get(self.client, key, options=cast(Any, wanted))
            except FileNotFoundError as error:
                raise StoreError(f"Expected the object '{key}'. Received: none; the store is damaged.") from error
            for block in answer.stream(min_chunk_size=_BLOCK_BYTES):
                yield bytes(block)

    def stat(self, key: str) -> Entry | None:
        """One HEAD."""
        with _reaching(self.uri):
            try:
                return _entry(obstore.head(self.client, key))
            except FileNotFoundError:
                return None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """One LIST for each thousand objects."""
        with _reaching(self.uri):
            for batch in cast(Any, obstore).list(self.client, prefix or None):
                yield from map(_entry, batch)

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """One LIST, which names what keys have in common."""
        with _reaching(self.uri):
            found = cast(Any, obstore).list_with_delimiter(self.client, prefix or None)
        return tuple(sorted(place.rstrip("/").rpartition("/")[2] for place in found["common_prefixes"]))

    def move(self, key: str, target: str) -> bool:
        """Copies on the server, then deletes; what is too large for that passes through this machine."""
        found = self.stat(key)
        if found is None:
            return False
        with _reaching(self.uri):
            try:
                if found.size_bytes > _MAX_COPY_BYTES:
                    obstore.put(self.client, target, self.stream(key), chunk_size=found.size_bytes // _MAX_PARTS + 1)
                else:
                    obstore.copy(self.client, key, target)
            except FileNotFoundError:
                return False
        self.delete(key)
        return True

    def delete(self, key: str) -> None:
        """One DELETE."""
        with _reaching(self.uri):
            try:
                obstore.delete(self.client, key)
            except FileNotFoundError:  # S3 says nothing, Azure and GCS say 404
                return

    def local_path(self, key: str) -> Path | None:
        """None: objects are no files here."""
        return None

    @contextmanager
    def staging(self) -> Generator[Path, None, None]:
        """A temporary folder (TMPDIR)."""
        try:
            with tempfile.TemporaryDirectory(prefix="piecehub-") as folder:
                yield Path(folder)
        except OSError as error:
            raise no_space(error, tempfile.gettempdir()) or EnvironmentProblem(
                f"Expected room to prepare an archive in '{tempfile.gettempdir()}'. Received: "
                f"{error.strerror or error}; make room, or set TMPDIR."
            ) from error


def _entry(found: Any) -> Entry:
    return Entry(found["path"], found["size"], found["last_modified"], found.get("e_tag") or "")


@contextmanager
def _reaching(uri: str) -> Generator[None, None, None]:
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise _unreachable(uri, error) from error


def _unreachable(uri: str, error: Exception | None) -> EnvironmentProblem:
    # The library tells its whole state on further lines, the server's XML, and perhaps a token in an address' query.
    answer = [found[1] for found in (_STATUS.search(str(error)), _CODE.search(str(error))) if found]
    said = ", ".join(answer) or re.sub(r"\?\S*", "", str(error).partition("\n")[0].partition(": <")[0])[:300]
    return EnvironmentProblem(
        f"Expected to reach '{uri}'. Received: {said}; check the address, the credentials and the network."
    )
