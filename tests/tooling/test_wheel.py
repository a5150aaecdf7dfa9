"""The wheel, and what it does in an environment that has the core's packages and no others.

Longer tests, of the extra `tf` and of the pipeline by the lock, are in tests/consume/test_consume_installed.py.
"""

import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.conftest import Once
from tests.installed import PACKAGES, ROOT, Installed, build, environment, uv, wheel_in

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = ROOT / "requirements.lock"
GOLDEN = ROOT / "tests" / "golden" / "workdir.tar.gz"
VERSIONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def wheel(once: Once) -> Path:
    """The wheel of this checkout."""
    return wheel_in(once("wheel", build))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """What lies in it."""
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What it says of itself."""
    with zipfile.ZipFile(wheel) as opened:
        return Parser().parsestr(opened.read("piecehub-0.1.0.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with the core's packages, and a working folder that a pipeline has left."""
    installed = environment(tmp_path_factory.mktemp("core"))
    done = uv("install", "--python", installed.bin / "python", "--constraints", LOCK, wheel)
    assert done.returncode == 0, done.stderr
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(installed.work, filter="data")
    (installed.work / ".piecehub" / ".piecehub-workdir").touch()  # which the commit that made it did not leave yet
    return installed


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(names: set[str]) -> None:
    packaged = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"piecehub/__main__.py", "piecehub/py.typed", "pipelines/recipes/digits/recipe.toml"} <= packaged
    assert {name for name in names if ".dist-info/" not in name} == packaged


def test_license_and_lock_travel_in_it(wheel: Path, names: set[str]) -> None:
    assert "piecehub-0.1.0.dist-info/licenses/LICENSE" in names
    assert (ROOT / "piecehub" / "requirements.lock").is_symlink()  # one source
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("piecehub/requirements.lock") == LOCK.read_bytes()
        assert not (opened.getinfo("piecehub/requirements.lock").external_attr >> 16) & 0o020000  # no link


