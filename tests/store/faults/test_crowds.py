"""Many publishers at once, in processes of their own, while readers read everything that they see."""

import threading

import pytest

from piecehub.facts.content import content_digest, list_files
from piecehub.store.catalog import Store
from tests.store import engines
from tests.store.faults.conftest import make_model, readers_view
from tests.store.faults.forge import Job, running_forge


class _Readers:
    """Threads that read all versions until they are told to stop."""

    def __init__(self, place: str, count: int) -> None:
        self.wrong: list[str] = []
        self.rounds = 0
        self._place, self._stop = place, threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(count)]

    def __enter__(self) -> "_Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _read(self) -> None:
        while not self._stop.is_set():
            self.wrong += readers_view(Store.open(self._place))
            self.rounds += 1


def _models(folder, count):
    return [make_model(folder / f"model-{number}", f"content {number}") for number in range(count)]


def _where(kind, request, tmp_path):
    """What the table calls the place, where the store is, and the environment of publishers into it."""
    if kind == "folder":
        return "folder", str(tmp_path / "store"), {}
    engine = request.getfixturevalue("start_engine")(kind)
    return engine.title, request.getfixturevalue("engine_uri")(kind), dict(engine.variables(engine.endpoint))


def _crowd(kind, count, request, tmp_path, campaign):
    """Distinct contents get 1..n; then all at one number: one content wins, the others are told."""
    where, place, environment = _where(kind, request, tmp_path)
    models = _models(tmp_path, count)
    with running_forge(**environment) as forge:
        counted = campaign(f"{count} publishers at once, the next number", where)
        with _Readers(place, 2) as readers:
            ends = forge.together([Job(place, str(model)) for model in models])
        counted.outcomes.update(end.end.split()[0] for end in ends)
        counted.wrong += readers.wrong + readers_view(Store.open(place))
        store = Store.open(place)
        if sorted(end.end for end in ends) != sorted(f"published {n}" for n in range(1, count + 1)):
            counted.not_one.append(str(ends))
        if store.versions("acme", "tiny") != list(range(1, count + 1)):
            counted.not_one.append(str(store.versions("acme", "tiny")))
        for end, model in zip(ends, models, strict=True):
            manifest = next(m for m in store.models() if end.end == f"published {m.handle.version}")
            if manifest.digest != content_digest(list_files(model)):
                counted.wrong.append(f"{manifest.handle} has another's content")
        assert readers.rounds >= 2
        counted.conclude(at_least=count)

        counted = campaign(f"{count} publishers at once, one number, 4 contents", where)
        with _Readers(place, 2) as readers:
            ends = forge.together([Job(place, str(models[n % 4]), version=1, name="one") for n in range(count)])
        counted.outcomes.update(end.end.split()[0] if end.end[0].isupper() else end.end for end in ends)
        counted.wrong += readers.wrong + readers_view(Store.open(place))
        won = [number % 4 for number, end in enumerate(ends) if end.end in ("published 1", "was there 1")]
        lost = [number % 4 for number, end in enumerate(ends) if end.end == "VersionExists"]
        first = [end for end in ends if end.end == "published 1"]
        if not (len(set(won)) == len(first) == 1 and len(won) == count // 4 and len(lost) == count - len(won)):
            counted.not_one.append(str(ends))
        if store.newest("acme", "one").digest != content_digest(list_files(models[won[0]])):
            counted.wrong.append("the winner's content does not stand there")
        counted.conclude(at_least=count)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_small_crowd(kind, request, fast, campaign):
    _crowd(kind, 8, request, fast, campaign)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["folder", "s3", *engines.ENGINES])
def test_a_crowd(kind, request, fast, campaign):
    _crowd(kind, 32, request, fast, campaign)
