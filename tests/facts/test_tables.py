"""Tables of the recipe as parameters of components: canonical, short, and readable on the pages."""

from dataclasses import dataclass

import pytest

from piecehub.errors import RecipeError
from piecehub.facts.tables import MOST_BYTES, LimitsTable, ModelTable, TaskTable, TrainTable, unfolded, value_of


@pytest.mark.parametrize(
    "table",
    [
        ModelTable("model.py", "build", {"width": 8, "units": [1, 2]}),
        TrainTable(3, 32, 0.001, loss="loss"),
        TaskTable("digits", "regression", "label"),
        LimitsTable(0.5, 60.0, 7),
    ],
)
def test_a_table_comes_back_from_its_json(table) -> None:
    assert type(table).from_json(table.to_json()) == table


def test_equal_tables_give_equal_texts_whatever_the_order_of_their_arguments() -> None:
    one, other = ModelTable(arguments={"a": 1, "b": 2}), ModelTable(arguments={"b": 2, "a": 1})
    assert (
        one.to_json() == other.to_json() == '{"arguments":{"a":1,"b":2},"function":"build_model","module":"model.py"}'
    )


def test_a_narrow_table_leaves_out_what_a_wider_value_says_beyond_it() -> None:
    @dataclass(frozen=True)
    class Wider(TaskTable):
        min_gain: float = 0.5

    assert TaskTable.of(Wider("digits", label="label")) == TaskTable("digits", label="label")
    assert "min_gain" not in TaskTable.of(Wider("digits")).to_json()


def test_a_table_that_no_database_takes_is_refused() -> None:
    ModelTable(arguments={"text": "x" * (MOST_BYTES - 100)}).to_json()
    with pytest.raises(RecipeError, match=f"under {MOST_BYTES} bytes. Received: 2"):
        ModelTable(arguments={"text": "x" * MOST_BYTES}).to_json()


def test_a_person_reads_a_table_by_its_keys() -> None:
    parameters = {
        "train": TrainTable(3, 32, 0.5).to_json(),
        "label": "digit",
        "empty": "{}",
        "text": "{no json",
        "n": 1,
    }
    assert unfolded(parameters) == {
        "train.epochs": 3,
        "train.batch_size": 32,
        "train.learning_rate": 0.5,
        "train.optimizer": "adam",
        "train.seed": 0,
        "train.loss": "",
        "train.accuracy": "",
        "label": "digit",
        "empty": {},
        "text": "{no json",
        "n": 1,
    }
    assert value_of('{"a":{"b":1}}') == {"a": {"b": 1}}
