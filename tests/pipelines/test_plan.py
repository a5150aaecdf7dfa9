"""A plan predicts what a run does, and why, by name; where nothing changed both say so at once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piecehub.facts.plan import Change, Component, File, MadeOf, Part, Plan, Took, read_plan, write_plan
from piecehub.facts.workdir import Workdir
from pipelines.planning import reasons, text
from pipelines.planning.made_of import parts_of
from pipelines.planning.store_state import after_publishing

MADE_OF = MadeOf(
    parameters={"train.epochs": 20, "gate.min_gain": 0.0, "evaluation.shots": [5]},
    lock="a",
    files={"model.py": File("1", {"build_model": "f", "": "r"}), "vocab.txt": File("2")},
    schemas={"schema.pbtxt": "s"},
    piecehub={"piecehub/transfer/gate.py": "g"},
    data={"upstream": Part(True, {"train": 5000, "eval": 760}, {"train": "t", "eval": "e"})},
)


def _sentences(new: MadeOf) -> list[str]:
    return [change.sentence for change in reasons.changes(MADE_OF, new)]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (replace(MADE_OF, parameters={**MADE_OF.parameters, "train.epochs": 30}), "train.epochs 20 → 30"),
        (replace(MADE_OF, lock="b"), "requirements.lock"),
        (replace(MADE_OF, schemas={"schema.pbtxt": "other"}), "schema.pbtxt changed"),
        (replace(MADE_OF, files={**MADE_OF.files, "vocab.txt": File("3")}), "vocab.txt changed"),
        (replace(MADE_OF, files={**MADE_OF.files, "helper.py": File("3")}), "helper.py is new"),
        (replace(MADE_OF, files={"model.py": MADE_OF.files["model.py"]}), "vocab.txt is gone"),
        (
            replace(MADE_OF, files={**MADE_OF.files, "model.py": File("9", {"build_model": "x", "": "r"})}),
            "model.py changed: build_model",
        ),
        (
            replace(MADE_OF, files={**MADE_OF.files, "model.py": File("9", MADE_OF.files["model.py"].parts)}),
            "model.py changed: comments only",
        ),
        (
            replace(MADE_OF, data={"upstream": Part(True, {"train": 5340, "eval": 760}, {"train": "u", "eval": "e"})}),
            "new data: upstream 5,760 → 6,100 records",
        ),
        (replace(MADE_OF, data={"upstream": Part(known=False)}), "new data, not looked at"),
    ],
    ids=str,
)
def test_what_changed_is_said_by_name(new: MadeOf, said: str) -> None:
    assert _sentences(new) == [said]
    assert _sentences(MADE_OF) == []


def test_an_edit_of_a_function_is_told_from_one_of_a_comment(tmp_path: Path) -> None:
    file = tmp_path / "model.py"

    def parts(source: str) -> dict[str, str]:
        file.write_text(source)
        return parts_of(file)

    one = parts("import os\n\n\ndef build(x):\n    return x + 1\n\n\nclass Piece:\n    size = 3\n")
    assert (
        parts("import os\n# why\n\ndef build(x):\n    return x + 1  # because\n\n\nclass Piece:\n    size = 3\n") == one
    )
    other = parts("import os\n\n\n@cached\ndef build(x):\n    return x + 1\n\n\nclass Piece:\n    size = 3\n")
    assert {name for name in one if one[name] != other[name]} == {"build"}
    moved = parts("import io\n\n\nclass Piece:\n    size = 3\n\n\ndef build(x):\n    return x + 1\n")
    assert {name for name in one if one[name] != moved[name]} == {""}
    assert parts("def broken(:\n") == {}


def _told(arguments: dict[str, Any]) -> reasons.Told:
    return reasons.Told({"code_digest": "o+r", "lock_digest": "a", **arguments}, frozenset({"piecehub/a.py"}))


def test_a_component_is_told_what_concerns_it_and_nothing_else() -> None:
    changes = [
        Change("parameter", "train.epochs", 20, 30),
        Change("parameter", "gate.min_gain", 0.0, 0.1),
        Change("code", "model.py", [], ["build_model"]),
        Change("piecehub", "piecehub/a.py", [], []),
        Change("piecehub", "piecehub/b.py", [], []),
    ]
    was = {"code_digest": "o+r", "lock_digest": "a", "train": '{"epochs": 20}', "recipe_folder": "/one"}
    same = {"train": '{"epochs": 20}', "recipe_folder": "/another"}
    assert reasons.of_component(_told(same), was, changes) == []
    assert reasons.of_component(_told(same | {"train": '{"epochs": 30}'}), was, changes) == ["train.epochs 20 → 30"]
    assert reasons.of_component(_told(same | {"code_digest": "o+s"}), was, changes) == ["model.py changed: build_model"]
    assert reasons.of_component(_told(same | {"code_digest": "p+r"}), was, changes) == ["piecehub/a.py changed"]
    assert reasons.of_component(_told(same | {"lock_digest": "b"}), was, changes) == ["requirements.lock"]
    assert reasons.of_component(_told(same | {"devices": "cpu:2"}), was, changes) == ["devices (none) → cpu:2"]
    assert reasons.of_component(_told(same), None, changes) == ["new"]


def _plan(*components: Component, **others: Any) -> Plan:
    about: dict[str, Any] = {"against": "", "published": (), "changes": (), "made_of": MADE_OF, **others}
    return Plan("digits", "/recipe", "2026-11-30T06:00:00+00:00", components=components, **about)


def test_a_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    (workdir.runs / "1").mkdir(parents=True)
    change = Change("code", "model.py", [], ["build_model"])
    plan = _plan(Component("FullModelTrainer", "run", ("new",), "", ("A",)), changes=(change,), published=("a/b/1",))
    write_plan(workdir, "1", plan)
    assert read_plan(workdir, "1") == plan
    (workdir.runs / "1" / "plan.json").write_text(json.dumps({"schema": 99}))
    assert read_plan(workdir, "1") is None and read_plan(workdir, "../1") is None


def test_what_stays_as_it_is_takes_one_line() -> None:
    cached = [Component(f"C{number}", "cache", (), "20261130-060000-000") for number in range(5)]
    plan = _plan(
        *cached, Component("FullModelTrainer", "run", ("train.epochs 20 → 30",)), against="1", published=("a",)
    )
    said = text.text(plan).splitlines()
    assert "  ↺  5 components from cache, of run 20261130-060000-000" in said
    assert "  ●  FullModelTrainer  will run  train.epochs 20 → 30" in said
    assert said[-1] == "Plan: 1 of 6 components to run, 5 from cache." and plan.something_runs
    assert text.cost(plan).startswith("Cost: no run has measured it yet; `piecehub run /recipe --dry-run` tells it")
    idle = _plan(*cached, Component("HubPusher", "idle"))
    assert text.cost(idle) == "Cost: none."
    assert text.text(idle).splitlines()[-1].startswith("Nothing to do") and not idle.something_runs


def test_the_cost_of_a_plan_is_that_of_what_runs_as_it_was_measured() -> None:
    trainer = Component("FullModelTrainer", "run", took=Took("7", 36.0, 2 * 10**9, 5 * 10**6))
    cached = Component("UpstreamExamples", "cache", took=Took("6", 72.0, 3 * 10**9, 10**6))
    measured = "0.01 CPU-hours, 2.0 GB of memory, 5.0 MB of disk (measured in run 7)"
    assert text.cost(_plan(trainer, cached)) == f"Cost: {measured}."
    asked = "`piecehub run /recipe --dry-run` tells it before a run"
    assert (
        text.cost(_plan(trainer, Component("A", "run")))
        == f"Cost: {measured}; of 1 component nothing is known: {asked}."
    )
    of_before = replace(cached, took=Took("6", 72.0))
    assert text.cost(_plan(of_before)) == "Cost: none; all of it took 0.02 CPU-hours (measured in run 6)."
    assert Plan.from_json(_plan(trainer, of_before).to_json()) == _plan(trainer, of_before)


def test_what_a_run_publishes_itself_is_no_change_of_the_store() -> None:
    before = {"a/b": {"model": "a/b", "versions": [1], "events": []}}
    assert after_publishing(before, ["a/b/2", ""])["a/b"]["versions"] == [1, 2]
    assert after_publishing(before, ["a/b/1"]) == before
    assert after_publishing({}, []) == {}
