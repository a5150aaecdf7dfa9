"""A network that loses requests and answers, repeats them, or answers 5xx: at every request of a publishing to S3."""

import itertools
import uuid

import pytest

from piecehub.errors import EnvironmentProblem
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
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


def _publish(endpoint, s3_variables, model, strike) -> tuple[Store, str]:
    """A publishing through the proxy into a store of its own, and how it ended."""
    uri = f"s3://bucket/{uuid.uuid4().hex}"
    with faulty_proxy(endpoint, {}, strike) as proxy:
        s3_variables(proxy)
        try:
            publish(Store.open(uri), model, "acme", "tiny", blobs=BLOBS, facts={})
            end = "published"
        except EnvironmentProblem as error:
            assert error.sentence.startswith("Expected")
            end = "one sentence"
    s3_variables(endpoint)
    return Store.open(uri), end


def _campaign(step, s3_endpoint, s3_variables, model, campaign):
    counted = campaign("requests unheard, answers lost or cut, 5xx, delivered twice", "S3 (moto)")
    calm = _Strike(-1, "")
    _publish(s3_endpoint, s3_variables, model, calm)
    cases = list(itertools.product(range(len(calm.seen)), KINDS))
    for at, kind in cases[::step]:
        store, end = _publish(s3_endpoint, s3_variables, model, _Strike(at, kind))
        visible = "whole version visible" if store.models() else "nothing visible"
        if end == "published" and not store.models():
            counted.wrong.append(f"{kind} {at}: said that it was published")
        counted.outcomes[f"{end}, {visible}"] += 1
        look(counted, store, model, f"{kind} at {calm.seen[at]}")
    counted.conclude(at_least=len(cases) // step)


def test_some_requests_of_a_publishing_fail(s3_endpoint, s3_variables, model, campaign):
    _campaign(17, s3_endpoint, s3_variables, model, campaign)


@pytest.mark.long
def test_every_request_of_a_publishing_fails_in_every_way(s3_endpoint, s3_variables, model, campaign):
    _campaign(1, s3_endpoint, s3_variables, model, campaign)
