import re
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import asdict, astuple
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piecehub.errors import DataError
from piecehub.facts.progress import progress_to
from piecehub.transfer import leakage as leakages
from piecehub.transfer import likeness
from piecehub.transfer.leakage import Leakage, find_leakage, find_overlap, refuse_leakage, refuse_overlap
from piecehub.transfer.packing import Joined

RANDOM = np.random.default_rng(0)
WORDS = np.array([f"w{i}" for i in range(400)])


def texts(count: int, length: int = 20) -> np.ndarray:
    return np.array([" ".join(RANDOM.choice(WORDS, length)).encode() for _ in range(count)], object)


def named(values: np.ndarray, name: str = "x") -> dict[str, np.ndarray]:
    return {name: values, "label": np.zeros(len(values), np.int64)}


def find(upstream: np.ndarray, pool: np.ndarray, test: np.ndarray) -> Leakage:
    return find_leakage([named(upstream)], named(pool), named(test), {"label"})


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
    found = find_leakage([upstream], named(pool, "text"), named(test, "text"), {"label"})
    assert found.exact == 1 and found.samples == ("test 4 ~ upstream 3 (1.00)",)


def test_rows_of_several_features_are_compared_as_a_whole():
    upstream = {"a": np.repeat([1.0, 2.0], 20), "b": RANDOM.normal(size=(40, 3))}
    pool = {"a": np.array([1.0, 2.0, 1.0]), "b": RANDOM.normal(size=(3, 3))}
    assert find_leakage([upstream], pool, pool).exact == 0  # that `a` is equal says nothing
    pool["a"][0], pool["b"][0] = upstream["a"][3], upstream["b"][3]
    assert find_leakage([upstream], pool, pool).exact == 2  # once in the pool, once in the test part


def test_what_has_no_kind_in_common_is_said_to_be_not_comparable():
    found = find_leakage([named(texts(5))], named(np.zeros((4, 3))), named(np.zeros((2, 3))), {"label"})
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


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), exact=st.integers(0, 6), near=st.integers(0, 6), width=st.sampled_from([6, 12, 64]))
def test_as_many_numbers_are_found_as_were_planted(seed, exact, near, width):
    # In four dimensions one of 500 such draws has a pair that is near by chance; in six, one of 200,000.
    random = np.random.default_rng(seed)
    upstream, pool, test = (random.normal(size=(count, width)) * 30 + 5 for count in (300, 30, 30))
    rows = random.permutation(60)[: exact + near]
    origins = random.permutation(300)[: exact + near]
    both = np.concatenate([pool, test])
    both[rows] = upstream[origins]
    both[rows[exact:]] += random.normal(size=(near, width)) * 0.01
    found = find(upstream, both[:30], both[30:])
    assert (found.exact, found.near) == (exact, near)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), exact=st.integers(0, 6), near=st.integers(0, 6))
def test_as_many_texts_are_found_as_were_planted(seed, exact, near):
    random = np.random.default_rng(seed)
    upstream, both = ([list(random.choice(WORDS, random.integers(12, 30))) for _ in range(n)] for n in (200, 60))
    rows, origins = random.permutation(60)[: exact + near], random.permutation(200)[: exact + near]
    for index, (row, origin) in enumerate(zip(rows, origins, strict=True)):
        both[row] = list(upstream[origin])
        if index >= exact:
            both[row][-1] = "changed"  # one of at least eight runs
    above, below = (np.array([" ".join(text).encode() for text in side], object) for side in (upstream, both))
    found = find(above, below[:30], below[30:])
    assert (found.exact, found.near) == (exact, near)


def test_texts_are_as_near_as_sets_of_runs_say_and_whatever_the_chunk(monkeypatch):
    few = WORDS[:3]  # so few words that many runs are common
    upstream, pool, test = (
        np.array([" ".join(RANDOM.choice(few, RANDOM.integers(1, 12))) for _ in range(count)], object)
        for count in (150, 40, 30)
    )
    expected = [max(_jaccard(text, other) for other in upstream) for text in (*pool, *test)]
    known = set(upstream)
    exact = sum(text in known for text in (*pool, *test))
    near = sum(value >= 0.5 and text not in known for value, text in zip(expected, (*pool, *test), strict=True))
    assert exact > 0 and near > 0
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (exact, near)
    monkeypatch.setattr("piecehub.transfer.leakage._CHUNK_CELLS", 700)
    assert find(upstream, pool, test) == found


