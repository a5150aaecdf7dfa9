"""Pages that list many runs and many versions: by their index, beside reading every folder and every manifest.

    python -m benchmarks.bench_lists [--runs 100000] [--versions 100000] [--keep FOLDER [--parts runs reindex …]]

Runs are written by our own functions; the store is filled by writing its documented layout, and its index is made by
`store reindex`. The bucket (moto, in this process) holds the same index, and no manifest, for a list opens none.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from benchmarks.record import RESULTS, stamp, write_table
from piecehub.facts import run_index, runs
from piecehub.facts.content import FileEntry, content_digest
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Blob, Manifest
from piecehub.facts.run_rows import row_of
from piecehub.facts.runs import Event, Node, Result, Run
from piecehub.facts.workdir import Workdir
from piecehub.store import layout
from piecehub.store.catalog import Store
from piecehub.store.index import reindex
from piecehub.ui.app import create_app
from tests.s3_server import KEY, REGION, SECRET, running_s3

_ROUNDS = 15
_PAGES = 200


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="A folder to fill, or that an earlier call filled.")
    parser.add_argument(
        "--parts", nargs="+", choices=list(_PARTS), default=list(_PARTS), help="Only these, with --keep."
    )
    parser.add_argument("--to", type=Path, default=RESULTS / "lists.json")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workdir = Workdir(folder)
        kept = folder / "measured.json"
        measured: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        for part in given.parts:
            facts: dict[str, Any] = {}
            rows = list(_PARTS[part](workdir, given.runs, given.versions, facts))
            measured[part] = {"facts": facts, "rows": rows}
            kept.write_text(json.dumps(measured), encoding="utf-8")
        if missing := [part for part in _PARTS if part not in measured]:
            print(f"Not measured yet: {' '.join(missing)}.")
            return
        question = "a page of a list, ms: by the index, and by reading every folder and manifest"
        facts = {"runs": given.runs, "versions": given.versions}
        facts |= {key: value for part in _PARTS for key, value in measured[part]["facts"].items()}
        rows = [row for part in _PARTS for row in measured[part]["rows"]]
        write_table({**stamp("lists", question), "facts": facts, "rows": rows}, given.to)


def _run_rows(workdir: Workdir, count: int, _: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not workdir.runs.is_dir():
        _write_runs(workdir, count)
    run_index.clear(workdir)
    facts["index of all runs made from their folders, s"] = _once(lambda: run_index.list_runs(workdir))
    client = _client(workdir)
    everything_ms = _once(lambda: _by_folders(workdir)) * 1000
    for path in ("/runs", "/runs?outcome=not+published", "/runs?recipe=flowers&state=failed", "/api/v1/runs"):
        yield _row(path, client, everything_ms)
    newest = run_index.list_runs(workdir).rows[0].run
    yield _row(f"/runs/{newest}", client, None) | {"page": "/runs/<id>"}


def _fill_rows(workdir: Workdir, _: int, count: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures no page: it makes the index of the store."""
    if not workdir.store.is_dir():
        _fill(workdir, count)
    facts["store reindex, s"] = _once(lambda: reindex(Store.open(workdir.store)))
    yield from ()


