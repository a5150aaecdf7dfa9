"""`piecehub kubeflow upload`, `run`, `schedule` and so on against a server: what they print, how each failure exits."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from piecehub.cli.main import cli
from piecehub.errors import PiecehubError
from piecehub.facts.pod_outcome import PodOutcome
from pipelines.operating import runs
from tests.command_line import piecehub
from tests.kubeflow.api import Kfp
from tests.kubeflow.packages import write_package
from tests.kubeflow.server import Served, serving

CRON = "0 0 3 * * *"


class Ended:
    """How a command ended: its exit code, what it printed, and its sentence, if it failed."""

    def __init__(self, words: tuple[str, ...]) -> None:
        done = CliRunner().invoke(cli, ["kubeflow", *words])
        error = done.exception
        if error is not None and not isinstance(error, PiecehubError | SystemExit):
            raise error
        self.out, self.err = done.stdout, done.stderr
        self.code = error.exit_code if isinstance(error, PiecehubError) else done.exit_code
        self.sentence = error.sentence if isinstance(error, PiecehubError) else ""


def kubeflow(served: Served, *words: Any) -> Ended:
    return Ended((*map(str, words), "--host", served.url))


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served(Kfp())) as running:
        yield running


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "digits.yaml")


def test_a_package_is_uploaded_once(served, package):
    first, again = kubeflow(served, "upload", package), kubeflow(served, "upload", package)
    assert (first.code, again.code) == (0, 0)
    assert first.out.endswith("uploaded\n")
    assert again.out == first.out.replace("uploaded", "the server has it")
    assert len(served.state.versions) == 2


def test_a_run_gets_the_parameters_by_their_types(served, package):
    done = kubeflow(served, "run", package, "-p", "epochs=5", "-p", "rate=0.5", "-p", "title=08", "--name", "by hand")
    assert done.code == 0, done.sentence
    (run,) = served.state.runs.values()
    assert run["runtime_config"]["parameters"] == {"epochs": 5, "rate": 0.5, "title": "08"}
    assert done.out.startswith(run["run_id"])
    assert run["display_name"] == "by hand"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            "epoch=5",
            "Expected a parameter of the package (epochs, rate, title). Received: 'epoch'; did you mean",
        ),
        ("epochs=5.5", "Expected a whole number for the parameter 'epochs'. Received: '5.5'."),
        ("epochs", "Expected --parameter NAME=VALUE. Received: 'epochs'."),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_server_is_asked(served, package, given, sentence):
    done = kubeflow(served, "run", package, "-p", given)
    assert done.code == 2
    assert done.sentence.startswith(sentence)
    assert served.asked == []


def test_what_is_no_package_is_refused(served, tmp_path):
    for content in (b"a: [", b"- 1\n- 2\n", b"\x00\xff", b""):
        (tmp_path / "x.yaml").write_bytes(content)
        done = kubeflow(served, "upload", tmp_path / "x.yaml")
        assert done.code == 2
        assert done.sentence.startswith("Expected a package that `piecehub kubeflow compile` wrote. Received: '")


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        (
            401,
            3,
            "Expected a token that 'URL' takes. Received: 401 (told to say 401); give a fresh one by --token-file",
        ),
        (403, 3, "Expected to be allowed this on 'URL'. Received: 403 (told to say 403); ask for the role"),
        (404, 2, "Expected something that 'URL' has. Received: 404 (told to say 404); `piecehub kubeflow list`"),
        (409, 1, "Expected a name that is free on 'URL'. Received: 409 (told to say 409); give another."),
        (400, 2, "Expected a request that 'URL' takes. Received: 400 (told to say 400); correct what it names."),
        (503, 3, "Expected an answer of 'URL'. Received: 503 (told to say 503); its log says more"),
        (302, 3, "Expected an answer of 'URL'. Received: 302, which leads to a login; give a token"),
        ("cut", 3, "Expected Kubeflow Pipelines at 'URL'. Received: no connection (("),
        ("html", 3, "Expected Kubeflow Pipelines at 'URL'. Received: an answer that is no JSON"),
        ("silent", 3, "Expected an answer of 'URL' within 0.3 s. Received: none; call again later"),
    ],
)
def test_each_failure_has_its_sentence_and_exit_code(served, package, how, code, words):
    served.broken = {("GET", "/apis/v2beta1/pipelines"): how}
    done = kubeflow(served, "upload", package, "--timeout", 0.3 if how == "silent" else 10)
    assert done.code == code
    assert done.sentence.startswith(words.replace("URL", served.url)), done.sentence


def test_a_server_that_is_not_there_is_told(package):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        done = Ended(("upload", str(package), "--host", f"http://127.0.0.1:{free.getsockname()[1]}"))
    assert done.code == 3
    assert "Received: no connection (" in done.sentence
    assert "refused" in done.sentence


def test_a_token_is_read_from_its_file_for_every_call(package, tmp_path):
    with serving(Served(Kfp(), token="fresh")) as served:
        token = tmp_path / "token"
        token.write_text("stale\n")
        assert kubeflow(served, "list", "--token-file", token).code == 3
        assert kubeflow(served, "list").code == 3
        token.write_text("fresh\n")
        assert kubeflow(served, "list", "--token-file", token).code == 0


def test_words_that_cannot_be_meant_are_refused(served, package, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    host = ("--host", served.url)
    for words, code, begins in (
        (("list", "--host", "example.com"), 2, "Expected the address of a Kubeflow Pipelines server"),
        (("list", "--host", "https://me:secret@example.com"), 2, "Expected a --host without a password"),
        (("list", *host, "--token-file", str(tmp_path / "none")), 3, "Expected a file of text for --token-file"),
        (("list", "--host", served.url, "--token-file", str(empty)), 3, "Expected a file of text for --token-file"),
        (("list", "--host", served.url, "--ca", str(tmp_path / "none")), 3, "Expected a file of text for --ca"),
        (("schedule", str(package), "--cron", "0 3 * *", "--host", served.url), 2, "Expected a cron expression of six"),
        (("schedule", str(package), *host, "--cron", CRON, "--time-zone", "Mars"), 2, "Expected a time zone"),
    ):
        done = Ended(words)
        assert done.code == code
        assert done.sentence.startswith(begins)
        assert "secret" not in done.sentence


def test_a_certificate_of_an_authority_of_ones_own_is_taken_by_ca(tmp_path, package):
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(Served(Kfp()), context) as served:
        done = kubeflow(served, "list")
        assert (done.code, "give the file of its authority by --ca" in done.sentence) == (3, True), done.sentence
        assert kubeflow(served, "list", "--ca", certificate).code == 0


def test_a_schedule_in_a_process_of_its_own_twice(served, package):
    words = ("kubeflow", "schedule", str(package), "--cron", "0 3 * * *", "--host", served.url)
    first, again = piecehub(*words), piecehub(*words)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert first.stdout.endswith("made\n")
    assert again.stdout == first.stdout.replace("made", "unchanged")
    assert "the server gets '0 0 3 * * *', with second 0." in first.stderr
    assert "03:00:00 UTC; the server's clock is UTC, unless the server sets CRON_SCHEDULE_TIMEZONE." in first.stderr
    assert len(served.state.recurring) == 1


def test_pause_resume_and_delete_take_a_name_and_list_tells_of_it(served, package):
    kubeflow(served, "schedule", package, "--cron", CRON, "--name", "nightly")
    (one,) = served.state.recurring.values()
    assert kubeflow(served, "pause", "nightly").out == f"{one['recurring_run_id']}  nightly  paused\n"
    assert "paused" in kubeflow(served, "list").out
    assert kubeflow(served, "resume", one["recurring_run_id"]).code == 0
    assert one["status"] == "ENABLED"
    run = served.state.fire(one["recurring_run_id"], datetime(2026, 12, 1, 3, tzinfo=UTC))
    served.state.end(run["run_id"], "SUCCEEDED")
    told = json.loads(kubeflow(served, "list", "--json").out)
    assert told["schedules"][0]["last_run"]["state"] == "SUCCEEDED"
    assert told["schedules"][0]["last_run"]["scheduled_at"] == "2026-12-01T03:00:00+00:00"
    assert told["schedules"][0]["next_firing"].endswith("T03:00:00+00:00")
    assert kubeflow(served, "delete", "nightly").code == 0
    assert served.state.recurring == {}
    gone = kubeflow(served, "delete", "nightly")
    assert (gone.code, gone.sentence.startswith("Expected the name or id of a schedule.")) == (2, True)


def test_a_pair_that_a_failure_left_exits_3_and_is_shown(served, package, tmp_path):
    kubeflow(served, "schedule", package, "--cron", CRON)
    served.broken = {("DELETE", "/apis/v2beta1/recurringruns"): 500}
    done = kubeflow(served, "schedule", package, "--cron", "0 0 4 * * *")
    assert done.code == 3
    assert "both fire" in done.sentence or "both stand" in done.sentence
    older, newer = served.state.recurring
    assert f"{older} is older than {newer}, and both stand" in kubeflow(served, "list").err
    looked = kubeflow(served, "doctor", package)
    assert looked.code == 3
    assert f"older than {newer}, and both stand; call `schedule` again" in looked.out
    served.broken = {}
    assert kubeflow(served, "schedule", package, "--cron", "0 0 4 * * *").out.endswith("removed, the older\n")
    assert list(served.state.recurring) == [newer]


def _ends(served: Served, state: str, logs: dict[str, str], failed: str = "") -> None:
    """Ends each run as soon as there is one."""
    served.state.when_created = lambda run_id: served.state.end(run_id, state, logs, failed)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks again at once."""
    monkeypatch.setattr(runs.wait, "__defaults__", (0.05,))


