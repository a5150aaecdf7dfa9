"""A network that loses requests and answers, repeats them, or answers 5xx: at every request of a publishing."""

import itertools
import uuid

import pytest

from piecehub.errors import EnvironmentProblem
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.store import engines
from tests.store.faults.conftest import look
from tests.store.faulty_proxy import faulty_proxy

KINDS = ("unheard", "lost", "told 500", "told 503", "twice", "cut")
BLOBS = {"documentation.md": b"# Page", "evidence.json": b"{}"}


class _Strike:
    """Counts requests, and names the fault of one of them."""

    def __init__(self, at: int, kind: str) -> None:
        self.seen: list[str] = []
        self._at, self._kind = at, kind

    def __call__(self, method: str, path: str) -> str:
        self.seen.append(f"{method} {path}")
        return self._kind if len(self.seen) - 1 == self._at else ""


def _publish(engine, use_variables, model, strike) -> tuple[Store, str]:
    """A publishing through the proxy into a store of its own, and how it ended."""
    uri = f"{engine.uri}/{uuid.uuid4().hex}"
    with faulty_proxy(engine.endpoint, {}, strike) as proxy:
        use_variables(engine, proxy)
        try:
            publish(Store.open(uri), model, "acme", "tiny", blobs=BLOBS, facts={})
            end = "published"
        except EnvironmentProblem as error:
            assert error.sentence.startswith("Expected")
            end = "one sentence"
    use_variables(engine)
    return Store.open(uri), end


def _campaign(step, engine, use_variables, model, campaign):
    counted = campaign("requests unheard, answers lost or cut, 5xx, delivered twice", engine.title)
    calm = _Strike(-1, "")
    _publish(engine, use_variables, model, calm)
    cases = list(itertools.product(range(len(calm.seen)), KINDS))
    for at, kind in cases[::step]:
        store, end = _publish(engine, use_variables, model, _Strike(at, kind))
        visible = "whole version visible" if store.models() else "nothing visible"
        if end == "published" and not store.models():
            counted.wrong.append(f"{kind} {at}: said that it was published")
        counted.outcomes[f"{end}, {visible}"] += 1
        look(counted, store, model, f"{kind} at {calm.seen[at]}")
    counted.conclude(at_least=len(cases) // step)


def test_some_requests_of_a_publishing_fail(start_engine, use_variables, model, campaign):
    _campaign(17, start_engine("s3"), use_variables, model, campaign)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["s3", *engines.ENGINES])
def test_every_request_of_a_publishing_fails_in_every_way(kind, start_engine, use_variables, model, campaign):
    _campaign(1, start_engine(kind), use_variables, model, campaign)
