"""Who has the extra `tf` and no pipeline publishes a model: nothing of the pipeline's packages is imported for it."""

import re
import subprocess
import sys
from pathlib import Path

from piecehub.extras import MODULES, PIPELINE

# As `piecehub` on the command line, where these packages are not installed.
_PROGRAM = """
import sys

sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(","), None))
from piecehub.cli.main import main

main()
"""


def _piecehub(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    absent = ",".join(MODULES[PIPELINE])
    command = [sys.executable, "-P", "-c", _PROGRAM, absent, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=600)


def test_a_model_without_evidence_gets_its_page_and_is_published_without_the_pipeline(
    rows: Path, tmp_path: Path
) -> None:
    begun = _piecehub(tmp_path, "page", str(rows), "--name", "acme/rows")
    assert begun.returncode == 0, begun.stderr
    answered = re.sub(r"license: TODO.*?(?= -->)", "license: mit", begun.stdout)
    (tmp_path / "page.md").write_text(re.sub(r"(?m)^TODO:.*$", "Rows of numbers.", answered), encoding="utf-8")
    words = ("--name", "acme/rows", "--documentation", "page.md")
    done = _piecehub(tmp_path, "publish", str(rows), *words)
    assert done.returncode == 0 and done.stdout.startswith("acme/rows/1 "), done.stderr