@pytest.mark.parametrize(
    ("state", "log", "code", "words"),
    [
        ("SUCCEEDED", PodOutcome(True, "acme/digits/3", "").line, 0, "Published acme/digits/3."),
        ("SUCCEEDED", PodOutcome(False, "", "gain 0.1 < 0.9").line, 4, "Nothing was published: gain 0.1 < 0.9"),
        (
            "SUCCEEDED",
            "nothing of ours",
            3,
            "no log of HubPusher tells; give --host the address of Kubeflow's page, or ask",
        ),
        ("FAILED", "Expected …", 1, "to succeed. Received: FAILED in HubPusher; `piecehub kubeflow logs"),
        ("CANCELED", "", 1, "to succeed. Received: CANCELED"),
    ],
)
def test_run_and_wait_exits_as_a_run_on_this_machine(served, package, quick, state, log, code, words):
    _ends(served, state, {"HubPusher": f"some\n{log}\n"}, "HubPusher" if state == "FAILED" else "")
    done = kubeflow(served, "run", package, "--wait")
    assert done.code == code, done.sentence
    assert words in done.out + done.sentence


def test_a_run_that_takes_too_long_goes_on(served, package, quick):
    done = kubeflow(served, "run", package, "--wait", "--at-most", 0.1)
    assert done.code == 3
    assert "Received: its state is PENDING; it goes on" in done.sentence


