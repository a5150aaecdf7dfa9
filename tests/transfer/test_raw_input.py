import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from piecehub.transfer.ragged import objects
from piecehub.transfer.raw_input import raw_features


def test_numbers_are_scaled_by_the_shots_alone():
    shots = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    own, other = raw_features(shots, np.array([[5.0, 9.0]], np.float32))
    assert own.tolist() == [[-1, 0], [1, 0]]
    # What all shots share says nothing, however far another example is from it.
    assert other.tolist() == [[3, 0]]


def test_images_are_rows_of_their_pixels():
    images = np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)
    own, other = raw_features(images[:4], images[4:])
    assert own.shape == (4, 16) and other.shape == (2, 16)


def test_text_becomes_tf_idf_of_the_words_that_the_shots_have():
    shots, test = np.array([b"red wine", b"white wine"]), np.array([b"red rose"])
    own, other = raw_features(shots, test)
    assert own.shape == (2, 4) and np.count_nonzero(other) == 1
    expected = TfidfVectorizer(sublinear_tf=True).fit(["red wine", "white wine", "a word"]).transform(["red wine"])
    assert np.count_nonzero(own[0]) == expected.nnz
    assert np.linalg.norm(own, axis=1) == pytest.approx([1, 1])


def test_empty_texts_are_features_too():
    own, other = raw_features(np.array([b"", b""]), np.array([b"something"]))
    assert not own.any() and not other.any()


def test_named_fields_stand_side_by_side():
    rows = np.empty(2, [("ids", np.int64, (2,)), ("text", "S9")])
    rows["ids"], rows["text"] = [[1, 2], [3, 4]], [b"ash tree", b"oak"]
    own, again = raw_features(rows, rows)
    assert own.shape[1] == 2 + 4 and np.array_equal(own, again)


def test_n10_a_missing_number_is_the_mean_and_a_column_says_so():
    shots = np.array([[1.0, 5.0], [np.nan, 7.0], [3.0, 5.0]], np.float32)
    own, other = raw_features(shots, np.array([[np.nan, np.nan], [5.0, 5.0]], np.float32))
    assert own[:, 0].tolist() == [-1, 0, 1] and own[:, 2].tolist() == [0, 1, 0]
    # The second column is never missing in the shots, so nothing could be learned of its being missing.
    assert other.shape == (2, 3) and other[:, 0].tolist() == [0, 3]
    assert other[0, 1] == 0 and other[:, 2].tolist() == [1, 0]


def test_n10_a_column_that_all_shots_lack_says_nothing():
    own, other = raw_features(np.full((3, 1), np.nan, np.float32), np.ones((2, 1), np.float32))
    assert np.isfinite(own).all() and np.isfinite(other).all()
    assert not other.any()


def test_n10_numbers_with_gaps_and_a_text_column_stand_side_by_side():
    rows = np.empty(3, [("age", np.float32, (2,)), ("town", "S9")])
    rows["age"], rows["town"] = [[1, np.nan], [3, 4], [5, 6]], [b"Ulm", b"Bonn", b"Ulm"]
    own, again = raw_features(rows, rows[:1])
    assert np.isfinite(own).all() and np.array_equal(own[:1], again)
    assert own.shape == (3, 3 + 3)


def test_ragged_texts_and_integers_are_words():
    texts = [b"red wine", b"white wine", b"red rose wine"]
    plain = np.array(texts, object)
    tokens = objects([np.array(text.split(), object) for text in texts])
    ids = objects([np.array(row) for row in ([10, 11], [12, 11], [10, 13, 11])])
    expected = raw_features(plain[:2], plain)
    for rows in (tokens, ids):
        own, other = raw_features(rows[:2], rows)
        assert np.allclose(np.sort(other, axis=1), np.sort(expected[1], axis=1)) and np.array_equal(own, other[:2])


def test_other_ragged_numbers_are_missing_after_their_end_up_to_the_longest_of_the_shots():
    rows = objects([np.array(row, np.float32) for row in ([1, 2], [3], [5, 2, 9])])
    padded = np.array([[1, 2], [3, np.nan], [5, 2]], np.float32)
    for ours, expected in zip(raw_features(rows[:2], rows), raw_features(padded[:2], padded), strict=True):
        assert np.array_equal(ours, expected)


def test_ragged_and_plain_fields_stand_side_by_side():
    rows = np.empty(2, [("ids", object), ("age", np.float32)])
    rows["ids"], rows["age"] = objects([np.array([1, 2]), np.array([3])]), [1, 2]
    own, again = raw_features(rows, rows)
    assert own.shape == (2, 5) and np.array_equal(own, again)
