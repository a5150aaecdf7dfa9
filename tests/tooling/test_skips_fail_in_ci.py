import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CONFTEST = Path(__file__).parents[1] / "conftest.py"
_SKIPPING = {
    "test": "import pytest\ndef test_one(): pytest.skip('no engine here')\n",
    "mark": "import pytest\n@pytest.mark.skipif(True, reason='no engine here')\ndef test_one(): pass\n",
    "module": "import pytest\npytest.skip('no engine here', allow_module_level=True)\n",
}


def _run(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(_CONFTEST, folder)
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder), f"--rootdir={folder}"]
    return subprocess.run(command, env={**os.environ, "CI": ci}, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("kind", _SKIPPING)
def test_a_skip_fails_in_ci_and_says_why(tmp_path, kind):
    result = _run(tmp_path, _SKIPPING[kind], ci="true")
    assert result.returncode in (1, 2)
    assert "no engine here" in result.stdout


@pytest.mark.parametrize("kind", ["test", "mark"])
def test_a_skip_passes_elsewhere(tmp_path, kind):
    assert _run(tmp_path, _SKIPPING[kind], ci="").returncode == 0


def test_an_expected_failure_is_no_skip(tmp_path):
    source = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_one(): assert False\n"
    assert _run(tmp_path, source, ci="true").returncode == 0