def _jaccard(one: str, other: str) -> float:
    """The same, by sets and loops."""
    runs = []
    for words in (one.split(), other.split()):
        length = min(5, len(words))
        runs.append({" ".join(words[i : i + length]) for i in range(len(words) - length + 1)})
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def test_a_copied_text_is_a_leak_whatever_number_stands_beside_it_and_a_number_alone_is_none():
    def side(count: int) -> dict[str, np.ndarray]:
        return {"text": texts(count), "age": RANDOM.integers(20, 30, count)}

    upstream, pool, test = side(200), side(20), side(20)
    assert find_leakage([upstream], pool, test).exact == 0  # that ages are equal says nothing
    pool["text"][1], pool["age"][1] = upstream["text"][8], 99
    test["text"][2] = upstream["text"][7] + b" more"
    found = find_leakage([upstream], pool, test)
    assert (found.exact, found.near) == (1, 1)
    assert [sample[:21] for sample in found.samples] == ["pool 1 ~ upstream 8 (", "test 2 ~ upstream 7 ("]


def test_categories_and_numbers_that_tell_nothing_alone_must_be_alike_in_one_upstream_example():
    def side(colours: str, sizes: list[int]) -> dict[str, np.ndarray]:
        return {"colour": np.array(list(colours), object), "size": np.array(sizes)}

    upstream = side("rrggbb", [1, 2, 3, 4, 5, 6])
    found = find_leakage([upstream], side("rrggb", [2, 3, 1, 4, 1]), side("rgbbb", [6, 5, 2, 5, 9]))
    assert found.samples == ("pool 0 ~ upstream 1 (1.00)", "pool 3 ~ upstream 3 (1.00)", "test 3 ~ upstream 4 (1.00)")
    assert (found.exact, found.near) == (3, 0)


def test_a_category_or_a_single_number_that_both_sides_have_is_no_leak():
    def side(count: int, name: str) -> dict[str, np.ndarray]:
        return {name: texts(count), "language": np.array([b"en"] * count, object), "age": np.full(count, 40)}

    upstream, pool, test = side(50, "body"), side(9, "text"), side(9, "text")
    assert find_leakage([upstream], pool, test).rate == 0
    pool["text"][3] = upstream["body"][5]
    assert find_leakage([upstream], pool, test).samples == ("pool 3 ~ upstream 5 (1.00)",)
    pool, test = ({key: part[key] for key in ("language", "text")} for part in (pool, test))
    pool["text"], test["text"] = pool["language"], test["language"]
    only = find_leakage([upstream], pool, test)
    assert only.rule.startswith("not comparable") and only.rate == 0


def test_short_texts_without_a_word_in_common_are_never_the_same():
    def short(letter: str, count: int) -> np.ndarray:
        return np.array([f"{letter}{i} {letter}x{i}" for i in range(count)], object)

    found = find(short("a", 30_000), short("b", 500), short("c", 500))
    assert (found.exact, found.near) == (0, 0)


def test_a_text_without_its_punctuation_is_near():
    upstream = texts(40)
    pool = np.array([b", ".join(text.split()) + b"." for text in upstream[:5]], object)
    found = find(upstream, pool, np.array([b"Red, old wine!", b"?"], object))
    assert (found.exact, found.near) == (0, 5)
    short = find(np.array([b"red old wine", b"!"], object), texts(5), np.array([b"Red, old wine!", b"?"], object))
    assert (short.exact, short.near) == (0, 1)


def test_other_code_points_of_the_same_letters_and_other_bits_of_the_same_numbers_are_equal():
    wide = np.array(["ｒｅｄ ｗｉｎｅ of the ﬁnest"], object)
    assert find(np.array(["red wine of the finest"], object), wide, texts(3)).exact == 1
    zero, nan = np.array([[0.0, np.nan, 1.0]]), np.array([[-0.0, -np.nan, 1.0]])
    assert zero.tobytes() != nan.tobytes() and find(zero, nan, nan).exact == 2


