from dataclasses import asdict

import numpy as np
import pytest

from piecehub.errors import DataError
from piecehub.transfer.leakage import Leakage, find_leakage, refuse_leakage

RANDOM = np.random.default_rng(0)
WORDS = np.array([f"w{i}" for i in range(400)])


def texts(count: int, length: int = 20) -> np.ndarray:
    return np.array([" ".join(RANDOM.choice(WORDS, length)).encode() for _ in range(count)], object)


def named(values: np.ndarray, name: str = "x") -> dict[str, np.ndarray]:
    return {name: values, "label": np.zeros(len(values), np.int64)}


def find(upstream: np.ndarray, pool: np.ndarray, test: np.ndarray) -> Leakage:
    return find_leakage(named(upstream), named(pool), named(test), {"label"})


@pytest.mark.parametrize("shape", [(4,), (8,), (8, 8, 1)])
def test_independent_numbers_share_nothing(shape):
    found = find(*(RANDOM.normal(size=(count, *shape)) for count in (2000, 200, 100)))
    assert (found.examples, found.exact, found.near, found.upstream_examples) == (300, 0, 0, 2000)
    assert found.rate == 0 and found.samples == ()


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1)])
def test_planted_copies_of_numbers_are_found_exact_and_noisy(shape):
    upstream, pool, test = (RANDOM.normal(size=(count, *shape)) * 100 + 7 for count in (500, 60, 40))
    pool[3] = upstream[11]
    test[5] = upstream[12]
    test[9] = upstream[13] + RANDOM.normal(size=shape) * 0.5  # half a hundredth of the deviation
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (2, 1) and found.rate == 3 / 100
    assert found.samples[:2] == ("pool 3 ~ upstream 11 (1.00)", "test 5 ~ upstream 12 (1.00)")
    assert found.samples[2].startswith("test 9 ~ upstream 13 (0.9")


def test_a_unit_of_one_column_does_not_hide_a_copy():
    upstream, pool, test = (RANDOM.normal(size=(count, 6)) * [1, 1e6, 1e-3, 1, 1, 1] for count in (300, 50, 50))
    pool[0] = upstream[1] * 1.0001
    assert find(upstream, pool, test).near == 1


def test_with_three_values_a_row_only_equality_counts():
    upstream, pool, test = (RANDOM.normal(size=(count, 3)) for count in (50_000, 50, 50))
    pool[0] = upstream[4]
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (1, 0)


def test_independent_texts_share_nothing():
    found = find(texts(500), texts(40), texts(40))
    assert (found.exact, found.near, found.upstream_examples) == (0, 0, 500)


def test_planted_copies_of_texts_are_found_whatever_their_case_and_white_space():
    upstream, pool, test = texts(300), texts(30), texts(30)
    pool[1] = b"  " + upstream[7].upper().replace(b" ", b"\n\t")
    test[2] = upstream[8] + b" and three more"
    test[3] = b" ".join(upstream[9].split()[:8])  # less than half of its runs
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (1, 1)
    assert found.samples[0] == "pool 1 ~ upstream 7 (1.00)" and found.samples[1].startswith("test 2 ~ upstream 8 (0.8")


def test_short_and_empty_texts_are_compared_whole():
    upstream = np.array([b"red wine", b"ash tree", b"oak"], object)
    found = find(upstream, np.array([b"Red  wine", b"red rose"], object), np.array([b"", b"oak tree"], object))
    assert (found.exact, found.near) == (1, 0)


def test_each_feature_of_the_kind_is_compared_where_names_differ():
    first, second, pool, test = texts(50), texts(50), texts(10), texts(10)
    test[4] = second[3]
    upstream = {"first": first, "second": second, "number": np.zeros(50)}
    found = find_leakage(upstream, named(pool, "text"), named(test, "text"), {"label"})
    assert found.exact == 1 and found.samples == ("test 4 ~ upstream 3 (1.00)",)


def test_rows_of_several_features_are_compared_as_a_whole():
    upstream = {"a": np.repeat([1.0, 2.0], 20), "b": RANDOM.normal(size=(40, 3))}
    pool = {"a": np.array([1.0, 2.0, 1.0]), "b": RANDOM.normal(size=(3, 3))}
    assert find_leakage(upstream, pool, pool).exact == 0  # that `a` is equal says nothing
    pool["a"][0], pool["b"][0] = upstream["a"][3], upstream["b"][3]
    assert find_leakage(upstream, pool, pool).exact == 2  # once in the pool, once in the test part


def test_what_has_no_kind_in_common_is_said_to_be_not_comparable():
    found = find_leakage(named(texts(5)), named(np.zeros((4, 3))), named(np.zeros((2, 3))), {"label"})
    assert found.rule.startswith("not comparable") and (found.examples, found.rate) == (6, 0.0)


def test_more_than_the_limit_is_refused_with_an_example():
    pool = RANDOM.normal(size=(50, 4))
    found = find(pool, pool, RANDOM.normal(size=(50, 4)))
    refuse_leakage(found, "trees", 0.5)
    with pytest.raises(
        DataError, match=r"at most 1.00% .* 'trees' .* Received: 50 equal and 0 near of 100 .* pool 0 ~"
    ):
        refuse_leakage(found, "trees", 0.01)


def test_it_survives_json():
    found = Leakage(9, 1, 0, 5, "equal", ("pool 1 ~ upstream 2 (1.00)",))
    assert Leakage.from_json({**asdict(found), "samples": list(found.samples)}) == found
