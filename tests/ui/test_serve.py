import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from starlette.testclient import TestClient

from piecehub.errors import EnvironmentProblem
from piecehub.facts.addresses import is_loopback
from piecehub.ui.app import create_app
from piecehub.ui.serve import listen

SERVE = (
    "import sys; from pathlib import Path; from piecehub.facts.workdir import Workdir; "
    "from piecehub.ui.serve import serve; serve(Workdir(Path(sys.argv[1])), '127.0.0.1', 0)"
)
HEAVY = ("tensorflow", "keras", "tf_keras", "tfx", "apache_beam", "pandas", "ml_metadata")


def test_the_server_tells_its_real_port_and_ends_quietly(site):
    command = [sys.executable, "-c", SERVE, str(site.workdir.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        [url] = re.findall(r"^serving (http://127\.0\.0\.1:[1-9]\d*/)$", line)
        with urllib.request.urlopen(f"{url}healthz", timeout=30) as answer:
            assert json.load(answer) == {"status": "ok"}
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


def test_an_occupied_port_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"Expected a free address. Received: '127.0.0.1' port {port}"):
            listen("127.0.0.1", port)


def test_a_host_of_another_machine_is_one_sentence():
    with pytest.raises(EnvironmentProblem, match="choose another with --host"):
        listen("192.0.2.1", 0)


def test_the_server_never_imports_what_is_heavy(site):
    site.write_run("20261124-014400-001", states=site.done, end="done")
    site.publish()
    program = f"""
import sys
from pathlib import Path
import piecehub.ui.serve
from piecehub.ui.app import create_app
from piecehub.facts.workdir import Workdir
from starlette.testclient import TestClient
client = TestClient(create_app(Workdir(Path(sys.argv[1]))), base_url="http://127.0.0.1")
for path in ("/", "/runs/20261124-014400-001", "/models/piecehub/digits/1", "/piecehub/digits/1"):
    assert client.get(path).status_code == 200, path
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    command = [sys.executable, "-W", "ignore", "-c", program, str(site.workdir.root)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == ""


def test_other_machines_get_the_hosting_protocol_only(site):
    site.write_run("20261124-014400-001")
    site.publish()
    client = TestClient(create_app(site.workdir, host="192.0.2.1"), base_url="http://192.0.2.1:8470")
    assert client.get("/piecehub/digits/1?tf-hub-format=compressed").status_code == 200
    assert client.get("/healthz").status_code == 200
    for path in ("/", "/runs/20261124-014400-001", "/models/piecehub/digits/1", "/api/v1/runs"):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(("host", "answer"), [("0.0.0.0", 200), ("192.0.2.1", 400)])
def test_a_server_on_every_address_answers_to_every_name(site, host, answer):
    client = TestClient(create_app(site.workdir, host=host), base_url="http://models.example.org")
    assert client.get("/healthz").status_code == answer


def test_loopback_is_told_from_the_rest():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""))