def test_a_server_that_is_away_for_a_moment_ends_no_wait(served, package, quick):
    served.broken = {("GET", "/apis/v2beta1/runs/"): 503}
    _ends(served, "SUCCEEDED", {"HubPusher": PodOutcome(True, "acme/digits/3", "").line})
    threading.Timer(0.2, served.broken.clear).start()
    assert kubeflow(served, "run", package, "--wait").code == 0


def test_logs_are_those_of_a_task_or_the_sentence_says_what_to_ask(served, package):
    kubeflow(served, "run", package)
    (run_id,) = served.state.runs
    assert kubeflow(served, "logs", run_id, "Train").sentence.endswith("Received: 'Train'; it has not begun.")
    served.state.end(run_id, "FAILED", {"Train": "epoch 1\nExpected …\n", "HubPusher": ""}, "Train")
    assert kubeflow(served, "logs", run_id).out == "Train\nHubPusher\n"
    assert kubeflow(served, "logs", run_id, "Train").out == "epoch 1\nExpected …\n"
    assert kubeflow(served, "logs", run_id, "Trains").sentence.endswith("Received: 'Trains'; did you mean 'Train'?")
    served.with_page = False
    done = kubeflow(served, "logs", run_id, "Train")
    assert done.code == 3
    assert f"kubectl logs --namespace kubeflow --selector pipeline/runid={run_id} --container main" in done.sentence
    assert kubeflow(served, "logs", "no-such-run").code == 2


