"""Every block of Python and of commands in README.md and docs/ is run: by a scenario here, or by a test that is named.

What is run by neither stands in `NOT_RUN` with its reason, and nowhere else. A block is named by its page and by how
its first line begins; `python` stands for all blocks of Python of a page.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from piecehub.cli.main import cli
from tests.docs import worlds
from tests.docs.blocks import ROOT, Block, blocks, commands, pages, words
from tests.docs.shell import Shell
from tests.docs.worlds import Stand

Key = tuple[str, str]


@dataclass(frozen=True)
class Scenario:
    """Blocks of a page that a reader runs one after the other, in a folder that a world has made.

    Attributes:
        before: commands that were run there earlier.
        between: a command to run after those that begin so, as the page's text says.
        means: what stands here for capital words of the page, and for what it shows in brackets.
    """

    page: str
    blocks: tuple[str, ...]
    world: Callable[[Path], AbstractContextManager[Stand]] = worlds.nothing
    before: tuple[str, ...] = ()
    between: dict[str, str] = field(default_factory=dict)
    means: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.blocks[0]}"


QUICK = (
    Scenario(
        "docs/store.md",
        ("piecehub store init", "piecehub store yank", "piecehub store fsck"),
        worlds.three_versions,
    ),
    Scenario(
        "docs/serving.md",
        ("piecehub serve", "head -c 32", "piecehub store export"),
        worlds.three_versions,
        before=("piecehub store init --store s3://bucket/prefix",),
    ),
    Scenario("docs/signing.md", ("openssl ecparam",)),
    Scenario(
        "docs/signing.md",
        ("piecehub verify", "piecehub fetch", "piecehub cache doctor", "python -m model_signing verify"),
        worlds.signed,
    ),
    Scenario(
        "docs/kubeflow.md",
        ("piecehub kubeflow doctor", "piecehub kubeflow run", "piecehub kubeflow schedule", "piecehub serve"),
        worlds.a_kubeflow_server,
    ),
    Scenario("docs/workdir.md", ("piecehub runs", "piecehub workdir gc"), worlds.finished_run),
)
LONG = (
    Scenario("README.md", (".venv/bin/piecehub serve", "import tensorflow_hub as hub"), worlds.make_run),
    Scenario("README.md", ("piecehub export",), worlds.flowers, between={"piecehub page": "$EDITOR page.md"}),
    Scenario("docs/sharing.md", ("piecehub export flowers.keras",), worlds.flowers),
    Scenario("docs/check.md", ("import piecehub",), worlds.my_piece),
    Scenario(
        "docs/check.md",
        ("piecehub check SAVED_MODEL",),
        worlds.my_piece,
        before=("piecehub page my_piece --name acme/features > page.md", "$EDITOR page.md"),
        means={
            "SAVED_MODEL": "my_piece",
            "[--json]": "--json",
            "[--trust]": "--trust",
            "[--": "--",
            "PAGE.md]": "page.md",
        },
    ),
    Scenario(
        "docs/sharing.md",
        ("piecehub export MODEL", "piecehub page", "piecehub publish"),
        worlds.flowers,
        before=("piecehub keys new acme.pem",),
        between={"piecehub page": "$EDITOR page.md"},
        means={
            "[--evidence FOLDER]": "",
            "[--signing-key acme.pem]": "--signing-key acme.pem",
            "MODEL [--layer NAME] -o FOLDER": "flowers.keras --layer features -o flowers/",
        },
    ),
    Scenario(
        "docs/start.md",
        ("piecehub init DIR",),
        worlds.a_table_and_a_model,
        means={
            "DIR --from images|csv|text|tfrecord PATH": "rows --from csv rows.csv",
            "DIR --from keras|savedmodel MODEL --task images|csv|text|tfrecord PATH": (
                "shared --from keras model.keras --task csv rows.csv"
            ),
        },
    ),
    Scenario("README.md", ("import piecehub",), worlds.digits_in_keras),
    Scenario("README.md", ("piecehub kubeflow compile",), worlds.an_image),
)
# Blocks that other tests run, or the same commands with other names.
ELSEWHERE: dict[Key, str] = {
    ("docs/consume.md", "python"): "tests/guides/test_consume_page.py",
    ("docs/guides.md", "python"): "tests/guides/test_numbers.py",
    ("docs/data.md", "python"): "tests/docs/test_python.py",
    ("docs/start.md", "python"): "tests/docs/test_python.py",
    ("docs/training.md", "python"): "tests/docs/test_python.py",
    ("README.md", "def build_model"): "tests/docs/test_python.py",
    ("README.md", "piecehub init"): "tests/pipelines/test_starting.py",
    ("README.md", "piecehub recipe check"): "tests/tutorials/test_tutorials.py",
    ("README.md", "piecehub evaluate"): "tests/cli/test_evaluate.py",
    ("docs/evaluate.md", "piecehub compare"): "tests/comparing/test_compare.py",
    ("README.md", "unzip -p"): "tests/tooling/test_wheel.py",
    ("README.md", "piecehub doctor"): "tests/cli/test_doctor.py",
    ("docs/store.md", "piecehub store reindex"): "tests/store/test_index.py",
    ("docs/consume.md", "pip install"): "tests/consume/test_consume_installed.py",
    ("docs/kubeflow.md", "piecehub kubeflow pause"): "tests/kubeflow/test_operating_commands.py",
    ("docs/kubeflow.md", "piecehub lineage"): "tests/pipelines/test_signed_run.py",
    ("docs/evaluate.md", "piecehub run RECIPE"): "tests/cli/test_evaluate.py",
    ("docs/faults.md", "make engines"): "tests/store/faults/test_crowds.py",
    ("docs/plan.md", "piecehub plan digits"): "tests/pipelines/test_plan.py",
    ("docs/recipe.md", "piecehub recipe check"): "tests/pipelines/test_starting_trained.py",
    ("docs/serving.md", "python -m tests.store.conformance"): "tests/store/conformance/test_protocol.py",
    ("docs/sharing.md", "piecehub export tokens.keras"): "tests/publishing/test_pair.py",
    ("docs/sharing.md", "piecehub evaluate flowers/"): "tests/publishing/test_evidence.py",
    ("docs/signing.md", "piecehub keys new"): "tests/pipelines/test_signed_run.py",
    ("docs/signing.md", "cosign verify-blob-attestation"): "tests/signing/test_cosign.py",
    ("docs/start.md", "piecehub init my_piece"): "tests/pipelines/test_starting.py",
    ("docs/workdir.md", "python"): "tests/pipelines/test_own_component.py",
}
NOT_RUN: dict[Key, str] = {
    ("README.md", "make run"): "sets up an environment and runs all tests, this one among them",
    ("docs/kubeflow.md", "docker build"): "builds and pushes an image; kubeflow/README.md says what was run of it",
    ("docs/kubeflow.md", "docker run"): "needs that image; README.md has a call without it, which is run",
    ("docs/kubeflow.md", "kubectl create secret"): "needs a cluster",
    ("docs/scale.md", "piecehub evaluate"): "needs a cluster of Flink; the page says what was run there by hand",
    ("docs/signing.md", "python -m model_signing sign sigstore"): "needs Sigstore's own servers",
}


def _means(key: Key, block: Block) -> bool:
    page, begin = key
    return page == block.page and (block.first.removeprefix("$ ").startswith(begin) or begin == block.kind)


def _all_blocks() -> list[Block]:
    """But those of tutorials, which tests/tutorials follows from top to bottom."""
    return [block for page in pages() for block in blocks(page) if not block.page.startswith("docs/tutorials/")]


def _run_here() -> list[Key]:
    return [(one.page, begin) for one in (*QUICK, *LONG) for begin in one.blocks]


def _owed(found: Iterable[Block], keys: Iterable[Key]) -> list[str]:
    """What of the blocks no key means, or two do."""
    keys = list(keys)
    counts = {block: sum(_means(key, block) for key in keys) for block in found}
    return [f"{block} is named {count} times" for block, count in counts.items() if count != 1]


def _stale(found: Iterable[Block], keys: Iterable[Key]) -> list[Key]:
    """The keys that mean no block."""
    found = list(found)
    return [key for key in keys if not any(_means(key, block) for block in found)]


def test_every_block_is_run_or_has_its_reason() -> None:
    keys = [*_run_here(), *ELSEWHERE, *NOT_RUN]
    assert _owed(_all_blocks(), keys) == []
    assert _stale(_all_blocks(), keys) == []
    assert [path for path in ELSEWHERE.values() if not (ROOT / path).is_file()] == []


def test_a_block_that_nobody_runs_is_named_and_so_is_a_key_without_a_block() -> None:
    run, new = Block("a.md", 3, "commands", "piecehub run x"), Block("a.md", 9, "python", "import keras")
    keys = [("a.md", "piecehub run"), ("b.md", "python")]
    assert _owed([run, new], keys) == ["a.md:9: import keras is named 0 times"]
    assert _stale([run, new], keys) == [("b.md", "python")]
    assert _owed([run], [*keys, ("a.md", "piecehub")]) == ["a.md:3: piecehub run x is named 2 times"]


def test_blocks_are_found_whatever_marks_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n    piecehub a \\\n      --b    # c\n\n```toml\nx = 1\n```\n\n"
        "* in a list\n\n  ```python\n  import x\n  ```\n\n"
        "```console\n$ piecehub d\nsaid\n$ piecehub e > f\n```\n\n    a ─► drawing\n"
    )
    found = blocks(page)
    assert [(block.line, block.kind, block.first) for block in found] == [
        (3, "commands", "piecehub a \\"),
        (13, "python", "import x"),
        (17, "commands", "$ piecehub d"),
    ]
    assert [commands(found[0].text), commands(found[2].text)] == [
        ["piecehub a --b    # c"],
        ["piecehub d", "piecehub e > f"],
    ]
    assert words("piecehub a --b    # c") == ["piecehub", "a", "--b"]
    assert words("piecehub e > f") == ["piecehub", "e"]


@pytest.mark.parametrize("scenario", QUICK, ids=str)
def test_the_commands_of_a_page_run(scenario: Scenario, tmp_path: Path) -> None:
    _play(scenario, tmp_path / "reader")


@pytest.mark.long
@pytest.mark.parametrize("scenario", LONG, ids=str)
def test_the_commands_of_a_page_run_that_take_long(scenario: Scenario, tmp_path: Path) -> None:
    _play(scenario, tmp_path / "reader")


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with closing(Shell(tmp_path / "reader")) as shell:
        with pytest.raises(AssertionError, match="there is none such"):
            shell.run(Block("a.md", 1, "commands", "echo 'there is none such' >&2; false | cat"))
        with pytest.raises(AssertionError, match="1 / 0"):
            shell.run(Block("a.md", 1, "python", "1 / 0"))


def _play(scenario: Scenario, folder: Path) -> None:
    shown = [block for begin in scenario.blocks for block in _all_blocks() if _means((scenario.page, begin), block)]
    folder.mkdir()
    with (
        scenario.world(folder) as stand,
        closing(Shell(folder, stand.replace | scenario.means, stand.variables, scenario.between)) as shell,
    ):
        if stand.program:
            shell.run(Block(scenario.page, 0, "python", stand.program))
        for command in scenario.before:
            shell.run(Block(scenario.page, 0, "commands", command))
        for block in shown:
            shell.run(block)


# --- commands by their names ------------------------------------------------------------------------------------------


def _named() -> list[tuple[str, str]]:
    """All commands of ours that a page shows, in blocks and within its text, each with its page."""
    found = [(one.page, line) for one in _all_blocks() if one.kind == "commands" for line in commands(one.text)]
    for page in pages():
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        inline = re.findall(r"`(piecehub [a-z][^`]*)`", text)
        found += [(page.relative_to(ROOT).as_posix(), " ".join(line.split())) for line in inline]
    return [(page, line) for page, line in found if re.match(r"(\S*/)?piecehub ", line)]


def _unknown(line: str) -> str:
    """The first word of a command that the command line does not know as a command or an option, or nothing."""
    command: click.Command = cli
    for word in words(re.sub(r"[\[\]…]", " ", line))[1:]:
        if isinstance(command, click.Group):
            if word.startswith("-"):
                return "" if word == "--version" else word
            if "/" in word or word not in command.commands:
                return word
            command = command.commands[word]
        elif word.startswith("--"):
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            if word.partition("=")[0] not in known:
                return word
    return ""


def test_every_command_and_option_that_a_page_names_is_one_of_ours() -> None:
    shown = _named()
    assert len(shown) > 100
    assert [(page, line, _unknown(line)) for page, line in shown if _unknown(line)] == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("piecehub chekc a", "chekc"),
        ("piecehub store ls --stroe x", "--stroe"),
        ("piecehub run digits --set train.epochs=3 [--dry-run]", ""),
        ("piecehub evaluate x --recipe y --beam-arg=--runner=FlinkRunner", ""),
        ("piecehub page a/ --name b/c > d.md", ""),
    ],
)
def test_a_misspelt_command_or_option_is_named(line: str, unknown: str) -> None:
    assert _unknown(line) == unknown
