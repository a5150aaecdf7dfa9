"""Takes out of the image's environment what nobody runs there; a step of kubeflow/Dockerfile.

    python trim.py <pyproject.toml> <uv> <environment>

What goes: packages that only development needs (the group `dev` of pyproject.toml, without what the rest needs too),
the headers of TensorFlow, the tests of the large packages, and symbols of shared libraries that only a debugger reads.
"""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Roots = Iterable[Requirement]

_WITH_TESTS = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")
# What auditwheel laid there was rewritten by patchelf, which strip does not always survive; NVIDIA's has no symbols.
_NOT_STRIPPED = (".libs/", "/nvidia/")
_STRIP_FROM_BYTES = 1 << 20


def needed(roots: Roots, installed: dict[str, Distribution]) -> set[str]:
    """The names of the installed packages that requirements ask for, with what those ask for, and so on."""
    found: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in roots]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if name in installed and (name, wanted) not in found:
                found.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in installed[name].requires or ()]
    return {name for name, _ in found}


def for_development_only(pyproject: Path, installed: dict[str, Distribution]) -> list[str]:
    """The installed packages that the group `dev` alone asks for, in their order."""
    told = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, groups = told["project"], told["dependency-groups"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    kept = [*project["dependencies"], *extras, *groups["pipeline"]]
    dev, rest = (needed(map(Requirement, texts), installed) for texts in (groups["dev"], kept))
    return sorted(dev - rest)


def trim(packages: Path) -> None:
    """Removes headers, tests and symbols below a folder of installed packages."""
    shutil.rmtree(packages / "tensorflow" / "include", ignore_errors=True)
    for tests in [path for name in _WITH_TESTS for path in (packages / name).rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)  # it may have lain in another
    libraries = [path for path in packages.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    large = [path for path in libraries if path.stat().st_size >= _STRIP_FROM_BYTES]
    for path in large:
        if not any(part in path.as_posix() for part in _NOT_STRIPPED):
            subprocess.run(["strip", "--strip-unneeded", path], check=True)
    # uv's notes of when it built a package: they tell nothing, and are different in each build.
    for path in packages.glob("*.dist-info/uv_cache.json"):
        path.unlink()


def main(pyproject: Path, uv: str, environment: Path) -> None:
    """Trims an environment."""
    packages = environment / "lib" / "python3.11" / "site-packages"
    installed: dict[str, Distribution] = {
        canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(packages)])
    }
    dev = for_development_only(pyproject, installed)
    if dev:  # a lock may be without
        command = [uv, "pip", "uninstall", "--quiet", "--python", environment / "bin" / "python", *dev]
        subprocess.run(command, check=True)
    trim(packages)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
