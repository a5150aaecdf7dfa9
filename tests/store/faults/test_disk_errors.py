"""EIO, ENOSPC and EDQUOT at every call to the disk: once, and from then on."""

import shutil

import pytest

from piecehub.store.catalog import Store
from tests.store.faults.conftest import look
from tests.store.faults.forge import Job

KINDS = [("EIO", False), ("ENOSPC", True), ("EIO", True), ("ENOSPC", False), ("EDQUOT", False)]


@pytest.mark.parametrize(("error", "lasting"), KINDS[:2])
def test_a_disk_that_fails_at_some_calls(error, lasting, forge, model, campaign, fast):
    _campaign(4, error, lasting, forge, model, campaign, fast)


@pytest.mark.long
@pytest.mark.parametrize(("error", "lasting"), KINDS)
def test_a_disk_that_fails_at_any_call(error, lasting, forge, model, campaign, fast):
    _campaign(1, error, lasting, forge, model, campaign, fast)


def _campaign(step, error, lasting, forge, model, campaign, fast):
    how = "from each call on" if lasting else "at every write, fsync, link, rename …"
    counted = campaign(f"{error} {how}", "folder")
    calm = forge.publish(Job(str(fast / "calm"), str(model)))
    for number, call in list(enumerate(calm.calls))[::step]:
        root = fast / f"{number}"
        end = forge.publish(Job(str(root), str(model), kind=error, at=number, lasting=lasting))
        store = Store.open(root)
        # An error after the commit, in the tidying up, may be of no consequence; else it is one sentence.
        refused = "EnvironmentProblem" if error == "EIO" else "NoSpace"
        assert end.end in ("published 1", refused), (number, call, end)
        if end.end == refused:
            assert end.sentence.startswith("Expected") and "Received:" in end.sentence, end
        elif not store.models():
            counted.wrong.append(f"{number} {call}: said that it was published")
        visible = "whole version visible" if store.models() else "nothing visible"
        said = "published all the same" if end.end == "published 1" else "one sentence"
        counted.outcomes[f"{said}, {visible}"] += 1
        if not lasting and call != "unlink":  # what cannot be removed stays, and is swept after a day
            assert not (root / "tmp").exists() or list((root / "tmp").iterdir()) == [], (number, call)
        look(counted, store, model, f"{error} {number} {call}")
        shutil.rmtree(root)
    counted.conclude(at_least=60 // step)
