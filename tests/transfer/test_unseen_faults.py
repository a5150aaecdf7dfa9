"""Faults that were written by somebody who had not looked at any check: which are found, and which are not.

docs/check.md tells what was found at the first try. A check that is made for one of the missed ones has a fault of its
own in tests/transfer/faulty_pieces.py.
"""

from pathlib import Path

import pytest

from tests.transfer.findings import findings, short
from tests.transfer.unseen_faults import FAULTS

pytestmark = pytest.mark.long
# The check of level fail that names it; None where nothing does.
AT_FIRST = {
    "dropout_mask_drawn_while_tracing": None,
    "moving_statistics_never_move": "D24",
    "inference_trace_of_constants": None,
    "penalty_computed_at_export": "D28",
    "preprocessing_left_in_python": "S4",
    "blank_image_has_no_direction": "D9",
}
# Checks that were made for what was missed.
SINCE = {"inference_trace_of_constants": "D32"}


@pytest.mark.parametrize("name", FAULTS)
def test_an_unseen_fault_is_found_or_missed(name: str, tmp_path: Path) -> None:
    FAULTS[name](tmp_path / "piece")
    found = findings(tmp_path / "piece")
    failing = {finding.check for finding in found if finding.level == "fail" and finding.passed is False}
    named = (AT_FIRST | SINCE)[name]
    assert failing == ({named} if named else set())
    if not failing:
        assert not short(found)
