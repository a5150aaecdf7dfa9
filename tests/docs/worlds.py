"""What lies in a reader's folder before a page's blocks are run, by the names that the page gives it.

Each is `world(folder)`, a context that gives a `Stand`. Whatever needs TensorFlow imports it where it is made.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from piecehub.facts.content import sha256_bytes
from piecehub.facts.handle import Handle
from piecehub.facts.workdir import mark
from piecehub.signing.keys import new_key
from piecehub.store import curate
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.store.tokens import Tokens
from tests.command_line import piecehub
from tests.docs.blocks import ROOT
from tests.loopback import served
from tests.s3_server import running_s3
from tests.signing.conftest import Pair, published
from tests.store import engines

_GOLDEN = ROOT / "tests" / "golden" / "workdir.tar.gz"
_FLOWERS = """
import keras
keras.utils.set_random_seed(1)
images = keras.Input((12, 10, 3), name="image")
x = keras.layers.Conv2D(4, 3, kernel_regularizer="l2")(images)
x = keras.layers.GlobalAveragePooling2D(name="features")(x)
model = keras.Model(images, keras.layers.Dense(5, name="logits")(x))
"""
# Few trials in place of a recipe's.
_LITTLE = {"shots": "[5]", "seeds": "[0, 1, 2, 3, 4]", "learning_rates": "[0.003]", "steps": "20"}
_PAGE = """\
# Module acme/features/1

Four numbers of a picture of a digit.
<!-- asset-path: acme/features/1/model.tar.gz -->
<!-- task: image-others -->
<!-- fine-tunable: false -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->

## Overview