def test_bytes_that_are_no_text_are_equal_only_if_they_are():
    upstream, pool, test = (np.array([value], object) for value in (b"\xff\xfe", b"\xfe\xff", b"\xff\xfe"))
    assert find(upstream, pool, test).samples == ("test 0 ~ upstream 0 (1.00)",)


def test_missing_values_equal_each_other_and_hide_no_copy_whatever_the_chunk(monkeypatch):
    upstream, pool, test = (RANDOM.normal(size=(count, 8)) for count in (300, 30, 30))
    upstream[3, 2] = pool[4, 1] = test[5, 0] = np.nan
    upstream[6, 7] = np.inf
    pool[0], test[0] = upstream[3], upstream[3] + 1e-3
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (1, 1)
    monkeypatch.setattr("piecehub.transfer.leakage._CHUNK_CELLS", 700)
    assert find(upstream, pool, test) == found


def test_where_all_downstream_examples_are_the_same_only_equality_counts():
    same = np.ones((10, 8))
    assert find(RANDOM.normal(size=(50, 8)), same, same).rate == 0
    assert find(np.concatenate([same, RANDOM.normal(size=(50, 8))]), same, same).exact == 20


def test_noisy_copies_are_found_far_from_zero():
    upstream, pool, test = (RANDOM.normal(size=(count, 64)) + 1e9 for count in (300, 30, 30))
    pool[:10] = upstream[:10] + RANDOM.normal(size=(10, 64)) * 0.01
    found = find(upstream, pool, test)
    assert (found.exact, found.near) == (0, 10)


def test_importing_it_loads_no_library_that_is_slow_to_load():
    code = "import sys, piecehub.transfer.leakage; print(sorted({'sklearn', 'scipy', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1)])
def test_b9_test_examples_that_are_in_the_pool_are_found_exact_and_near(shape):
    pool, test = RANDOM.normal(size=(60, *shape)), RANDOM.normal(size=(40, *shape))
    test[3], test[9] = pool[11], pool[12] + RANDOM.normal(size=shape) * 0.005
    found = find_overlap(named(pool), named(test), {"label"})
    assert (found.examples, found.exact, found.near, found.upstream_examples) == (40, 1, 1, 60)
    assert found.samples[0] == "test 3 ~ pool 11 (1.00)"


def test_b9_a_pool_that_is_the_test_part_is_refused_and_texts_are_compared_too():
    same = texts(30)
    found = find_overlap(named(same), named(same), {"label"})
    assert found.rate == 1
    refuse_overlap(found, "trees", 1.0)
    with pytest.raises(DataError, match=r"1.00% of the test examples of 'trees' .* 30 equal and 0 near of 30 .* pool "):
        refuse_overlap(found, "trees", 0.01)
    assert find_overlap(named(texts(30)), named(texts(30)), {"label"}).rate == 0


def test_b9_the_label_does_not_make_examples_different():
    pool = {"x": RANDOM.normal(size=(20, 6)), "label": np.zeros(20)}
    assert find_overlap(pool, {**pool, "label": np.ones(20)}, {"label"}).exact == 20


