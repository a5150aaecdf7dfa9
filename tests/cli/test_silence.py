"""On a terminal nothing is silent for longer than two seconds, however long it takes."""

from pathlib import Path

import pytest

from piecehub.store.catalog import Store
from tests.pipelines.world import TINY
from tests.terminals import Seen, piecehub_on_terminal

MOST_S = 2.0


def _assert_never_silent(seen: Seen, *codes: int) -> None:
    assert seen.code in codes, "\n".join(seen.screen)
    assert seen.silence_s < MOST_S


@pytest.mark.long
def test_e1_run_check_evaluate_and_publish_are_never_silent_on_a_terminal(tmp_path: Path) -> None:
    work = ["--workdir", str(tmp_path / "work")]
    tiny = [word for setting in TINY for word in ("--set", setting)]
    ran = piecehub_on_terminal("run", "digits", *tiny, *work)
    _assert_never_silent(ran, 0)
    seen = " ".join(line for lines in ran.screens(500) for line in lines)
    for part in ("epoch ", "loss ", "examples/s", " left", "trial ", "checking the model"):
        assert part in seen
    _assert_never_silent(piecehub_on_terminal("check", "piecehub/digits/1", *work, columns=200), 0)
    asked = [word for setting in TINY if setting.startswith("evaluation.") for word in ("--set", setting)]
    evaluated = piecehub_on_terminal("evaluate", "piecehub/digits/1", "--recipe", "digits", *asked, *work)
    _assert_never_silent(evaluated, 0, 1)
    store = Store.open(tmp_path / "work" / "store")
    [manifest] = store.models()
    page = store.read_blob(manifest.blob("documentation.md").digest).decode()
    page = page.replace("piecehub/digits", "acme/digits").replace("fine-tunable: true", "fine-tunable: false")
    (tmp_path / "page.md").write_text(page)
    words = ["--name", "acme/digits", "--documentation", str(tmp_path / "page.md"), "--store", str(tmp_path / "other")]
    _assert_never_silent(piecehub_on_terminal("publish", "piecehub/digits/1", *words, *work), 0)
