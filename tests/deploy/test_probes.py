"""The container's command and its probes, as the manifests have them, in a sandbox with what the pod has."""

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.command_line import ROOT
from tests.deploy.manifests import MANIFESTS, Json, one, rendered
from tests.s3_server import BUCKET, KEY, SECRET, running_s3
from tests.store import engines


@contextmanager
def _started(found: list[Json], variables: Mapping[str, str], claim: Path | None = None) -> Generator[dict[str, int]]:
    """The status of the answer to each probe of the server's container."""
    [container] = one(found, "Deployment")["spec"]["template"]["spec"]["containers"]
    told = one(found, "ConfigMap")["data"] | variables
    # Kubernetes fills in `$(NAME)`; the port is another here, since this machine has many servers.
    words = [re.sub(r"\$\((\w+)\)", lambda name: told[name[1]], word) for word in container["args"]]
    words = [word.replace(f"--port={container['ports'][0]['containerPort']}", "--port=0") for word in words]
    assert container["command"][0] == "piecehub"
    command = [sys.executable, "-P", "-m", "piecehub.cli", *container["command"][1:], *words]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    process = subprocess.Popen(
        [*_sandbox(mounts, claim), *command],
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"} | told,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        greeting = process.stderr.readline()
        [port] = re.findall(r"http://0\.0\.0\.0:(\d+)/ ", greeting) or pytest.fail(greeting + process.stderr.read())
        yield {
            kind: _status(f"http://127.0.0.1:{port}{container[kind]['httpGet']['path']}")
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        }
    finally:
        process.terminate()
        process.wait(20)


def _sandbox(mounts: Mapping[str, Json], claim: Path | None) -> list[str]:
    program = shutil.which("bwrap") or pytest.skip("needs Debian's bubblewrap")
    command = [program, "--unshare-user", "--uid", "65532", "--gid", "65532", "--cap-drop", "ALL", "--die-with-parent"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/mnt", "--tmpfs", "/tmp"]
    for path in map(str, (ROOT, sys.prefix, sys.base_prefix)):
        command += ["--ro-bind", path, path]
    if claim is not None:
        mode = "--ro-bind" if mounts["/mnt/piecehub"]["readOnly"] else "--bind"
        command += [mode, str(claim), "/mnt/piecehub"]
    return [*command, "--remount-ro", "/mnt", "--chdir", "/tmp", "--"]


def _status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"a graph")
    return folder


def test_the_server_of_a_volume_is_let_in_and_reads_it_only(tmp_path: Path):
    claim = tmp_path / "claim"
    publish(Store.open(claim / "store"), _model(tmp_path / "model"), "acme", "tiny", blobs={}, facts={})
    before = sorted(claim.rglob("*"))
    with _started(rendered(MANIFESTS / "volume"), {}, claim) as status:
        assert status == {"startupProbe": 200, "readinessProbe": 200, "livenessProbe": 200}
    assert sorted(claim.rglob("*")) == before


def test_the_server_of_a_bucket_is_let_in_and_one_that_cannot_read_it_is_not():
    found = rendered(MANIFESTS / "bucket")
    with running_s3() as endpoint:
        keys = engines.s3("S3 (moto)", "", endpoint, KEY, SECRET).variables(endpoint)
        assert one(found, "ConfigMap")["data"]["STORE"].startswith(f"s3://{BUCKET}/")
        with _started(found, keys) as status:
            assert status == {"startupProbe": 200, "readinessProbe": 200, "livenessProbe": 200}
        with _started(found, {**keys, "STORE": "s3://another/prefix"}) as status:
            assert status == {"startupProbe": 500, "readinessProbe": 200, "livenessProbe": 200}
