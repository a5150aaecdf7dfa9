"""A reader who stands in a folder, and runs what a page shows: commands as processes, Python in one interpreter."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, commands
from tests.loopback import held_port

_DONE = "<<done>>"
# Reads a program up to a line of its own, runs it among the names of those before, and says so.
_READER = f"""
import sys
names, lines = {{"__name__": "__main__"}}, []
for line in sys.stdin:
    if line.rstrip() != {_DONE!r}:
        lines.append(line)
        continue
    exec(compile("".join(lines), "page", "exec"), names)
    lines = []
    print({_DONE!r}, flush=True)
"""
# Answers each question of a model page that `piecehub page` began.
_EDITOR = """
import re, sys
from pathlib import Path
answers = {"what is it for": "image-others", "which license": "apache-2.0"}
for page in map(Path, sys.argv[1:]):
    text = page.read_text()
    for question in re.findall(r"TODO: (.*?)(?: -->)?$", text, flags=re.MULTILINE):
        told = next((answer for asked, answer in answers.items() if question.startswith(asked)), "A sentence.")
        text = text.replace(f"TODO: {question}", told)
    page.write_text(text)
"""


class Shell:
    """A folder with a home, a `PATH` on which `piecehub` and `python` are those of this checkout, and an editor.

    Args:
        folder: where the reader stands; made if it is not there.
        replace: texts of the pages for which others stand here: addresses, and folders outside of this one.
        variables: of the environment.
        between: a command to run after those that begin so.
    """

    def __init__(
        self,
        folder: Path,
        replace: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        between: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.replace, self.between = folder, dict(replace or {}), dict(between or {})
        tools = folder.with_name(f"{folder.name}-tools")
        for path in (folder, tools, tools / "home"):
            path.mkdir(parents=True, exist_ok=True)
        _script(tools / "piecehub", f'#!/bin/sh\nexec "{sys.executable}" -P -m piecehub.cli "$@"\n')
        _script(tools / "python", f'#!/bin/sh\nexec "{sys.executable}" -P "$@"\n')
        _script(tools / "editor", f"#!{sys.executable}\n{_EDITOR}")
        self.environment = {
            **os.environ,
            "EDITOR": str(tools / "editor"),
            "HOME": str(tools / "home"),
            "KERAS_BACKEND": "tensorflow",
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TFHUB_CACHE_DIR": str(tools / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "no_proxy": "127.0.0.1",
            **(variables or {}),
        }
        self._interpreter: subprocess.Popen[str] | None = None

    def run(self, block: Block) -> list[str]:
        """Runs a block as it stands on its page, with `replace`; what each command, or the program, prints."""
        text = block.text
        for old, new in self.replace.items():
            text = text.replace(old, new)
        if block.kind == "python":
            return [self._python(text)]
        return [said for command in commands(text) for said in self._commands(command)]

    def close(self) -> None:
        """Ends the interpreter, if there is one."""
        if self._interpreter:
            self._interpreter.kill()
            self._interpreter.communicate()

    def _commands(self, command: str) -> Iterator[str]:
        yield self._serve(command) if re.search(r"piecehub serve\b", command) else self._command(command)
        for begin, after in self.between.items():
            if command.startswith(begin):
                yield self._command(after)

    def _command(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            **self._streams(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def _serve(self, command: str) -> str:
        """Starts a server as the command has it, on a port that is free, and asks it whether it is up."""
        with held_port() as port:
            command = re.sub(r"(\S*piecehub serve\b)", rf"exec \1 --port {port}", command)
            server = subprocess.Popen(
                ["bash", "-c", command], **self._streams(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            try:
                return _asked(f"http://127.0.0.1:{port}/healthz", server)
            finally:
                server.kill()
                server.communicate()

    def _python(self, program: str) -> str:
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-P", "-c", _READER],
                **self._streams(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        stdin, stdout = self._interpreter.stdin, self._interpreter.stdout
        assert stdin and stdout
        stdin.write(f"{program}\n{_DONE}\n")
        stdin.flush()
        said: list[str] = []
        for line in stdout:
            if line.rstrip() == _DONE:
                return "".join(said)
            said.append(line)
        raise AssertionError(f"The program ended with {self._interpreter.wait()}:\n{program}\n{''.join(said)}")

    def _streams(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment}


def _asked(address: str, server: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.05)
    server.kill()
    raise AssertionError(f"Expected a server at {address}. Received: {server.communicate()[0][-2000:]}")


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
