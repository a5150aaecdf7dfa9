"""The image, built by podman from a fresh checkout, and run as a pod is.

Needs podman (Debian: podman, buildah, runc), the base image of kubeflow/Dockerfile or a registry with it, and 15 GB.
Where index or certificates are its own, /etc/pip.conf and /etc/uv/uv.toml say so: they are the build's secrets.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.kubeflow.cluster import Cluster, documents, needed
from tests.kubeflow.driver import Json
from tests.kubeflow.pods import Node, Pod
from tests.pipelines.world import TINY

_TAG = "localhost/piecehub-of-a-test:0.1.0-1"
_RESTRICTED = ("--rm", "--pull=never", "--read-only", "--user=12345", "--cap-drop=all", "--passwd=false")
_NOTHING_ELSE = ("--security-opt=no-new-privileges", "--network=none")
_WORK = "/mnt/piecehub"
pytestmark = [pytest.mark.long, pytest.mark.skipif(shutil.which("podman") is None, reason="needs Debian's podman")]


def _podman(*words: str | Path) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def _build(checkout: Path, tag: str = _TAG) -> None:
    """Builds the image of a fresh checkout, which holds what is committed, and takes nothing of a build before."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, checkout / name, follow_symlinks=False)
    given = {"index": Path("/etc/pip.conf"), "uv": Path("/etc/uv/uv.toml")}
    secrets = [f"--secret=id={name},src={path}" for name, path in given.items() if path.is_file()]
    folder = checkout / "kubeflow"
    words = ["--pull=missing", "--no-cache", "--layers=false", "--timestamp=0", *secrets, f"--tag={tag}"]
    _podman(
        "build",
        *words,
        f"--ignorefile={folder / 'Dockerfile.dockerignore'}",
        f"--file={folder / 'Dockerfile'}",
        checkout,
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The image's name; it and its layers are removed at the end."""
    _build(tmp_path_factory.mktemp("checkout"))
    yield _TAG
    _podman("image", "rm", "--force", _TAG)


@dataclass(frozen=True)
class InImage(Node):
    """Starts pods from the image, as Kubernetes would with a restricted security context."""

    work: Path = Path()

    def start(self, argv: Sequence[str], pod: Path, attempt: int, patch: Json) -> Pod:
        """Runs a container; no time of processors is known of it."""
        del patch
        volumes = [f"--volume={self.work}:{_WORK}"]
        for name in ("minio", "s3", "gcs", ".cache", ".local", ".config"):
            (pod / name).mkdir(parents=True, exist_ok=True)
            (pod / name).chmod(0o777)
            volumes.append(f"--volume={pod / name}:/{name}")
        for folder in (path for path in pod.rglob("*") if path.is_dir()):
            folder.chmod(0o777)
        environment = ["--env=KFP_POD_NAME=a-pod", "--env=KFP_POD_UID=0", f"--env=KFP_RETRY_INDEX={attempt}"]
        command = ["podman", "run", *_RESTRICTED, *_NOTHING_ELSE, *volumes, *environment, _TAG, *argv]
        started = time.monotonic()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
        )
        return Pod(done.returncode, done.stdout, time.monotonic() - started, 0.0)


def test_built_again_from_another_checkout_it_is_the_same_image(image: str, tmp_path: Path):
    """Its id is the digest of its configuration, which holds that of each layer; the manifest's says the same."""
    again = f"{_TAG}-again"
    _build(tmp_path / "checkout", again)
    try:
        first, second = (json.loads(_podman("image", "inspect", tag))[0] for tag in (image, again))
        assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
        assert (first["Id"], first["Digest"]) == (second["Id"], second["Digest"])
    finally:
        _podman("image", "rm", again)  # the name alone, if it is the same


def test_it_holds_what_the_list_says_and_nothing_for_development(image: str):
    asked = "import importlib.metadata as m; print('\\n'.join(f'{d.name}=={d.version}' for d in m.distributions()))"
    there = set(_podman("run", *_RESTRICTED, image, "python", "-c", asked).split())
    listed = json.loads(_podman("run", *_RESTRICTED, image, "cat", "/opt/sbom/piecehub.cdx.json"))
    named = {f"{one['name']}=={one['version']}" for one in listed["components"]}
    assert {name for name in there if not name.startswith("piecehub==")} == named
    assert not {name for name in named if name.startswith(("pytest==", "moto==", "pyright=="))}


def test_a_heavy_and_a_light_component_run_in_it_with_nothing_that_they_may_write(image: str, tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    settings = [word for setting in TINY for word in ("--set", setting)]
    compiled = ["piecehub", "kubeflow", "compile", "digits", "--workdir", _WORK, "--volume", "work", *settings]
    compiled += ["--image", image, "--output", f"{_WORK}/digits.yaml"]
    _podman("run", *_RESTRICTED, *_NOTHING_ELSE, f"--volume={work}:{_WORK}", image, *compiled)
    cluster = Cluster(tmp_path / "cluster", InImage(work=work))
    package = documents(work / "digits.yaml")
    asked = needed(package[0], "ImportSchemaGen", "UpstreamExamples")
    ran = cluster.run(package, only=asked)
    assert ran.failed == "", ran.logs()
    assert ran.pods.keys() == asked
    assert (ran.output("ImportSchemaGen", "schema") / "schema.pbtxt").is_file()
    assert list(ran.output("UpstreamExamples", "examples").glob("Split-train/data_tfrecord-*"))
