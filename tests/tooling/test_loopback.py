"""Ports that are held for a program, and servers that say what they are told to."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.loopback import answering, held_port, listens


def test_a_held_port_is_given_to_nobody_and_a_server_may_listen_there() -> None:
    with held_port() as port, held_port() as other:
        assert port != other and not listens(port)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            deadline = time.monotonic() + 20
            while not listens(port) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert server.poll() is None and listens(port)
            server.kill()


def test_each_path_has_its_answer_and_the_token_is_noted() -> None:
    seen: list[tuple[str, str]] = []
    with answering({"/a": (200, {"Kind": "one"}, b"first")}, seen, otherwise=(203, {}, b"any")) as url:
        request = urllib.request.Request(f"{url}/a", headers={"Authorization": "Bearer x"})
        with urllib.request.urlopen(request) as answer:
            assert (answer.read(), answer.headers["Kind"]) == (b"first", "one")
        with urllib.request.urlopen(f"{url}/b") as answer:
            assert (answer.status, answer.read()) == (203, b"any")
    assert seen == [("/a", "Bearer x"), ("/b", "")]
