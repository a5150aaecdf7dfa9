"""The process that shows how far another one is, and what starts it: on terminals of two widths, and on none."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from piecehub.ui import terminal
from piecehub.ui.board import Board, Words
from tests.command_line import ROOT
from tests.terminals import Seen, on_terminal
from tests.ui.test_board import NODES, RUN, TRAINING, began, event

# A program that shows how far it is: a phase in which it does not let go of the interpreter, then a run that fails.
PROGRAM = """
import json, sys, time
from piecehub.facts.progress import phase
from piecehub.ui.board import Words
from piecehub.ui.shown import form_of, shown, write_event
with shown(form_of(**json.loads(sys.argv[2])), Words("http://127.0.0.1:9", "serve it", "run it", "logs")) as show:
    with phase("loading TensorFlow"):
        until = time.monotonic() + float(sys.argv[3])
        while time.monotonic() < until:
            sum(range(3_000_000))
    for event in json.loads(sys.argv[1]):
        write_event(show.fd, (json.dumps(event) + "\\n").encode())
        time.sleep(0.6 if event.get("progress") else 0.15)
print("the result")
"""
EVENTS = [
    began(),
    event(NODES[0], "running"),
    event(NODES[0], "cached", 0.31),
    event(NODES[1], "running"),
    event(NODES[1], "running", 0.0, TRAINING),
    event(NODES[1], "failed", 75.2),
    {"event": "run", "run": RUN, "state": "failed"},
]
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def command(events: list[dict[str, Any]] = EVENTS, busy_s: float = 0.1, **options: bool) -> list[str]:
    return [sys.executable, "-P", "-c", PROGRAM, json.dumps(events), json.dumps(options), str(busy_s)]


def piped(**options: bool) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(**options), capture_output=True, text=True, check=True, env=environment)


@pytest.fixture(scope="module")
def narrow() -> Seen:
    """On 80 columns."""
    return on_terminal(command(busy_s=2.0), 80)


def test_what_ended_stands_on_the_screen_and_nothing_else(narrow: Seen) -> None:
    assert narrow.code == 0 and narrow.stdout == "the result\n"
    assert [re.sub(r"done +\d\.\d s", "done", line) for line in narrow.screen] == [
        "  ✓  loading TensorFlow         done",
        f"digits  4 components  run {RUN}",
        f"  page  http://127.0.0.1:9/runs/{RUN}",
        "        once `serve it` runs",
        "  ↺  ExampleIngester            from cache       0.3 s",
        "  ✗  FullModelTrainer           failed      1 min 15 s",
        f"  not run  {NODES[2]}, {NODES[3]}",
        "  log      logs/" + RUN,
        f"  page     http://127.0.0.1:9/runs/{RUN}",
        "           once `serve it` runs",
        "  again    run it",
    ]


def test_while_it_goes_on_the_running_component_says_how_far_it_is(narrow: Seen) -> None:
    shown = [" ".join(lines) for lines in narrow.screens(200)]
    assert any("loading TensorFlow" in lines and "running" in lines for lines in shown)
    assert any("step 120/285  loss 0.412  1 min 20 s left" in lines for lines in shown)
    assert all(len(line) <= 80 for lines in narrow.screens(50) for line in lines)


def test_the_spinner_turns_while_the_program_itself_stands_still(narrow: Seen) -> None:
    """Eight times a second; a third of that where the machine is busy. A thread of the program would stand still."""
    assert narrow.turns > 8 * narrow.seconds / 3
    assert b"\x1b[?25h" in narrow.drawn.rpartition(b"\x1b[?25l")[2], "the cursor is there again"


def test_on_200_columns_there_is_room_for_a_bar() -> None:
    seen = on_terminal(command(), 200)
    assert any("━━─" in " ".join(lines) for lines in seen.screens(200))
    assert len(seen.screen) == 10, "the phase was brief"


def test_colours_are_on_a_terminal_only_and_not_where_no_color_is_set(narrow: Seen) -> None:
    assert COLOUR.search(narrow.drawn)
    plain = on_terminal(command(), 80, NO_COLOR="1")
    assert not COLOUR.search(plain.drawn) and plain.turns > 3
    assert "\x1b" not in piped().stderr


def test_a_dumb_terminal_gets_lines() -> None:
    seen = on_terminal(command(), 80, TERM="dumb")
    assert b"\x1b" not in seen.drawn and "…  ExampleIngester" in seen.drawn.decode()


def test_through_a_pipe_a_line_tells_that_something_began_and_one_that_it_ended() -> None:
    done = piped()
    assert done.stdout == "the result\n"
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert lines[0] == f"digits 4 components run {RUN}", "a phase that is brief is passed over"
    assert lines[3:7] == [
        "… ExampleIngester running",
        "↺ ExampleIngester from cache 0.3 s",
        "… FullModelTrainer running",
        "✗ FullModelTrainer failed 1 min 15 s",
    ]


def test_through_a_pipe_a_phase_that_takes_long_is_told_of_too() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command([], 2.5), capture_output=True, text=True, check=True, env=environment)
    first, last = (" ".join(line.split()) for line in done.stderr.splitlines())
    assert first == "… loading TensorFlow running" and re.fullmatch(r"✓ loading TensorFlow done \d\.\d s", last)


def test_through_a_pipe_what_is_long_at_work_is_told_of_again_and_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "_STILL_S", 0.3)
    reader, writer = os.pipe()
    for told in EVENTS[:5]:
        os.write(writer, (json.dumps(told) + "\n").encode())
    if not (child := os.fork()):
        time.sleep(1.6)
        os._exit(0)  # and with it the last end of the pipe that can be written to
    os.close(writer)
    terminal.show_plainly(Board(Words()), terminal._Events(reader))
    os.waitpid(child, 0)
    os.close(reader)
    said = [line for line in capfd.readouterr().err.splitlines() if TRAINING.text in line]
    assert 2 <= len(said) <= 5


def test_as_events_each_is_a_json_line_on_standard_output_and_nothing_else_is_said() -> None:
    done = piped(as_events=True)
    *lines, result = done.stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert done.stderr == "" and result == "the result"
    assert [(e["event"], e["component"], e["state"]) for e in told[:2]] == [
        ("phase", "loading TensorFlow", "running"),
        ("phase", "loading TensorFlow", "done"),
    ]
    assert told[1]["seconds"] >= 0.1 and told[2:] == EVENTS


def test_quiet_is_quiet_on_a_terminal_too() -> None:
    done = piped(quiet=True)
    assert (done.stdout, done.stderr) == ("the result\n", "")
    seen = on_terminal(command([], quiet=True), 80)
    assert (seen.drawn, seen.stdout) == (b"", "the result\n")


def test_ctrl_c_is_for_the_program_and_the_screen_tells_what_was_stopped() -> None:
    """The process that draws is in its group, as in a shell, and goes on until all is drawn."""
    program = PROGRAM.replace("until = ", "import os, signal; time.sleep(1.1); os.killpg(0, signal.SIGINT); until = ")
    seen = on_terminal([sys.executable, "-P", "-c", program, "[]", "{}", "9"], 80)
    assert seen.code == -signal.SIGINT
    assert "◼  loading TensorFlow         stopped" in "\n".join(seen.screen)


def test_a_program_that_is_killed_leaves_nothing_that_draws() -> None:
    program = PROGRAM.replace("until = ", "import os; os.kill(os.getpid(), 9); until = ")
    began = time.monotonic()
    seen = on_terminal([sys.executable, "-P", "-c", program, "[]", "{}", "9"], 80)  # returns when the terminal is free
    assert seen.code == -signal.SIGKILL and time.monotonic() - began < 20


def test_nothing_that_is_told_moves_the_cursor() -> None:
    events = [{**EVENTS[0], "pipeline": "a\x1b[2Jname"}, event("B\x1b[5A", "running"), event("B\x1b[5A", "done", 1.0)]
    seen = on_terminal(command(events), 80, NO_COLOR="1")
    assert b"\x1b[2J" not in seen.drawn and b"\x1b[5A" not in seen.drawn and seen.screen[0].startswith("a�[2Jname")


def test_who_looks_no_longer_ends_no_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command(as_events=True), stdout=writer, stderr=subprocess.PIPE, env=environment) as process:
        os.close(writer)
        errors = process.communicate()[1].decode()
    assert errors.count("BrokenPipeError") <= 1 and "write_event" not in errors  # but for the result itself


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_is_served_if_the_server_says_so(status: int) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        assert terminal.is_served(f"http://127.0.0.1:{server.server_port}/runs/1") is (status == 200)
    assert terminal.is_served(f"http://127.0.0.1:{server.server_port}/runs/1") is False
