"""Which run made a version, for whoever does not have the records of that run.

    manifest.json, model.facts    "made_by": {"runner": "kubeflow", "run", "image"}

A run on this machine says nothing: the working folder has its records.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

_FACT = "made_by"
_AT_DIGEST = "@sha256:"


@dataclass(frozen=True)
class MadeBy:
    """A run on a cluster.

    Attributes:
        runner: `kubeflow`.
        run: its id there.
        image: what its pods ran, without the registry, which says where, not what.
    """

    runner: str
    run: str
    image: str

    @property
    def image_sha256(self) -> str:
        """The digest that the image was named by, in hex; empty if it was named by a tag alone."""
        return self.image.partition(_AT_DIGEST)[2]

    def facts(self) -> dict[str, dict[str, str]]:
        """As a manifest has it."""
        return {_FACT: asdict(self)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self | None:
        """What the facts of a version tell, which anybody may have written; None if they tell nothing."""
        told = facts.get(_FACT)
        if not isinstance(told, dict):
            return None
        found = cast("dict[str, object]", told)
        texts = [str(found.get(key, "")) for key in ("runner", "run", "image")]
        return cls(*texts) if all(map(str.isprintable, texts)) else None  # they stand on a terminal
