"""A package that `piecehub kubeflow compile` wrote, read again: its name, digest, parameters, image and secrets."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from piecehub.errors import RecipeError, first_line
from piecehub.facts.content import sha256_bytes
from piecehub.facts.nearest import nearest

Json = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """The documents of a package, and the file that they stand in.

    Attributes:
        file: as it is uploaded.
        digest: the sha256 of its bytes: equal recipes give equal packages.
        spec: the pipeline.
        platform: what it asks of the cluster; empty for nothing.
    """

    file: Path
    digest: str
    spec: Json
    platform: Json

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def version(self) -> str:
        """What its version is called on a server: the same package has the same name, another has another."""
        return f"{self.name}-{self.digest[:12]}"

    @property
    def parameters(self) -> dict[str, Json]:
        """What may be given at submission: type and default, by name."""
        return self.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})

    @property
    def images(self) -> list[str]:
        """The images of its containers."""
        return images_of(self.spec)

    @property
    def secrets(self) -> list[str]:
        """The names of the cluster's secrets that its pods use."""
        executors = _executors(self.platform.get("platforms", {}).get("kubernetes", {}))
        wanted = [
            use["secretName"]
            for asked in executors
            for key in ("secretAsEnv", "secretAsVolume", "imagePullSecret")
            for use in asked.get(key, ())
        ]
        return sorted(set(wanted))

    def arguments(self, settings: Iterable[str]) -> dict[str, Any]:
        """Values for a submission, from `KEY=VALUE`, of the types that the package declares.

        Raises:
            RecipeError: for a name that it does not have, or a value of another type, or if one is missing.
        """
        found: dict[str, Any] = {}
        for setting in settings:
            name, sign, value = setting.partition("=")
            if not sign:
                raise RecipeError(f"Expected --parameter NAME=VALUE. Received: '{setting}'.")
            if name not in self.parameters:
                raise RecipeError(self._unknown(name))
            found[name] = _typed(name, value, self.parameters[name].get("parameterType", "STRING"))
        needed = [n for n, told in self.parameters.items() if "defaultValue" not in told and not told.get("isOptional")]
        if missing := [name for name in needed if name not in found]:
            raise RecipeError(
                f"Expected a value for each parameter without a default. Received: none for {', '.join(missing)}; give "
                "it by --parameter NAME=VALUE."
            )
        return found

    def _unknown(self, name: str) -> str:
        if not self.parameters:
            return f"Expected no --parameter: '{self.file}' has none. Received: '{name}'; compile with another --set."
        meant = nearest(name, self.parameters)
        hint = f"; did you mean '{meant}'?" if meant else "."
        return f"Expected a parameter of the package ({', '.join(sorted(self.parameters))}). Received: '{name}'{hint}"


def read_package(file: Path) -> Package:
    """Reads a package.

    Raises:
        RecipeError: if the file is none.
    """
    try:
        content = file.read_bytes()
        spec, *more = [document for document in yaml.safe_load_all(content) if document]
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = f"not found ({error.strerror})" if isinstance(error, OSError) else first_line(error)
        raise RecipeError(_no_package(file, why)) from error
    if not _is_pipeline(spec) or not all(isinstance(document, dict) for document in more):
        raise RecipeError(_no_package(file, "no pipeline"))
    return Package(file, sha256_bytes(content), spec, more[0] if more else {})


def images_of(spec: Mapping[str, Any]) -> list[str]:
    """The images of a pipeline's containers, sorted."""
    found = {asked["container"]["image"] for asked in _executors(spec) if "container" in asked}
    return sorted(found)


def _executors(document: Mapping[str, Any]) -> list[Json]:
    return list(document.get("deploymentSpec", {}).get("executors", {}).values())


def _is_pipeline(spec: Any) -> bool:
    return isinstance(spec, dict) and isinstance(spec.get("pipelineInfo"), dict) and "name" in spec["pipelineInfo"]


def _no_package(file: Path, why: str) -> str:
    return f"Expected a package that `piecehub kubeflow compile` wrote. Received: '{file}' ({why}); compile it first."


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


# By the package's types: what makes a value of a text, and what such a value is called.
_TYPES: dict[str, tuple[Callable[[str], Any], str]] = {
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": (float, "a number"),
    "BOOLEAN": (_truth, "true or false"),
    "LIST": (json.loads, "a list in JSON"),
    "STRUCT": (json.loads, "an object in JSON"),
}


def _typed(name: str, value: str, kind: str) -> Any:
    make, called = _TYPES.get(kind, (str, "a text"))
    try:
        return make(value)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"Expected {called} for the parameter '{name}'. Received: '{value}'.") from error
