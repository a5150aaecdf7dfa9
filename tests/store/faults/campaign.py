"""What a campaign of faults did, and what came of it: counted while it runs, kept as JSON for docs/faults.md."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Campaign:
    """A row of the table.

    Attributes:
        name: what was done to the store.
        place: what it lay in.
        folder: where the counts are kept, if anybody collects them.
        outcomes: how the publishers, or readers, ended, by a word.
        wrong: readers that saw a version that was wrong, or a part of one.
        not_one: retries that did not end with exactly one intact version.
    """

    name: str
    place: str
    folder: Path | None = None
    outcomes: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    not_one: list[str] = field(default_factory=list[str])

    @property
    def trials(self) -> int:
        """How often a fault was made."""
        return sum(self.outcomes.values())

    def conclude(self, at_least: int) -> None:
        """Writes the row, and stops the test if anything was wrong or too little was tried."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{self.name} {self.place}.json".replace("/", "-")
            path.write_text(self.to_json(), encoding="utf-8")
        assert self.wrong == [] and self.not_one == [], self
        assert self.trials >= at_least, self

    def to_json(self) -> str:
        """The row."""
        value = {"name": self.name, "place": self.place, "trials": self.trials, "outcomes": dict(self.outcomes)}
        return json.dumps(value | {"wrong": len(self.wrong), "not_one": len(self.not_one)}, indent=1) + "\n"