RULES = {
    "text": "half of all runs of five words in common",
    "numbers": "a twentieth of the distance between nearest neighbours",
}
BOTH = f"{RULES['text']}; {RULES['numbers']}"
# What was found before upstream came in batches: by the features that are compared.
FOUND = {
    ("text", "image", "age", "colour"): (70, 4, 7, 230, BOTH, (
        "pool 0 ~ upstream 151 (1.00)", "pool 4 ~ upstream 76 (1.00)", "pool 8 ~ upstream 94 (1.00)",
        "test 0 ~ upstream 70 (1.00)", "pool 2 ~ upstream 187 (0.79)",
    )),
    ("text",): (70, 6, 4, 230, RULES["text"], (
        "pool 0 ~ upstream 151 (1.00)", "pool 4 ~ upstream 76 (1.00)", "pool 8 ~ upstream 94 (1.00)",
        "test 0 ~ upstream 70 (1.00)", "test 4 ~ upstream 41 (1.00)",
    )),
    ("image",): (70, 6, 6, 230, RULES["numbers"], (
        "pool 1 ~ upstream 87 (1.00)", "pool 5 ~ upstream 41 (1.00)", "pool 9 ~ upstream 210 (1.00)",
        "test 1 ~ upstream 46 (1.00)", "test 5 ~ upstream 31 (1.00)",
    )),
    ("age", "colour"): (70, 70, 0, 230, BOTH, (
        "pool 0 ~ upstream 0 (1.00)", "pool 1 ~ upstream 30 (1.00)", "pool 2 ~ upstream 26 (1.00)",
        "pool 3 ~ upstream 37 (1.00)", "pool 4 ~ upstream 6 (1.00)",
    )),
    ("their text", "their image"): (70, 12, 10, 230, BOTH, (
        "pool 0 ~ upstream 151 (1.00)", "pool 1 ~ upstream 87 (1.00)", "pool 4 ~ upstream 76 (1.00)",
        "pool 5 ~ upstream 41 (1.00)", "pool 8 ~ upstream 94 (1.00)",
    )),
}  # fmt: skip


def _planted(seed: int = 7, counts: tuple[int, int, int] = (230, 40, 30)) -> list[dict[str, np.ndarray]]:
    """Upstream, pool and test of several kinds of features, with copies and near copies planted in both."""
    random = np.random.default_rng(seed)
    words = np.array([f"w{i}".encode() for i in range(60)])
    sides = [
        {
            "text": np.array([b" ".join(random.choice(words, random.integers(3, 25))) for _ in range(n)], object),
            "image": random.normal(size=(n, 4, 3)).astype(np.float32),
            "age": random.integers(0, 9, n),
            "colour": random.choice(["red", "green"], n).astype(object),
            "label": random.integers(0, 2, n),
        }
        for n in counts
    ]
    for part in sides[1:]:
        for row in range(0, 12, 2):
            origin = int(random.integers(counts[0]))
            part["text"][row] = sides[0]["text"][origin].upper() + (b" and more words" if row % 4 else b"")
            origin = int(random.integers(counts[0]))
            part["image"][row + 1] = sides[0]["image"][origin] + (row % 4) * 1e-3
            part["image"][row + 1, 0, 0] = sides[0]["image"][origin, 0, 0] = np.nan
    return sides


def _in_batches(side: dict[str, np.ndarray], ends: list[int]) -> Iterator[dict[str, np.ndarray]]:
    """The rows of a side in batches that end at `ends`, some of which may have no row."""
    count = len(next(iter(side.values())))
    places = sorted({0, count, *(end % count for end in ends)})
    for start, end in pairwise(places):
        yield {key: values[start:end] for key, values in side.items()}


@settings(max_examples=30, deadline=None)
@given(ends=st.lists(st.integers(0, 10**6), max_size=12), cells=st.sampled_from([4_000_000, 5000, 700]), data=st.data())
def test_upstream_in_batches_of_any_size_gives_what_it_gave_as_a_whole(ends, cells, data):
    chosen = data.draw(st.sampled_from(sorted(FOUND)))
    upstream, pool, test = _planted()
    above = {name: upstream[name.removeprefix("their ")] for name in (*chosen, "label")}
    names = [name.removeprefix("their ") for name in chosen]
    pool, test = ({name: side[name] for name in (*names, "label")} for side in (pool, test))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakages, "_CHUNK_CELLS", cells)
        found = find_leakage(_in_batches(above, ends), pool, test, {"label"})
    assert astuple(found) == FOUND[chosen]