def _model_rows(workdir: Workdir, _: int, __: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    everything_ms = _once(lambda: Store.open(workdir.store).listing()) * 1000
    for kept in workdir.root.glob("catalog-*.sqlite"):
        kept.unlink()
    client = _client(workdir)
    facts["first page of models of a new server, folder, ms"] = round(_once(lambda: _get(client, "/models")) * 1000)
    for path in _MODEL_PAGES:
        yield _row(path, client, everything_ms)
    before = _resident_mb()
    for number in range(_PAGES):
        _get(client, f"/models?q=model-{number}")
    facts[f"memory that {_PAGES} more pages took, MB"] = round(_resident_mb() - before, 1)


_MODEL_PAGES = ("/models", "/models?show=all", "/models?q=model-77", "/models?task=task-3", "/api/v1/models?limit=100")


def _bucket_rows(workdir: Workdir, _: int, __: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with running_s3() as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        bucket, local = Store.create("s3://bucket/lists"), Store.open(workdir.store)
        with bucket.backend.staging() as staging:
            for entry in local.backend.list(layout.INDEX):
                (staging / "object").write_bytes(local.backend.read(entry.key) or b"")
                bucket.backend.put(entry.key, staging / "object")
        with tempfile.TemporaryDirectory() as elsewhere:
            client = _client(Workdir(Path(elsewhere)), "s3://bucket/lists")
            first_s = _once(lambda: _get(client, "/models"))
            facts["first page of models of a new server, bucket, ms"] = round(first_s * 1000)
            for path in _MODEL_PAGES:
                yield _row(path, client, None) | {"page": f"{path}, bucket"}


def _start_rows(workdir: Workdir, _: int, __: int, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    facts["server start, s"] = _start_s(workdir)
    yield from ()


_PARTS: dict[str, Callable[[Workdir, int, int, dict[str, Any]], Iterator[dict[str, Any]]]] = {
    "runs": _run_rows,
    "reindex": _fill_rows,
    "models": _model_rows,
    "bucket": _bucket_rows,
    "start": _start_rows,
}


def _row(path: str, client: TestClient, everything_ms: float | None) -> dict[str, Any]:
    _get(client, path)
    ours_ms = statistics.median(_once(lambda: _get(client, path)) for _ in range(_ROUNDS)) * 1000
    told = {"everything_read_ms": everything_ms, "ratio": everything_ms / ours_ms} if everything_ms else {}
    return {"page": path, "by_index_ms": ours_ms, "everything_read_ms": "", "ratio": "", **told}


def _get(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and "Read from every manifest" not in answer.text, path


def _client(workdir: Workdir, store: str | None = None) -> TestClient:
    return TestClient(create_app(workdir, store=store), base_url="http://127.0.0.1")


def _by_folders(workdir: Workdir) -> int:
    """What a page needs that has no index, and filters."""
    found = [runs.read_run(workdir, run) for run in runs.run_ids(workdir)]
    return len([row_of(run, runs.read_events(workdir, run.run), 0) for run in found if run])


def _write_runs(workdir: Workdir, count: int) -> None:
    """As an older piecehub did, which noted nothing; so the index is made from the folders."""
    nodes = (Node("Train", (), {"epochs": 3}), Node("HubPusher", ("Train",), {"publisher": "acme"}))
    noting, run_index.note = run_index.note, lambda *_: None
    for number in range(count):
        name, at = ("digits", "flowers", "texts")[number % 3], f"2026-01-01T00:00:{number % 60:02}+00:00"
        run, failed = f"run-{number:09}", number % 10 == 0
        published = number % 4 > 0
        result = Result(name, published, f"acme/{name}/{number}" * published, "" if published else "No gain.")
        runs.write_run(workdir, Run(run, name, f"recipes/{name}", at, 1, nodes))
        runs.append_event(workdir, run, Event(at, "Train", "done", 3.0))
        end = "failed" if failed else "done"
        runs.append_event(workdir, run, Event(at, "", end, results=() if failed else (result,)))
    run_index.note = noting


def _fill(workdir: Workdir, count: int) -> None:
    """Ten versions of each model, in the layout that layout.py draws; the archives are not there."""
    store = Store.create(workdir.store)
    files = (FileEntry("saved_model.pb", 7, "00" * 32),)
    digest = content_digest(files)
    archive = Blob("model.tar.gz", f"sha256:{'11' * 32}", 7)
    facts = {"fine_tunable": True, "verdict": {"contrasts": []}}
    first = Manifest(Handle("acme", "x", 1), digest, files, "", "deflate", archive, (), facts)
    for number in range(count):
        handle = Handle(f"publisher-{number % 7}", f"model-{number // 10}", number % 10 + 1)
        blobs = (Blob(f"evidence/task-{number % 5}/evidence.json", f"sha256:{'22' * 32}", 7),)
        at = f"2026-{number % 12 + 1:02}-01T00:{number % 60:02}:00.000+00:00"
        text = replace(first, handle=handle, published_at=at, blobs=blobs).to_json()
        path = store.manifest_path(handle)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _start_s(workdir: Workdir) -> float:
    """From the command to the line that says where it serves."""
    command = [sys.executable, "-m", "piecehub.cli", "serve", "--port", "0", "--workdir", str(workdir.root)]

    def start() -> float:
        at = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None and re.match("serving ", process.stderr.readline())
            took = time.perf_counter() - at
            process.terminate()
        return took

    return round(statistics.median(start() for _ in range(3)), 2)


def _resident_mb() -> float:
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmRSS:")[1].split()[0]) / 1000


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return round(time.perf_counter() - start, 4)


if __name__ == "__main__":
    _main()