def test_doctor_tells_of_server_permissions_root_secret_image_and_code(served, package, tmp_path, monkeypatch):
    kubeflow(served, "schedule", package, "--cron", CRON, "--pipeline-root", "minio://mlpipeline/runs")
    looked = kubeflow(served, "doctor", package)
    assert looked.code == 0, looked.sentence
    for line in (
        "ok       version    2.16.1",
        "ok       permission may read recurring runs",
        "ok       root       minio://mlpipeline/runs",
        "note     secret     store: Kubeflow has no call that tells",
        "note     image      registry.example/piecehub:0.1.0-1, by a tag; its digest is not told: ",
        "ok       code       as the package was compiled with",
    ):
        assert line in looked.out
    wrong = kubeflow(served, "doctor", package, "--pipeline-root", "/mnt/runs")
    assert (wrong.code, "missing  root       /mnt/runs" in wrong.out) == (3, True)
    served.tag, served.broken = "", {("GET", "/apis/v2beta1/runs"): 403}
    blind = kubeflow(served, "doctor", package)
    assert blind.code == 3
    assert "note     version    not told" in blind.out
    assert "missing  permission may not read runs" in blind.out


def test_doctor_asks_kubectl_for_secrets_if_told(served, package, tmp_path, monkeypatch):
    """A program in kubectl's place, for there is no cluster: what it is asked, and what is made of its answers."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent))
    assert "there is no kubectl here" in kubeflow(served, "doctor", package, "--kubectl").out
    for answer, code, line in (
        ("echo secret/store", 0, "ok       secret     store is in the cluster"),
        ("echo 'Error: secrets \"store\" not found' >&2; exit 1", 3, "missing  secret     store: Error: secrets"),
    ):
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n{answer}\n')
        program.chmod(0o755)
        looked = kubeflow(served, "doctor", package, "--kubectl")
        assert (looked.code, line in looked.out) == (code, True), looked.out
    assert (tmp_path / "asked").read_text() == "get secret store --namespace kubeflow --output name\n"


def test_doctor_holds_the_time_zone_against_the_last_run(served, package):
    kubeflow(served, "schedule", package, "--cron", CRON, "--time-zone", "Europe/Berlin")
    (one,) = served.state.recurring
    served.state.fire(one, datetime(2026, 12, 1, 2, tzinfo=UTC))
    looked = kubeflow(served, "doctor", package)
    assert "ok       time zone  digits ran at 2026-12-01T02:00:00+00:00, as in Europe/Berlin" in looked.out
    served.state.fire(one, datetime(2026, 12, 2, 3, tzinfo=UTC))
    looked = kubeflow(served, "doctor", package)
    assert looked.code == 3
    assert "which is no firing of '0 0 3 * * *' in Europe/Berlin, but as in UTC" in looked.out


def test_doctor_tells_of_a_server_that_is_not_reached_in_a_line(served, package):
    served.broken = {("GET", "/apis/v2beta1/healthz"): 503}
    looked = kubeflow(served, "doctor", package)
    assert looked.code == 3
    assert looked.out.startswith(f"missing  server     {served.url}; Expected an answer of")


def test_code_of_another_commit_is_told_by_doctor(served):
    recorded = Path(__file__).parent / "recorded" / "digits.yaml"
    looked = kubeflow(served, "doctor", recorded)
    assert "note     code       that of" in looked.out or "note     code       Expected" in looked.out
