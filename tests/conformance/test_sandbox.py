"""What a stranger's process, and a stranger's model, can and cannot do in each sandbox."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from piecehub.conformance import sandbox
from piecehub.conformance.check import check_saved_model
from piecehub.conformance.sandbox import Limits
from piecehub.facts.conformance_report import Finding, Sandbox
from piecehub.tensors.fresh import Ended, Job, run_fresh

NO_BUBBLEWRAP = sandbox.missing()
needs_bubblewrap = pytest.mark.skipif(bool(NO_BUBBLEWRAP), reason=f"needs the package bubblewrap: {NO_BUBBLEWRAP}")
SANDBOXES = [pytest.param("bubblewrap", marks=needs_bubblewrap), "process limits"]
MARKER = f"piecehub-marker-{os.getpid()}"
WIDE = Limits(wall_s=120, cpu_s=120, file_bytes=1 << 28, resident_bytes=1 << 32)


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test leaves behind is seen, and what others do beside it is not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"model")
    return folder


def _run(kind: Sandbox, model: Path, code: str, limits: Limits = WIDE) -> tuple[Ended, str]:
    """Runs Python code that may call `say(text)`; how it ended, and what it said."""
    result = model.parent / "result"
    result.write_text("")
    said = f"import os, sys\ndef say(text): open({str(result)!r}, 'a').write(str(text))\nmodel = {str(model)!r}\n"
    job = Job([sys.executable, "-P", "-c", said + code], "", result, None)
    return sandbox.runner(kind, model, limits)(job), result.read_text()


def _limits(**changes: Any) -> Limits:
    return Limits(**{**vars(WIDE), **changes})


@contextmanager
def _nothing_left() -> Iterator[None]:
    """No process more than before, and nothing more in the folder for temporary ones."""

    def left() -> tuple[set[int], set[str]]:
        children = {process.pid for process in psutil.Process().children(recursive=True)}
        marked = {p.pid for p in psutil.process_iter(["cmdline"]) if MARKER in str(p.info["cmdline"])}
        return children | marked, {path.name for path in Path(tempfile.gettempdir()).iterdir()}

    before = left()
    yield
    deadline = time.monotonic() + 5
    while (now := left()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert now == before


@pytest.mark.parametrize("kind", SANDBOXES)
def test_a_process_says_its_result_and_reads_its_input(kind: Sandbox, model: Path) -> None:
    assert _run(kind, model, "say(open(model + '/saved_model.pb').read())") == (Ended(0, ""), "model")
    arguments = {"publisher": "someone"}
    run = sandbox.runner(kind, model, WIDE)
    assert run_fresh("piecehub.facts.handle:check_publisher", arguments, run=run) == "someone"


@pytest.mark.parametrize("kind", SANDBOXES)
def test_what_runs_for_ever_is_ended(kind: Sandbox, model: Path) -> None:
    with _nothing_left():
        ended, _ = _run(kind, model, "import time\nwhile True: time.sleep(1)", _limits(wall_s=2))
        assert ended.returncode != 0
        assert ended.limit.startswith("it took more than 2 s; look for a loop")
        started = time.monotonic()
        ended, _ = _run(kind, model, "while True: pass", _limits(cpu_s=1))
        assert ended.limit.startswith("it took more than 1 s of the processor; look for a loop")
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("kind", SANDBOXES)
def test_what_takes_all_memory_is_ended(kind: Sandbox, model: Path) -> None:
    alone = "kept = []\nwhile True: kept.append(bytes(range(256)) * 4096)"
    shared = "for _ in range(4):\n  if not os.fork(): break\n"  # each child takes a part, together they take too much
    shared += "import time\nkept = bytes(range(256)) * (60 << 12)\ntime.sleep(60)"
    with _nothing_left():
        for code in (alone, shared):
            ended, _ = _run(kind, model, code, _limits(resident_bytes=200 << 20))
            assert ended.limit == "it held more than 0.195 GiB of memory; use a machine that has more"


@pytest.mark.parametrize("kind", SANDBOXES)
def test_what_fills_the_disk_is_ended(kind: Sandbox, model: Path) -> None:
    code = "import tempfile\nwith tempfile.TemporaryFile() as f:\n  while True: f.write(bytes(1 << 20)); f.flush()"
    with _nothing_left():
        ended, _ = _run(kind, model, code, _limits(file_bytes=4 << 20))
    assert ended.returncode != 0
    assert "OSError" in ended.errors.splitlines()[-1]


@pytest.mark.parametrize("kind", SANDBOXES)
def test_what_talks_without_end_is_kept_short(kind: Sandbox, model: Path) -> None:
    code = "for n in range(200000): print('x' * 100, file=sys.stderr)\nprint('x' * 100_000_000)\nsys.exit(3)"
    ended, _ = _run(kind, model, code)
    assert ended.returncode == 3
    assert len(ended.errors) < 10_000


@pytest.mark.parametrize("kind", SANDBOXES)
def test_children_do_not_outlive_their_process(kind: Sandbox, model: Path) -> None:
    sleeper = f"[sys.executable, '-c', 'import time; time.sleep(600)', '{MARKER}']"
    code = f"import subprocess\nsubprocess.Popen({sleeper}"
    with _nothing_left():
        assert _run(kind, model, f"{code})")[0].returncode == 0
    if kind == "bubblewrap":
        with _nothing_left():
            assert _run(kind, model, f"{code}, start_new_session=True)")[0].returncode == 0


@pytest.mark.parametrize("kind", SANDBOXES)
def test_variables_of_this_process_stay_here(kind: Sandbox, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIECEHUB_TEST_SECRET", "secret")
    _, said = _run(kind, model, "say(dict(os.environ)); say(os.listdir(os.environ['HOME']))")
    assert "secret" not in said.lower()
    assert said.endswith("[]") or kind == "bubblewrap"
    assert str(Path.home()) not in said.replace(os.environ["PATH"], "").replace(str(Path(sys.prefix)), "")


@needs_bubblewrap
def test_bubblewrap_shows_nothing_of_this_machine(model: Path) -> None:
    secret = model.parent / "secret"
    secret.write_text("secret")
    code = f"""
