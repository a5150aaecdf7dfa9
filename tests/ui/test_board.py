"""What a person sees of work that goes on, as lines of text of terminals of different widths, and of none."""

from typing import Any

import pytest

from piecehub.facts.progress import Count, Progress
from piecehub.ui.board import Board, Ended, Line, Started, Words

RUN = "20261121-084114-123"
WORDS = Words("http://127.0.0.1:8470", "piecehub serve --workdir w", "piecehub run digits", "w/logs")
TRAINING = Progress(
    counts=(Count("epoch", 3, 20), Count("step", 120, 285)),
    numbers={"loss": 0.412},
    rate=2310.0,
    rate_unit="examples",
    left_s=80.0,
)
TRIAL = Progress("", "fine-tuning, 5 examples", (Count("trial", 34, 80),), {}, 2.1, "trials", 22.0)
NODES = ("ExampleIngester", "FullModelTrainer", "FineTuneEvaluator-a-task-with-a-long-name", "HubPusher")


def event(node: str, state: str, seconds: float = 0.0, progress: Progress | None = None) -> dict[str, Any]:
    told = progress.to_json() if progress else {}
    return {"event": "component", "component": node, "state": state, "seconds": seconds, "progress": told}


def began() -> dict[str, Any]:
    components = [{"id": node, "upstream": []} for node in NODES]
    return {"event": "run", "run": RUN, "state": "running", "pipeline": "digits", "components": components}


@pytest.fixture
def board() -> Board:
    """Of a run that trains."""
    board = Board(WORDS)
    for told in (
        began(),
        event(NODES[0], "running"),
        event(NODES[0], "cached", 0.31),
        event(NODES[1], "running"),
        event(NODES[1], "running", 0.0, TRAINING),
    ):
        board.take(told)
    return board


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_at_the_start_the_run_its_size_and_the_address_of_its_page_are_told() -> None:
    lines = [line for line in Board(WORDS).take(began()) if isinstance(line, Line)]
    assert texts(lines) == [
        f"digits  4 components  run {RUN}",
        f"  page  http://127.0.0.1:8470/runs/{RUN}",
        "        once `piecehub serve --workdir w` runs",
    ]


def test_where_a_server_has_the_page_its_address_is_enough() -> None:
    asked: list[str] = []
    board = Board(WORDS, is_served=lambda address: asked.append(address) is None)
    lines = [line for line in board.take(began()) if isinstance(line, Line)]
    assert texts(lines)[1:] == [f"  page  http://127.0.0.1:8470/runs/{RUN}"] and asked == [lines[1].text[8:]]


def test_what_begins_and_what_ends_is_told_once() -> None:
    board = Board(WORDS)
    board.take(began())
    told = [
        board.take(event(NODES[1], *more))
        for more in (("running",), ("running", 0.0, TRAINING), ("done", 3.0), ("done", 3.0))
    ]
    assert told == [(Started(NODES[1]),), (), (Ended(NODES[1]),), ()]


def test_on_80_columns_what_does_not_fit_behind_a_component_stands_below_it(board: Board) -> None:
    lines = texts(board.live(80, 24, 0))
    assert lines == [
        "  ⠋  FullModelTrainer           running          0.0 s  epoch  3/20",
        "     step 120/285  loss 0.412  1 min 20 s left  2,310 examples/s",
        "  ·  FineTuneEvalu…-a-long-name waiting",
        "  ·  HubPusher                  waiting",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_on_200_columns_all_of_it_is_one_line_with_a_bar(board: Board) -> None:
    first, *others = texts(board.live(200, 24, 1))
    assert first.startswith("  ⠙  FullModelTrainer ") and first.endswith(
        "epoch  3/20  step 120/285  ━━──────────────────  loss 0.412  1 min 20 s left  2,310 examples/s"
    )
    assert [line.split() for line in others] == [["·", NODES[2], "waiting"], ["·", "HubPusher", "waiting"]]


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 81, 120, 200])
@pytest.mark.parametrize("progress", [TRAINING, TRIAL])
def test_no_line_is_wider_than_the_terminal(width: int, progress: Progress) -> None:
    board = Board(WORDS)
    board.take(began())
    for node in NODES:
        board.take(event(node, "running"))
        board.take(event(node, "running", 0.0, progress))
    assert all(len(line) <= width for line in texts(board.live(width, 40, 0)))


def test_what_waits_and_does_not_fit_the_height_is_counted() -> None:
    board = Board(WORDS)
    components = [{"id": f"Component{number}", "upstream": []} for number in range(40)]
    board.take({**began(), "components": components})
    board.take(event("Component0", "running"))
    lines = texts(board.live(80, 10, 0))
    assert len(lines) <= 10 and lines[-1] == "  ·  and 33 more wait"


def test_in_a_file_a_line_holds_all_that_is_told(board: Board) -> None:
    [line] = texts(board.row(NODES[1], 0))
    assert line.startswith(f"  …  {NODES[1]} ") and line.endswith(f"  {TRAINING.text}")
    board.take(event(NODES[1], "done", 75.2))
    assert texts(board.row(NODES[1], 0))[0].split() == ["✓", NODES[1], "done", "1", "min", "15", "s"]


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_an_end_that_is_not_good_tells_what_never_ran_and_how_to_go_on(board: Board, state: str) -> None:
    board.take(event(NODES[1], state, 2.0))
    lines = [line for line in board.take({"event": "run", "run": RUN, "state": state}) if isinstance(line, Line)]
    assert texts(lines) == [
        f"  not run  {NODES[2]}, {NODES[3]}",
        f"  log      w/logs/{RUN}",
        f"  page     http://127.0.0.1:8470/runs/{RUN}",
        "           once `piecehub serve --workdir w` runs",
        "  again    piecehub run digits",
    ]


def test_a_run_that_ends_well_or_never_began_says_no_more() -> None:
    board = Board(WORDS)
    assert board.take({"event": "run", "run": RUN, "state": "failed"}) == ()
    board.take(began())
    assert board.take({"event": "run", "run": RUN, "state": "done"}) == ()
