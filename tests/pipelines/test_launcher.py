"""What the cache is asked: what a parameter says, not where."""

import functools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tfx")

from tfx.orchestration.portable import cache_utils

from piecehub.errors import EnvironmentProblem
from piecehub.facts import workdir
from piecehub.facts.workdir import Workdir, relied_on, taking_away
from pipelines import launcher


def _asked(monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that TFX makes the cache key of, when its launcher prepares an execution with these."""
    monkeypatch.setattr(cache_utils, "get_cache_context", lambda *_, parameters: parameters)
    prepare: Any = lambda self: cache_utils.get_cache_context(*[None] * 3, parameters=parameters)  # noqa: E731
    monkeypatch.setattr(launcher.launcher.Launcher, "_prepare_execution", prepare)
    return launcher.TruthfulLauncher.__new__(launcher.TruthfulLauncher)._prepare_execution()


def test_b2_where_the_recipe_lies_is_no_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"recipe_folder": "/one/checkout", "trials_folder": "/work/trials"}
    assert _asked(monkeypatch, {"label": "y", **places}) == {"label": "y"}


def test_b2_a_schema_counts_by_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = []
    for folder, text in [("a", "feature {}"), ("b", "feature {}"), ("b", "feature { }")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "schema.pbtxt").write_text(text)
        keys.append(_asked(monkeypatch, {"schema_file": str(tmp_path / folder / "schema.pbtxt")}))
    assert keys[0] == keys[1] != keys[2]


def test_b2_tfx_is_as_it_was_afterwards() -> None:
    assert cache_utils.get_cache_context.__module__ == cache_utils.__name__


def test_between_the_look_into_the_cache_and_the_record_of_it_no_gc_takes_anything_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = Workdir(tmp_path)
    monkeypatch.setattr(workdir, "_WAIT_S", 0.0)

    def look(_: Any) -> str:
        with pytest.raises(EnvironmentProblem, match="Expected nobody but runs at work"), taking_away(places):
            raise AssertionError("a gc is at work")
        return "found"

    monkeypatch.setattr(launcher.launcher.Launcher, "_prepare_execution", look)
    one: Any = launcher.TruthfulLauncher.__new__(launcher.TruthfulLauncher)
    one._relied_on = functools.partial(relied_on, places)
    assert one._prepare_execution() == "found"
    with taking_away(places):
        pass
