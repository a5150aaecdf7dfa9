"""What a pusher in a pod tells whoever waits for the run: one line of its log, since Kubeflow hands on no facts.

piecehub-outcome {"handle": "acme/features/3", "pushed": true, "why": ""}
"""

import json
from dataclasses import asdict, dataclass

_BEGINS = "piecehub-outcome "


@dataclass(frozen=True)
class PodOutcome:
    """Whether a run published.

    Attributes:
        pushed: whether it did.
        handle: the version that is published; empty if none is.
        why: the reason, if it did not; or that the same was published before.
    """

    pushed: bool
    handle: str
    why: str

    @property
    def line(self) -> str:
        """As it stands in the log."""
        return _BEGINS + json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def read_outcome(log: str) -> PodOutcome | None:
    """The last outcome that a log tells, or None."""
    told = [line.removeprefix(_BEGINS) for line in log.splitlines() if line.startswith(_BEGINS)]
    return PodOutcome(**json.loads(told[-1])) if told else None