def test_it_asks_for_what_pyproject_says_and_the_core_needs_no_ml_metadata(metadata: Message) -> None:
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert set(metadata.get_all("Provides-Extra", ())) == set(PROJECT["project"]["optional-dependencies"])
    assert not [text for text in metadata.get_all("Requires-Dist", ()) if re.match(r"(ml-metadata|tfx)\b", text)]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["doctor"],
        ["completion", "fish"],
        ["models"],
        ["lineage", "piecehub/digits/1"],
        ["store", "ls"],
        ["store", "fsck"],
        ["cache", "doctor", "--offline"],
        ["page", "--values", "task"],
        ["store", "export", "--to", "files"],
    ],
    ids=" ".join,
)
def test_the_core_alone_does_what_needs_no_more(core: Installed, words: list[str]) -> None:
    done = core.run("piecehub", *words)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("pipeline", ["run", "digits"]),
        ("pipeline", ["run", "digits", "--dry-run"]),
        ("pipeline", ["plan", "digits"]),
        ("pipeline", ["init", "mine", "--from", "csv", "."]),
        ("pipeline", ["evaluate", "model", "--recipe", "digits"]),
        ("pipeline", ["recipe", "check", "digits"]),
        ("pipeline", ["recipe", "reference"]),
        ("pipeline", ["kubeflow", "compile", "digits", "-o", "package.yaml"]),
        ("pipeline", ["workdir", "gc", "--dry-run"]),
        ("tf", ["check", "piecehub/digits/1"]),
        ("tf", ["compare", "piecehub/digits/1", "piecehub/digits/1"]),
        ("tf", ["export", "model.keras", "-o", "exported"]),
        ("tf", ["page", "piecehub/digits/1"]),
        ("tf", ["publish", "model", "--name", "acme/x", "--documentation", "page.md"]),
        ("sign", ["keys", "new", "key.pem"]),
        ("sign", ["verify", "piecehub/digits/1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_needs_more_says_in_one_sentence_what_to_install(core: Installed, extra: str, words: list[str]) -> None:
    done = core.run("piecehub", *words)
    assert (done.returncode, done.stdout) == (3, "")
    [sentence] = done.stderr.splitlines()
    lock = core.bin.parent / "lib" / "python3.11" / "site-packages" / "piecehub" / "requirements.lock"
    command = f"`pip install --no-deps -r {lock}`" if extra == "pipeline" else f"`pip install 'piecehub[{extra}]'`"
    assert sentence.startswith("piecehub: Expected the package '") and sentence.endswith(f"call {command}.")
    assert lock.read_bytes() == LOCK.read_bytes()
    assert not (core.work / "exported").exists() and not (core.work / "mine").exists()


def test_programs_are_told_the_same(core: Installed) -> None:
    code = (
        "import piecehub\n"
        "print([str(m.handle) for m in piecehub.open_store('.piecehub/store').models()])\n"
        "for name in piecehub.__all__:\n"
        "    try: getattr(piecehub, name)\n"
        "    except ImportError as error: print(name, error)\n"
    )
    first, *others = core.run("python", "-c", code).stdout.splitlines()
    assert first == "['piecehub/digits/1']"
    told = dict(line.split(" ", 1) for line in others)
    assert set(told) == {name for name in _public_names() if name != "open_store"}
    assert "'tfx' for piecehub.run" in told["run"] and "requirements.lock" in told["run"]
    assert told["load"].endswith("call `pip install 'piecehub[tf]'`.")


def _public_names() -> list[str]:
    import piecehub

    return piecehub.__all__


def test_the_pages_of_a_run_are_served_without_ml_metadata(core: Installed) -> None:
    code = (
        "from pathlib import Path\n"
        "import asyncio\n"
        "from piecehub.facts.workdir import Workdir\n"
        "from piecehub.ui.app import create_app\n"
        "async def get(path):\n"
        "    said = []\n"
        "    scope = {'type': 'http', 'method': 'GET', 'path': path, 'raw_path': path.encode(), 'query_string': b'',\n"
        "             'headers': [(b'host', b'127.0.0.1')], 'scheme': 'http', 'server': ('127.0.0.1', 80),\n"
        "             'client': ('127.0.0.1', 1), 'http_version': '1.1', 'root_path': ''}\n"
        "    async def receive(): return {'type': 'http.request', 'body': b'', 'more_body': False}\n"
        "    async def send(message): said.append(message)\n"
        "    await create_app(Workdir(Path('.piecehub')))(scope, receive, send)\n"
        "    return said[0]['status']\n"
        "print([asyncio.run(get(path)) for path in ('/', '/models/piecehub/digits/1', '/runs/20261129-123618-312')])\n"
    )
    done = core.run("python", "-c", code)
    assert done.stdout == "[200, 200, 200]\n", done.stderr


def test_a_pipeline_that_is_asked_for_as_an_extra_gets_a_sentence(wheel: Path, core: Installed) -> None:
    """pip warns that there is no such extra, and goes on; `piecehub run` then says what to call."""
    done = uv(
        "install", "--python", core.bin / "python", "--offline", "--no-deps", f"piecehub[pipeline] @ {wheel.as_uri()}"
    )
    assert done.returncode == 0, done.stderr
    assert "call `pip install --no-deps -r " in core.run("piecehub", "run", "digits").stderr


def test_no_plain_resolution_of_the_pipeline_exists(tmp_path: Path) -> None:
    """The day that one does, the pipeline can be an extra, and README's installation a line shorter."""
    wanted = tmp_path / "wanted.txt"
    extras = PROJECT["project"]["optional-dependencies"]
    wanted.write_text("\n".join([*PROJECT["dependency-groups"]["pipeline"], *extras["tf"], *extras["sign"]]))
    done = uv("compile", wanted, "--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_39")
    assert done.returncode != 0 and "tensorflow-hub" in done.stderr


@pytest.fixture(scope="module")
def resolved(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each version of Python is given for the wheel with what consumers use: wheels only."""
    folder = tmp_path_factory.mktemp("resolved")
    (folder / "wanted.txt").write_text(f"piecehub[sign,tf] @ {wheel.as_uri()}\n")

    def compile_for(version: str) -> subprocess.CompletedProcess[str]:
        options = ("--python-version", version, "--python-platform", "x86_64-manylinux_2_28")
        return uv("compile", folder / "wanted.txt", "--only-binary", ":all:", *options)

    with ThreadPoolExecutor(len(VERSIONS)) as threads:
        return dict(zip(VERSIONS, threads.map(compile_for, VERSIONS), strict=True))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_consumers_use_resolves_from_wheels_alone(
    resolved: dict[str, subprocess.CompletedProcess[str]], version: str
) -> None:
    done = resolved[version]
    assert done.returncode == 0, done.stderr
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
    assert pins["tensorflow"].startswith("2.21.") and "model-signing" in pins
    assert not {"ml-metadata", "tfx", "apache-beam"} & set(pins)


def test_the_doctor_of_the_core_alone_finds_no_fault_and_says_what_is_not_there(core: Installed) -> None:
    done = core.run("piecehub", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert {name: row["state"] for name, row in rows.items() if name in ("core", "tf", "sign", "pipeline")} == {
        "core": "ok",
        "tf": "note",
        "sign": "note",
        "pipeline": "note",
    }
    assert rows["tf"]["do"] == "call `pip install 'piecehub[tf]'` for loading, exporting and checking models"
    asked = core.run("piecehub", "doctor", "--extra", "tf")
    assert asked.returncode == 3
    assert "\nmissing  tf         not installed; call `pip install 'piecehub[tf]'`" in asked.stdout
    assert asked.stderr.startswith(
        "piecehub: Expected a machine that has all that is asked for. Received: faults of tf;"
    )