Grey pictures of 8 by 8 pixels.
"""


@dataclass(frozen=True)
class Stand:
    """What a page takes for granted.

    Attributes:
        replace: texts of the page for which others stand in this folder.
        variables: of the environment.
        program: Python that was run before, in the interpreter that runs the page's.
    """

    replace: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    program: str = ""


@contextmanager
def nothing(folder: Path) -> Generator[Stand]:
    """An empty folder."""
    yield Stand()


@contextmanager
def three_versions(folder: Path) -> Generator[Stand]:
    """A store with acme/tiny/1 to 3, of which 1 is the champion; a copy of it; an S3 server; a tokens file."""
    store = Store.open(folder / ".piecehub" / "store")
    for number in (1, 2, 3):
        made = publish(store, _model(folder / f"model-{number}"), "acme", "tiny", blobs={}, facts={})
    curate.set_alias(store, Handle("acme", "tiny", 1), "champion", by="a test", why="it is the first")
    assert made.handle.version == 3
    shutil.copytree(store.root, folder / "backup")
    [tokens] = re.findall(r"^(acme = \[.*\])$", (ROOT / "docs" / "serving.md").read_text("utf-8"), re.MULTILINE)
    (folder / "tokens.toml").write_text(f"{tokens}\n")
    with running_s3() as endpoint:
        s3 = engines.s3("S3 (moto)", "s3://bucket", endpoint, "key", "secret")
        yield Stand({"/backup/store": "backup", "/srv/models": "exported"}, s3.variables(endpoint))


@contextmanager
def signed(folder: Path) -> Generator[Stand]:
    """acme/tiny/1 signed by `acme.pem`, in the store and on a server; my_model/ is it; acme/private/1 takes a token."""
    new_key(folder / "acme.pem")
    key = Pair(folder / "acme.pem", folder / "acme.pem.pub")
    store = Store.open(folder / ".piecehub" / "store")
    manifest = published(store, _model(folder / "my_model"), key)
    blobs = {blob.title: store.read_blob(blob.digest) for blob in manifest.blobs}
    (folder / "model.sig").write_bytes(blobs["model.sig"])
    shutil.copy(key.public, folder / "acme-2026.pem")
    [trust] = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "signing.md").read_text("utf-8"), re.M | re.S)
    (folder / "trust.toml").write_text(trust.replace("2027-01-01", "2999-01-01"))  # the page's key ends, the test not
    (folder / "token").write_text("secret")
    (folder / "tokens.toml").write_text(f'acme = ["{sha256_bytes(b"secret")}"]\n')
    private = Store.open(folder / "private")
    published(private, folder / "my_model", None, name="private")
    tokens = Tokens.read(folder / "tokens.toml")
    with served(store.root) as url, served(private.root, tokens) as private_url:
        yield Stand(
            {
                "https://models.example/acme/tiny/1": f"{url}/acme/tiny/1",
                "https://models.example/acme/private/1": f"{private_url}/acme/private/1",
                "[--purge]": "--purge",
            }
        )


@contextmanager
def finished_run(folder: Path) -> Generator[Stand]:
    """The working folder of an earlier release's run of `digits`, which published piecehub/digits/1."""
    with tarfile.open(_GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    mark(folder / ".piecehub")  # it was made before working folders were marked
    yield Stand()


@contextmanager
def make_run(folder: Path) -> Generator[Stand]:
    """What `make run` leaves, of few trials: piecehub/digits/1 in the store, which is on a server, and .venv/."""
    little = [f"--set=evaluation.{key}={value}" for key, value in _LITTLE.items()]
    done = piecehub("run", "digits", *little, "--set=gate.min_gain=-1.0", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "piecehub").symlink_to(folder.with_name(f"{folder.name}-tools") / "piecehub")
    with served(folder / ".piecehub" / "store") as url:
        yield Stand({"http://127.0.0.1:8470": url})


@contextmanager
def flowers(folder: Path) -> Generator[Stand]:
    """A trained `flowers.keras`."""
    _python(folder, f'{_FLOWERS}\nmodel.save("flowers.keras")\n')
    yield Stand()


@contextmanager
def my_piece(folder: Path) -> Generator[Stand]:
    """A Reusable SavedModel `my_piece/`."""
    _python(folder, f'{_FLOWERS}\nimport piecehub\npiecehub.export(model, "my_piece")\n')
    yield Stand()


@contextmanager
def a_table_and_a_model(folder: Path) -> Generator[Stand]:
    """A table `rows.csv` of four numbers and a label, and a trained `model.keras` that takes such numbers."""
    rows = [f"{n % 6}.{n},{n * n % 97},{n % 11},{n % 6 + n % 3}.5,kind {n % 6}" for n in range(180)]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,d,kind", *rows]))
    hidden = 'keras.layers.Dense(8, "relu", name="features")(inputs)'
    model = f"inputs = keras.Input((4,))\nmodel = keras.Model(inputs, keras.layers.Dense(3)({hidden}))"
    _python(folder, f'import keras\n{model}\nmodel.save("model.keras")\n')
    yield Stand()


@contextmanager
def digits_in_keras(folder: Path) -> Generator[Stand]:
    """A trained Keras model `full_model` of pictures of digits, and a page for its piece."""
    _python(folder, f'{_FLOWERS.replace("(12, 10, 3)", "(8, 8, 1)")}\nmodel.save("digits.keras")\n')
    (folder / "page.md").write_text(_PAGE)
    little = {f"evaluation.{key}": tomllib.loads(f"it = {value}")["it"] for key, value in _LITTLE.items()}
    yield Stand(
        {
            'recipe="digits")': 'recipe="digits", settings=little)',
            '{"train.epochs": 8}': '{"train.epochs": 8, "gate.min_gain": -1.0, **little}',
        },
        program=f'import keras\nfull_model, little = keras.models.load_model("digits.keras"), {little}\n',
    )


@contextmanager
def an_image(folder: Path) -> Generator[Stand]:
    """The digest of an image of containers, for which the page has an ellipsis."""
    yield Stand({"sha256:…": f"sha256:{'0' * 64}"})


def _python(folder: Path, program: str) -> None:
    """Runs a program in the folder, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, env=environment, check=True, capture_output=True)


def _model(folder: Path) -> Path:
    """A folder that looks like a SavedModel; its name decides its content."""
    for path, data in {
        "saved_model.pb": f"graph of {folder.name}".encode() * 100,
        "variables/variables.index": b"index",
        "variables/variables.data-00000-of-00001": folder.name.encode() * 5000,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@contextmanager
def a_kubeflow_server(folder: Path) -> Generator[Stand]:
    """A server as `tests/kubeflow` has it, where runs end as soon as they begin; the package, and a store to serve."""
    from piecehub.facts.pod_outcome import PodOutcome
    from tests.kubeflow.api import Kfp
    from tests.kubeflow.packages import write_package
    from tests.kubeflow.server import Served, serving

    state = Kfp()
    told = PodOutcome(True, "piecehub/digits/1", "").line
    state.when_created = lambda run: state.end(run, "SUCCEEDED", {"HubPusher": f"{told}\n"})
    write_package(folder / "digits.yaml")
    with serving(Served(state)) as served:
        replace = {"https://kubeflow.example/pipeline": served.url}
        yield Stand(replace, {"KF_PIPELINES_ENDPOINT": served.url})
