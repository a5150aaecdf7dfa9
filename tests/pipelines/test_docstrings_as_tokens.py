"""The recipe `docstrings` with its texts as ragged tokens: as good a piece as of strings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from piecehub.documentation.evidence_table import main_gain
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from tests.command_line import ROOT, piecehub

pytestmark = pytest.mark.long

RECIPE = ROOT / "pipelines" / "recipes" / "docstrings"
_SPLIT_IN_THE_MODEL = """\
        texts = tf.strings.regex_replace(tf.strings.lower(inputs, encoding="utf-8"), r"[^\\pL\\pN]+", " ")
        words = tf.strings.split(texts)
"""
_TOKENS = """\
def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\\W_]+", text.lower())


def _shortened("""
_TEXT = '"text"\n  type: BYTES\n  presence { min_fraction: 1.0 min_count: 1 }\n'
# By file: what becomes what.
EDITS = {
    "model.py": [
        (_SPLIT_IN_THE_MODEL, "        words = inputs\n"),
        ("keras.Input((), ", "keras.Input((None,), ragged=True, "),
    ],
    "data.py": [
        ('np.asarray(document.text), "label"', '_tokens(document.text), "label"'),
        ("name: np.asarray(_shortened(text))", "name: _tokens(_shortened(text))"),
        ("def _shortened(", _TOKENS),
        ("from collections.abc", "import re\nfrom collections.abc"),
    ],
    "schema.pbtxt": [("  shape {}\n", "")],
    "topic.pbtxt": [(f"{_TEXT}  shape {{}}\n", _TEXT)],
    "recipe.toml": [
        ('name = "docstrings"', 'name = "docstrings-tokens"'),
        ("It takes text as it is.", "It takes words."),
        ('hub_tasks = ["text-embedding"]', "hub_tasks = []"),
    ],
}


def _evidence(recipe: Path, workdir: Path) -> dict[str, Any]:
    """Of a run of the whole recipe."""
    ended = piecehub("run", str(recipe), "--workdir", str(workdir))
    assert ended.returncode == 0, ended.stderr
    places = Workdir(workdir)
    record = runs.read_run(places, runs.run_ids(places)[0])
    assert record
    states = runs.node_states(record, runs.read_events(places, record.run))
    found = Path(states["FineTuneEvaluator"].outputs["evidence"], "evidence.json")
    return json.loads(found.read_text(encoding="utf-8"))


def _mean(evidence: dict[str, Any], mode: str, value: str = "mean") -> float:
    """Accuracy, or an end of its interval, as a share of 1, over the numbers of examples."""
    values = [cell[value] for cell in evidence["cells"] if cell["mode"] == mode]
    return sum(values) / len(values)


def test_ragged_tokens_give_a_piece_as_good_as_strings(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    recipe = shutil.copytree(RECIPE, tmp_path / "tokens", ignore=shutil.ignore_patterns("__pycache__"))
    for file, edits in EDITS.items():
        text = (recipe / file).read_text(encoding="utf-8")
        for before, after in edits:
            assert before in text, f"{file} has no {before!r} any more"
            text = text.replace(before, after)
        (recipe / file).write_text(text, encoding="utf-8")
    tokens, strings = (_evidence(folder, tmp_path / "work") for folder in (recipe, RECIPE))
    assert main_gain(tokens)["low"] > 0.05
    # Words and their hashes are the same ones; other is the order of examples, as it comes of what records hold.
    for mode in ("fine_tuning", "feature_extraction", "from_scratch"):
        assert _mean(strings, mode, "low") < _mean(tokens, mode) < _mean(strings, mode, "high")
