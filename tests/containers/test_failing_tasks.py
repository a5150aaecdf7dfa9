"""Tasks that cannot end well, as processes: one sentence, nothing half-written, and a retry that is over at once."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piecehub.containers import code
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.content import content_digest, list_files
from piecehub.store.catalog import Store
from piecehub.store.incumbent import write_incumbent
from piecehub.store.publish import publish
from piecehub.transfer.rule import Rule
from piecehub.transfer.verdict import Verdict
from tests.containers.tasks import Task, make_task
from tests.loopback import answering
from tests.s3_server import BUCKET, running_s3, told_to

_STRINGS = ("publisher", "name", "store_folder", "code_digest", "lock_digest")
_DENIED = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as endpoint:
        yield endpoint


def _in_bucket(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in told_to(endpoint).items():
        monkeypatch.setenv(name, value)


def _task(
    root: Path, module: str, component: str, function: str, store: str, key: str, inputs: dict | None = None
) -> Task:
    values = ("acme", "tiny", store, code.code_digest(f"components.{module}"), "sha256:0")
    parameters, kinds = dict(zip(_STRINGS, values, strict=True)), dict.fromkeys(_STRINGS, "STRING")
    executor = f"components.{module}.{component}_Executor"
    task = make_task(root, executor, parameters, kinds, key, "s3://bucket/task/out", inputs)
    return Task(root, (*task.argv, "--light_function", function, "--trials_folder", f"{store}/work/trials"))


def _resolver(root: Path, store: str) -> Task:
    function = "piecehub.store.incumbent.bring_incumbent"
    return _task(root, "incumbent_resolver", "IncumbentResolver", function, store, "incumbent")


def _timed(task: Task) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    done = task.run()
    return done, time.monotonic() - started


def _one_sentence(done: subprocess.CompletedProcess[str], task: Task) -> str:
    assert done.returncode == 1 and done.stdout == ""
    assert not (task.root / "out.json").exists() and not task.output.exists()
    return done.stderr.splitlines()[-1]


def test_a_missing_bucket_is_one_sentence_and_nothing_is_imported_for_it(
    s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _in_bucket(monkeypatch, s3)
    task = _resolver(tmp_path, "s3://gone/shop")
    done, seconds = _timed(task)
    expected = "Expected to reach 's3://gone/shop/work/trials'. Received: 404 Not Found, NoSuchBucket; "
    assert _one_sentence(done, task).startswith(expected) and seconds < 3


def test_wrong_credentials_are_one_sentence_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with answering({}, otherwise=(403, {"Content-Length": str(len(_DENIED))}, _DENIED)) as endpoint:
        _in_bucket(monkeypatch, endpoint)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-told")
        task = _resolver(tmp_path, f"s3://{BUCKET}/shop")
        done, seconds = _timed(task)
    sentence = _one_sentence(done, task)
    expected = f"Expected to reach 's3://{BUCKET}/shop/work/trials'. Received: 403 Forbidden, InvalidAccessKeyId; "
    assert sentence.startswith(expected)
    assert sentence.endswith("check the address, the credentials and the network.")
    assert "not-to-be-told" not in done.stderr and seconds < 3


def _candidate(root: Path, store: str) -> dict[str, dict[str, Any]]:
    """Artifacts of a blessed candidate, judged when the store held nothing."""
    model = _model(root / "s3" / "bucket" / "reusable_model" / "saved_model", "new weights")
    names = ("conformance", "blessing", "incumbent", "documentation", "evidence-0")
    places = {name: root / "s3" / "bucket" / name for name in names}
    for folder in places.values():
        folder.mkdir(parents=True)
    report(content_digest(list_files(model)), [Finding("S1", "can be loaded", "fail", True, "It loads.")]).write(
        places["conformance"]
    )
    Verdict("BLESSED", ("It gains.",), (), Rule()).write(places["blessing"])
    (places["blessing"] / "BLESSED").touch()
    (places["documentation"] / "documentation.md").write_text("# Module acme/tiny/1\n")
    write_incumbent(store, "acme", "tiny", places["incumbent"])
    return {
        name: {
            "artifacts": [{"name": "1", "type": {"schemaTitle": "a.B"}, "uri": f"s3://bucket/{name}", "metadata": {}}]
        }
        for name in (*places, "reusable_model")
    }


def _model(folder: Path, text: str) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(text)
    (folder / "variables" / "variables.index").write_text("index")
    return folder


def test_a_store_that_another_publisher_wrote_meanwhile_is_told_once_and_repeated_at_once(
    s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _in_bucket(monkeypatch, s3)
    store = f"s3://{BUCKET}/shop"
    inputs = _candidate(tmp_path, store)
    publish(Store.create(store), _model(tmp_path / "others", "weights of another"), "acme", "tiny", blobs={}, facts={})
    before = sorted(entry.key for entry in Store.open(store).backend.list("m"))
    function = "piecehub.signing.push_of_run.push_run_from_pod"
    task = _task(tmp_path, "hub_pusher", "HubPusher", function, store, "pushed_model", inputs)
    first, _ = _timed(task)
    assert first.returncode == 1, first.stderr
    sentence = first.stderr.splitlines()[-1]
    assert sentence.startswith("Expected ") and "acme/tiny" in sentence
    assert not (tmp_path / "out.json").exists()
    assert sorted(entry.key for entry in Store.open(store).backend.list("m")) == before
    shutil.rmtree(tmp_path / "s3")  # a retry is a new pod
    again, seconds = _timed(task)
    assert (again.returncode, again.stdout, again.stderr) == (1, "", f"{sentence}\n")
    assert seconds < 3