for path in ({str(secret)!r}, '/etc/passwd', '/etc/hostname', os.path.expanduser('~/.ssh'), '/proc/1/root/etc/passwd'):
    say(os.path.exists(path))
say(sorted(os.listdir({str(model.parent)!r})))
say(sorted(set(os.listdir('/')) - {{'usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'etc', 'proc', 'dev', 'tmp'}}))
"""
    ended, said = _run("bubblewrap", model, code)
    assert ended.returncode == 0, ended.errors
    folders = sorted({Path(path).parts[1] for path in (sys.prefix, sys.base_prefix, str(Path.cwd()))} - {"usr"})
    assert said.startswith("False" * 5 + "['model', 'result']")
    shown = said.partition("]")[2]
    assert all(name in folders for name in shown.strip("[]").replace("'", "").split(", ") if name), said


@needs_bubblewrap
def test_bubblewrap_lets_nothing_be_written_but_the_result(model: Path) -> None:
    code = f"""
for path in (model + '/saved_model.pb', model + '/new', sys.prefix + '/new', '/usr/new', os.__file__):
    try: open(path, 'a').close(); say('written ')
    except OSError: say('refused ')
open('/tmp/scratch', 'w').close()
open({str(model.parent)!r} + '/beside', 'w').close()
"""
    ended, said = _run("bubblewrap", model, code)
    assert (ended.returncode, said) == (0, "refused " * 5)
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "result"]
    assert not Path("/tmp/scratch").exists()


@needs_bubblewrap
def test_bubblewrap_has_no_network_and_no_rights_and_sees_no_process(model: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    code = f"""
import socket
for address in (('127.0.0.1', {server.server_address[1]}), ('192.0.2.1', 80)):
    try: socket.create_connection(address, timeout=5); say('reached ')
    except OSError: say('refused ')
say(len([name for name in os.listdir('/proc') if name.isdigit()]) < 5)
say([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])
"""
    try:
        ended, said = _run("bubblewrap", model, code)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (ended.returncode, said) == (0, "refused refused True['0000000000000000']")


def test_limits_grow_with_the_model_and_half_of_the_memory_is_always_its_own(tmp_path: Path) -> None:
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    limits: list[Limits] = []
    for gigabytes in (0, 1, 1000):
        with (tmp_path / "weights").open("wb") as file:
            file.truncate(gigabytes << 30)
        limits.append(sandbox.limits_for(tmp_path))
    small, large, huge = limits
    assert (small.wall_s, small.cpu_s, large.wall_s) == (900, 1800, 900 + 4096)
    assert large.file_bytes - small.file_bytes == 4 << 30
    assert small.resident_bytes == max(half, min(4 << 30, 9 * half // 5))
    assert small.resident_bytes <= large.resident_bytes <= huge.resident_bytes < 2 * half
    assert huge.resident_bytes > half


@pytest.mark.parametrize("kind", SANDBOXES)
def test_the_most_memory_that_was_held_is_told(kind: Sandbox, model: Path) -> None:
    ended, _ = _run(kind, model, "import time\nkept = bytes(range(256)) * (150 << 12)\ntime.sleep(1)")
    assert 150 << 20 < ended.peak_bytes < 250 << 20


def test_without_bubblewrap_only_trusted_models_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sandbox.strongest(trusted=False) == ("none" if NO_BUBBLEWRAP else "bubblewrap")
    try:
        for folder, words in ((tmp_path, "no 'bwrap'"), (_broken_bwrap(tmp_path / "broken"), "creating new namespace")):
            sandbox.missing.cache_clear()
            monkeypatch.setenv("PATH", str(folder))
            assert sandbox.strongest(trusted=False) == "none"
            assert sandbox.strongest(trusted=True) == "process limits"
            assert words in sandbox.missing()
    finally:
        sandbox.missing.cache_clear()


def _broken_bwrap(folder: Path) -> Path:
    """A program that says what bubblewrap says where namespaces are not permitted."""
    folder.mkdir()
    program = folder / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: creating new namespace failed: Operation not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    return folder


# Real models. Those that only compute pass the static checks, so the limits have to end them.


def _save(forward: Any, folder: Path) -> Path:
    import tensorflow as tf

    class Root(tf.__internal__.tracking.AutoTrackable):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="inputs")])
        def __call__(self, inputs: Any) -> Any:
            return forward(tf, inputs) * self.w

    root: Any = Root()
    variable: Any = tf.Variable
    root.w = variable(2.0)
    root.variables, root.trainable_variables = [root.w], [root.w]
    tf.saved_model.save(root, str(folder), signatures={"serving_default": root.__call__})
    return folder


def _takes_memory(tf: Any, x: Any) -> Any:
    return x + tf.reduce_mean(tf.random.stateless_uniform([1 << 31], [1, 2]))


def _runs_for_ever(tf: Any, x: Any) -> Any:
    return tf.while_loop(lambda y: True, lambda y: [y + 1.0], [x])[0]


def test_a_model_that_takes_all_memory_is_unfinished_in_one_sentence(tmp_path: Path) -> None:
    folder = _save(_takes_memory, tmp_path / "model")
    with _nothing_left():
        found = _checked(folder, "process limits", _limits(wall_s=300, resident_bytes=2 << 30))
    assert found["D1"].sentence.startswith("Could not be finished: it held more than 2 GiB of memory; use a machine")
    assert (found["D1"].passed, found["S4"].passed, found["D2"].passed) == (None, True, None)


@needs_bubblewrap
def test_e14_a_model_that_runs_for_ever_is_unfinished_in_one_sentence(tmp_path: Path) -> None:
    folder = _save(_runs_for_ever, tmp_path / "model")
    with _nothing_left():
        found = _checked(folder, "bubblewrap", _limits(wall_s=300, cpu_s=15, resident_bytes=8 << 30))
    assert "it took more than 15 s of the processor; look for a loop that never ends" in found["D1"].sentence
    assert (found["D1"].passed, found["S4"].passed, found["D2"].passed) == (None, True, None)
    assert found["D2"].sentence == "Could not be made, since D1 could not be finished."


@needs_bubblewrap
def test_a_model_that_reads_files_is_not_loaded_and_would_find_none(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def acts(tf: Any, x: Any) -> Any:
        read = tf.cond(x[0] > 1, lambda: tf.strings.length(tf.io.read_file(str(secret))), lambda: 0)
        found = tf.cond(x[0] < 0, lambda: tf.size(tf.io.matching_files("/etc/pass*")), lambda: 0)
        return x + tf.cast(read + found, tf.float32)

    folder = _save(acts, tmp_path / "model")
    found = _checked(folder, "bubblewrap", WIDE)
    assert (
        found["S4"].passed is False and "ReadFile" in found["S4"].sentence and "MatchingFiles" in found["S4"].sentence
    )
    assert found["D1"].passed is None
    code = """
import tensorflow as tf
loaded = tf.saved_model.load(model)
say(loaded(tf.constant([0.5])).numpy().tolist())
for value in (2.0, -2.0):
    try: say(loaded(tf.constant([value])).numpy().tolist())
    except tf.errors.NotFoundError: say(' not found')
"""
    ended, said = _run("bubblewrap", folder, code)
    assert (ended.returncode, said) == (0, "[1.0] not found[-4.0]"), ended.errors


def _checked(folder: Path, kind: Sandbox, limits: Limits) -> dict[str, Finding]:
    report = check_saved_model(folder, kind, limits=limits)
    assert report.sandbox == kind
    assert not report.conforms
    beyond = [f.check for f in report.findings if f.sentence.startswith("Could not be finished: ")]
    assert (report.verdict, [report.unfinished]) == (("unfinished", beyond) if beyond else ("not reusable", [""]))
    assert not beyond or report.first_failure.startswith(f"{beyond[0]} could not be finished: it ")
    assert report.timings and report.timings.seconds.keys() >= {"S1", "S4"} and report.timings.peak_bytes > 50 << 20
    return {finding.check: finding for finding in report.findings}
