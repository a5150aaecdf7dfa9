"""SIGKILL: before and within each call to the disk, and at random moments."""

import random
import shutil
import time

import pytest

from piecehub.store.catalog import Store
from tests.store.faults.conftest import look
from tests.store.faults.forge import Job


def _calls(forge, model, root) -> list[str]:
    """Each call to the disk of a publishing that nothing happens to."""
    end = forge.publish(Job(str(root), str(model)))
    assert end.end == "published 1", end
    return end.calls


@pytest.mark.parametrize("kind", ["kill", pytest.param("torn", marks=pytest.mark.long)])
def test_a_kill_at_every_step(kind, forge, model, campaign, fast):
    words = {"kill": "SIGKILL before every write, fsync, link, rename …", "torn": "SIGKILL in the middle of each"}
    counted = campaign(words[kind], "folder")
    calls = _calls(forge, model, fast / "calm")
    assert {"write", "fsync", "link", "replace", "mkdir", "unlink"} <= set(calls)
    for number in range(len(calls)):
        root = fast / f"{number}"
        end = forge.publish(Job(str(root), str(model), kind=kind, at=number))
        store = Store.open(root)
        assert end.end == "killed", (number, end)
        counted.outcomes["nothing visible" if not store.models() else "whole version visible"] += 1
        look(counted, store, model, f"{kind} {number} {calls[number]}")
        shutil.rmtree(root)
    assert len(counted.outcomes) == 2  # some before the commit, some after it
    counted.conclude(at_least=40)


def _random_kills(count, forge, model, campaign, fast):
    counted = campaign("SIGKILL at random moments", "folder")
    generator = random.Random(4)
    start = time.monotonic()
    _calls(forge, model, fast / "calm")
    usual_s = (time.monotonic() - start) * 0.8
    for number in range(count):
        root = fast / f"{number}"
        end = forge.publish(Job(str(root), str(model), after_s=generator.uniform(0, usual_s)))
        store = Store.open(root)
        visible = "whole version visible" if store.models() else "nothing visible"
        counted.outcomes[visible if end.end == "killed" else "had ended before"] += 1
        look(counted, store, model, f"kill {number}")
        shutil.rmtree(root)
    counted.conclude(at_least=count)


def test_kills_at_random_moments(forge, model, campaign, fast):
    _random_kills(15, forge, model, campaign, fast)


@pytest.mark.long
def test_many_kills_at_random_moments(forge, model, campaign, tmp_path):
    """On a real disk, where a publishing waits for it."""
    _random_kills(300, forge, model, campaign, tmp_path)


@pytest.mark.long
def test_a_store_survives_one_kill_after_the_other(forge, model, campaign, fast):
    """All in one store, so that each publisher meets what the killed ones left."""
    counted = campaign("SIGKILL at every step, one store for all", "folder")
    store = Store.open(fast / "store")
    for number in range(len(_calls(forge, model, fast / "calm"))):
        end = forge.publish(Job(str(store.root), str(model), kind="kill", at=number))
        counted.outcomes["killed" if end.end == "killed" else "the same content was there"] += 1
    look(counted, store, model, "all")
    counted.conclude(at_least=40)