@pytest.mark.parametrize("ends", [[], [1, 2, 3, 130], list(range(0, 230, 7)), [100, 200]])
def test_numbers_are_compared_in_the_same_chunks_whatever_the_batches(monkeypatch, ends):
    side: Any = likeness.SIDES["numbers"]
    compared: list[np.ndarray] = []

    class Seen(side):
        def pairs(self, upstream):
            compared.append(upstream[0].copy())
            return super().pairs(upstream)

    monkeypatch.setitem(likeness.SIDES, "numbers", Seen)
    monkeypatch.setattr(leakages, "_CHUNK_CELLS", 7000)
    upstream, pool, test = ({"image": part["image"]} for part in _planted())
    find_leakage(_in_batches(upstream, ends), pool, test)
    assert list(map(len, compared)) == [100, 100, 30]  # 7000 cells, of 70 downstream examples
    np.testing.assert_array_equal(np.concatenate(compared), upstream["image"])


def test_one_batch_of_upstream_is_held_at_a_time():
    alive: list[weakref.ref] = []
    most: list[int] = []

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for _ in range(20):
            batch = RANDOM.integers(0, 255, (500, 1000), np.uint8)
            alive.append(weakref.ref(batch))
            most.append(sum(one() is not None for one in alive))
            yield {"x": batch}
            del batch

    few = RANDOM.integers(0, 255, (20, 1000), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakages, "_CHUNK_CELLS", 100_000)
        assert find_leakage(batches(), {"x": few}, {"x": few}).upstream_examples == 10_000
    assert len(most) == 20 and max(most) <= 2


def test_it_says_how_far_it_is_and_how_long_it_took(caplog):
    said: list[str] = []
    upstream, pool, test = (named(RANDOM.normal(size=(count, 4))) for count in (3000, 20, 20))
    with progress_to(lambda value: said.append(value.text)), caplog.at_level("INFO"):
        find_leakage(_in_batches(upstream, [1200, 2400]), pool, test, {"label"}, 3000)
    assert said[0] == "comparing with upstream"
    assert said[-2].startswith("comparing with upstream: 3,000 of 3,000 examples")
    assert re.fullmatch(r"Compared 3000 upstream examples with 40 downstream ones in \d+\.\d s\.", caplog.messages[-1])


def _jpegs(count: int) -> np.ndarray:
    """Bytes as a camera writes them: words in them are none."""
    head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01 the same words stand in every head of these files "
    return np.array([head + RANDOM.bytes(300) for _ in range(count)], object)


def _no_text(count: int) -> np.ndarray:
    """Bytes of another kind: no UTF-8, with zero bytes."""
    return np.array([b"ab cd ef gh ij \0\xff" + RANDOM.bytes(9) for _ in range(count)], object)


@pytest.mark.parametrize("make", [_jpegs, _no_text])
def test_undecoded_bytes_are_never_compared_as_texts(make):
    upstream, pool, test = make(60), make(20), make(20)
    test[4] = upstream[7]
    test[5] = upstream[8] + b" "
    test[6] = upstream[9].replace(b"ab", b"AB").replace(b"the", b"THE")
    found = find(upstream, pool, test)
    assert (found.exact, found.near, found.rule) == (1, 0, "of bytes that are no text only equal ones")
    assert found.samples == ("test 4 ~ upstream 7 (1.00)",)
    assert find_overlap(named(pool), named(test), {"label"}).rate == 0


def test_a_caption_counts_by_itself_beside_undecoded_bytes_and_a_text_beside_a_few_of_them():
    upstream, pool, test = ({"caption": texts(count), "jpeg": _jpegs(count)} for count in (50, 10, 10))
    pool["caption"][3] = upstream["caption"][4].upper()
    test["jpeg"][2] = upstream["jpeg"][6]
    found = find_leakage([upstream], pool, test)
    assert found.samples == ("pool 3 ~ upstream 4 (1.00)", "test 2 ~ upstream 6 (1.00)") and found.near == 0
    mixed, other = texts(20), texts(10)
    mixed[0], other[1] = _jpegs(1)[0], mixed[3].upper()
    other[2] = mixed[0] + b" "
    found = find(mixed, other, texts(10))
    assert (found.exact, found.near) == (1, 0)
    assert found.rule == f"{RULES['text']}; of bytes that are no text only equal ones"


def _ragged(rows: list) -> np.ndarray:
    array = np.empty(len(rows), object)
    for index, row in enumerate(rows):
        array[index] = np.asarray(row)
    return array


