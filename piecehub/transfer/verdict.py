"""The verdict on a piece, with its reasons, as the blessing's folder holds it.

verdict.json    {"schema": 1, "status", "reasons": […], "warnings": […], "contrasts": […], "rule": {…}}
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from piecehub.transfer.rule import Rule

VERDICT = "verdict.json"
Status = Literal["BLESSED", "NOT_BLESSED", "INCONCLUSIVE"]


@dataclass(frozen=True)
class GateContrast:
    """A difference that a rule looked at; `bound` is what its `low` (or `high`) had to lie above."""

    rule: Literal["superiority", "non_inferiority", "features"]
    task: str
    candidate: str
    reference: str
    estimate: float
    low: float
    high: float
    p_superior: float
    bound: float
    held: bool


@dataclass(frozen=True)
class Verdict:
    """The status with its reasons, in full sentences; for a blessed piece they say what was found.

    `warnings` neither bless nor refuse.
    """

    status: Status
    reasons: tuple[str, ...]
    contrasts: tuple[GateContrast, ...]
    rule: Rule
    warnings: tuple[str, ...] = ()

    @property
    def blessed(self) -> bool:
        """Whether the piece may be published."""
        return self.status == "BLESSED"

    def to_json(self) -> str:
        """The text of `verdict.json`."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        value = json.loads(text)
        contrasts = tuple(GateContrast(**contrast) for contrast in value["contrasts"])
        rule, warnings = Rule.from_json(value["rule"]), tuple(value.get("warnings", ()))
        return cls(value["status"], tuple(value["reasons"]), contrasts, rule, warnings)

    def write(self, folder: Path) -> None:
        """Writes `verdict.json` into `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `verdict.json` from `folder`."""
        return cls.from_json((folder / VERDICT).read_text(encoding="utf-8"))
