import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]


def _direct() -> list[Requirement]:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    found = [Requirement(text) for group in groups for text in group]
    return [r for r in found if canonicalize_name(r.name) != "piecehub"]


def _pins() -> dict[str, str]:
    text = (_ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def test_a_requirement_is_parsed_with_its_bounds():
    assert len(_direct()) > 20
    assert any(r.specifier.contains("2.21.0") and not r.specifier.contains("2.22.0") for r in _direct())


@pytest.mark.parametrize("requirement", _direct(), ids=str)
def test_the_lock_pins_every_direct_dependency_within_its_bounds(requirement):
    version = _pins().get(canonicalize_name(requirement.name))
    assert version, f"run `make lock`: {requirement.name} is not in requirements.lock"
    assert requirement.specifier.contains(version, prereleases=True), f"run `make lock`: {requirement} got {version}"


def test_the_lock_keeps_the_overrides():
    overrides = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    for requirement in map(Requirement, overrides["override-dependencies"]):
        assert requirement.specifier.contains(_pins()[canonicalize_name(requirement.name)])


def test_every_pin_has_a_hash_and_no_line_names_an_index():
    text = (_ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(_pins())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