def test_ragged_texts_are_compared_as_their_joined_tokens():
    plain = [texts(count) for count in (40, 10, 10)]
    plain[2][3] = plain[0][5].upper()
    plain[2][4] = plain[0][6] + b" and more"
    plain[1][1] = b""
    ragged = [_ragged([np.array(text.split(), object) for text in side]) for side in plain]
    expected = find(*plain)
    assert (expected.exact, expected.near) == (1, 1)
    assert find(*ragged) == find(plain[0], *ragged[1:]) == find(ragged[0], *plain[1:]) == expected


def test_ragged_numbers_are_equal_or_not():
    def side(count: int) -> np.ndarray:
        return _ragged([RANDOM.integers(0, 9, RANDOM.integers(5, 12)) for _ in range(count)])

    upstream, pool, test = side(200), side(20), side(20)
    pool[2], test[3], test[4] = upstream[4], upstream[5].astype(np.float32), np.append(upstream[6], 1)
    found = find(upstream, pool, test)
    assert (found.exact, found.near, found.rule) == (2, 0, "of ragged numbers only equal ones")
    assert found.samples == ("pool 2 ~ upstream 4 (1.00)", "test 3 ~ upstream 5 (1.00)")
    short = _ragged([[number] for number in range(20)])
    assert find(short, short, short).exact == 40  # the only feature, so all of an example is the same
    three = [{"x": short, "y": side(20)} for _ in range(3)]
    assert find_leakage(three[:1], *three[1:]).rate == 0


def with_missing(count: int, width: int) -> np.ndarray:
    values = RANDOM.normal(size=(count, width)) * [1, 100, *[0.01] * (width - 2)] + 5
    values[RANDOM.random((count, width)) < 0.02] = np.nan
    return values


@pytest.mark.parametrize(
    ("shape", "dtype"), [((6,), np.float64), ((6,), np.float32), ((8, 8, 3), np.uint8), ((20,), np.int64)]
)
def test_wall_10_numbers_read_in_blocks_have_the_flags_of_numbers_in_memory(monkeypatch, shape, dtype):
    width = int(np.prod(shape))
    sides = [with_missing(n, width) if dtype in (np.float32, np.float64) else RANDOM.integers(0, 200, (n, width))
             for n in (300, 90, 60)]  # fmt: skip
    upstream, pool, test = (values.astype(dtype).reshape(-1, *shape) for values in sides)
    pool[3], test[5], test[6] = upstream[11], upstream[12], pool[8]
    test[9] = upstream[13] + (np.arange(width).reshape(shape) == 1).astype(dtype)
    whole, overlap = find(upstream, pool, test), find_overlap(named(pool), named(test), {"label"})
    assert whole.exact >= 2 and overlap.exact >= 1
    monkeypatch.setattr(likeness, "_HELD_BYTES", 7 * 8 * width)
    for held in (named, mapped):
        assert find_leakage([named(upstream)], held(pool), held(test), {"label"}) == whole
        assert find_overlap(held(pool), held(test), {"label"}) == overlap


def mapped(values: np.ndarray) -> dict[str, Any]:
    """Rows as those of a file are."""
    return {"x": Joined(values[:10], values[10:]), "label": Joined(np.zeros(9, np.int64), np.zeros(len(values) - 9))}


def test_wall_10_memory_does_not_grow_with_the_examples_that_are_compared(monkeypatch):
    monkeypatch.setattr(likeness, "_HELD_BYTES", 8 * 2**20)
    monkeypatch.setattr(leakages, "_CHUNK_CELLS", 200_000)

    def peak(count: int) -> int:
        pictures = RANDOM.integers(0, 255, (count, 3_000), np.uint8)
        tracemalloc.start()
        find_overlap(mapped(pictures[: count // 2]), mapped(pictures[count // 2 :]), {"label"})
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # libraries are imported
    # Of 1,000 examples more in each part the scaled ones alone would take 24 MB in double precision.
    assert peak(4_000) - peak(2_000) < 6 * 2**20
