"""What the layer makes of values of any dtype in any carrier: the exact value, or a refusal (`consume/exact.py`)."""

from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "uint64", "float16", "bfloat16", "float32", "float64",
          "complex64", "complex128", "string")  # fmt: skip
CARRIERS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": lambda array: array,
    "list": lambda array: array.tolist(),
    "list of arrays": list,
    "list of scalars": lambda array: [list(row) for row in array],
    "tensor": tf.constant,
    "list of tensors": lambda array: [tf.constant(row) for row in array],
    "variable": lambda array: tf.Variable(array),
}


def echo(dtype: str, folder: Path) -> ReusableLayer:
    """A piece that gives its inputs `[…] dtype` as they came."""
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(tf.identity, input_signature=[tf.TensorSpec(None, dtype)])
    tf.saved_model.save(root, str(folder))
    return ReusableLayer(str(folder))


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReusableLayer]:
    return {dtype: echo(dtype, tmp_path_factory.mktemp(dtype) / "model") for dtype in DTYPES}


CHANGED = [  # would be another value, or none, in the piece's dtype
    ("uint8", np.float32([[0.1, 0.5], [0.9, 0.99]])),
    ("uint8", np.array([[1.0, 2.0]])),  # by its dtype, whatever the values: as tensors always were
    ("int32", np.array([[np.nan, 1.0]])),
    ("uint8", np.array([[300, 1]])),
    ("uint8", np.array([[-1, 1]])),
    ("uint64", np.array([[-1, 1]])),
    ("int8", np.array([[200, 1]], np.uint8)),
    ("int32", np.array([[2**40, 1]])),
    ("int64", np.array([[2**63, 1]], np.uint64)),
    ("float32", np.array([[2**24 + 1, 1]])),
    ("float16", np.array([[2049, 1]])),
    ("float16", np.array([[1e6, 1.0]])),
    ("float32", np.array([[1e300, 1.0]])),
    ("float32", np.array([[1j, 1.0]])),
    ("complex64", np.array([[1e300j, 1.0]])),
    ("bool", np.array([[2, 1]])),
]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_b1_values_that_an_integer_input_would_truncate_are_refused(
    echoes: dict[str, ReusableLayer], carrier: str
) -> None:
    for dtype, array in CHANGED:
        try:
            made = echoes[dtype](CARRIERS[carrier](array))
        except ConsumerError as refusal:
            assert f"Expected {dtype} inputs" in str(refusal)
            continue
        pytest.fail(f"{array!r} in a {carrier} became {made}")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_b1_values_that_the_dtype_holds_come_through_exactly(echoes: dict[str, ReusableLayer], carrier: str) -> None:
    for dtype, array in (
        ("uint8", np.array([[0, 255]])),
        ("int64", np.array([[2**63 - 1, -(2**63)]])),
        ("uint64", np.array([[2**64 - 1, 0]], np.uint64)),
        ("int32", np.array([[True, False]])),
        ("float32", np.array([[2**25, -3]])),
        ("float32", np.array([[np.nan, np.inf]])),
        ("float64", np.array([[0.1, 1e300]])),
        ("bfloat16", np.array([[256, 1]])),
        ("complex64", np.array([[3, 1]])),
    ):
        made = echoes[dtype](CARRIERS[carrier](array))
        assert made.dtype == dtype
        np.testing.assert_array_equal(made.numpy().astype(array.dtype), array, err_msg=dtype)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 0.5), ("uint8", 300), ("uint64", 2**64), ("int32", True), ("float16", 70000), ("float32", "1.5"),
     ("string", 5), ("string", [1, "a"]), ("float32", [1.0, None]), ("float32", [[1.0], [2.0, 3.0]]),
     ("int64", np.datetime64("2020-01-01")), ("float32", np.longdouble(1.0)), ("bool", 1),
     ("string", [b"\xff\x00"])],
    ids=str,
)  # fmt: skip
def test_b1_single_values_and_texts_are_the_same_or_refused(
    echoes: dict[str, ReusableLayer], dtype: str, value: Any
) -> None:
    try:
        made = echoes[dtype](value)
    except ConsumerError as refusal:
        assert f"Expected {dtype} inputs" in str(refusal)
    else:
        assert made.numpy().tolist() == value


def test_b1_nested_and_ragged_values_are_held_to_the_same(tmp_path: Path) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    spec = {
        "rows": tf.RaggedTensorSpec([None, None], tf.uint8, 1, tf.int64),
        "pair": [tf.TensorSpec(None, tf.int32), tf.TensorSpec(None, tf.float32)],
    }
    root.__call__ = tf.function(lambda inputs: inputs)
    root.__call__.get_concrete_function(spec)
    tf.saved_model.save(root, str(tmp_path / "model"))
    layer = ReusableLayer(str(tmp_path / "model"))
    good = {"rows": [[1], [2, 255]], "pair": [np.int64(7), 3]}
    made = layer(good)
    assert made["rows"].to_list() == good["rows"] and [float(one) for one in made["pair"]] == [7.0, 3.0]
    for rows in ([[1.5], []], [[256], []], [[-1], [1]], [np.array([0.5]), np.array([1.0, 2.0])], [["a"], []]):
        with pytest.raises(ConsumerError, match="Expected uint8 inputs"):
            layer(good | {"rows": rows})
    for pair in ([1.5, 3], [2**40, 3], [7, 2**24 + 1], [7, 1e300], [np.float32(7.5), 3]):
        with pytest.raises(ConsumerError, match=r"Expected (int32|float32) inputs"):
            layer(good | {"pair": pair})


def test_b1_named_tuples_are_taken_by_place(tmp_path: Path) -> None:
    pair = namedtuple("pair", "scale number")
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(lambda inputs: inputs.scale * tf.cast(inputs.number, tf.float32))
    root.__call__.get_concrete_function(pair(tf.TensorSpec([]), tf.TensorSpec([], tf.int32)))
    tf.saved_model.save(root, str(tmp_path / "model"))
    layer = ReusableLayer(str(tmp_path / "model"))
    assert float(layer(pair(0.5, 4))) == float(layer((tf.constant(0.5), np.int64(4)))) == 2.0
    with pytest.raises(ConsumerError, match="Expected int32 inputs"):
        layer(pair(0.5, 4.5))


def test_b1_an_argument_is_held_to_the_same(tmp_path: Path) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(
        lambda inputs, times=2: inputs * tf.cast(times, tf.float32),
        input_signature=[tf.TensorSpec(None), tf.TensorSpec((), tf.int32)],
    )
    tf.saved_model.save(root, str(tmp_path / "model"))
    assert float(ReusableLayer(str(tmp_path / "model"), arguments={"times": 3})(2.0)) == 6.0
    for times in (2.7, 2**40, "3"):
        with pytest.raises(ConsumerError, match="Expected int32 in the argument 'times'"):
            ReusableLayer(str(tmp_path / "model"), arguments={"times": times})


def test_b1_the_values_of_a_graph_are_held_to_the_same_when_it_runs(echoes: dict[str, ReusableLayer]) -> None:
    step = tf.function(lambda ids: echoes["int32"](ids))
    assert step(tf.constant([7], tf.int64)).numpy().tolist() == [7]
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected int32 inputs, as the SavedModel was traced"):
        step(tf.constant([2**40], tf.int64))
    with pytest.raises(ConsumerError, match="Expected int32 inputs"):
        tf.function(lambda ids: echoes["int32"](ids), autograph=False)(tf.constant([7.0]))


def test_b1_of_several_traces_the_one_is_chosen_that_keeps_the_values(tmp_path: Path) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(lambda inputs: tf.identity(inputs))
    for dtype in (tf.float32, tf.int32, tf.int64):
        root.__call__.get_concrete_function(tf.TensorSpec([None], dtype))
    tf.saved_model.save(root, str(tmp_path / "model"))
    layer = ReusableLayer(str(tmp_path / "model"))
    for value, dtype in (([1], "int32"), ([2**40], "int64"), ([1, 2.5], "float32"), (np.uint8([1]), "int32"),
                         (np.array([0.5]), "float32"), (np.array([2**33]), "int64")):  # fmt: skip
        made = layer(value)
        assert made.dtype == dtype and made.numpy().tolist() == list(value), value


# --- any pair of dtypes, any carrier, any values ----------------------------------------------------------------------

SOURCES = (
    "bool",
    "uint8",
    "int8",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
# How far rounding may be from the value; TensorFlow takes what is smaller than `TINY` for zero when it casts.
ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 0.0,
            "complex64": 2.0**-23, "complex128": 0.0}  # fmt: skip
TINY = {"float16": 2.0**-14}


def _arrays() -> st.SearchStrategy[np.ndarray]:
    return st.sampled_from(SOURCES).flatmap(lambda name: of_numpy.arrays(name, (2, 2)))


def _surely_fits(array: np.ndarray, dtype: str) -> bool:
    """Whether NumPy, too, calls the cast safe, and does not mean that integers are rounded."""
    if dtype in ("string", "bfloat16") or (array.dtype.kind in "iu" and dtype not in DTYPES[:6]):
        return dtype in ("float64", "complex128") and array.dtype.itemsize <= 4
    return np.can_cast(array.dtype, dtype, "safe")


def _assert_same(made: np.ndarray, array: np.ndarray, dtype: str) -> None:
    if array.dtype.kind in "biu":  # in Python's integers, which have no end
        whole = [int(one.real) for one in made.ravel().tolist()]
        assert whole == [int(one) for one in array.ravel().tolist()] and not np.any(np.imag(made.astype("complex128")))
        return
    assert dtype in ROUNDING, "fractions in a dtype that has none"
    assert array.dtype.kind != "c" or dtype.startswith("complex"), "a part was lost"
    wide, exact = made.astype("complex128"), array.astype("complex128")
    for part in (np.real, np.imag):
        np.testing.assert_array_equal(np.isfinite(part(wide)), np.isfinite(part(exact)))
        np.testing.assert_allclose(part(wide), part(exact), rtol=ROUNDING[dtype], atol=TINY.get(dtype, 2.0**-126))


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=_arrays(), dtype=st.sampled_from(DTYPES), carrier=st.sampled_from(sorted(CARRIERS)))
def test_b1_any_numbers_in_any_carrier_are_the_same_or_refused(
    echoes: dict[str, ReusableLayer], array: np.ndarray, dtype: str, carrier: str
) -> None:
    try:
        made = echoes[dtype](CARRIERS[carrier](array))
    except ConsumerError as refusal:
        assert f"Expected {dtype} inputs" in str(refusal)
        assert not _surely_fits(array, dtype)
        return
    assert made.dtype == dtype and made.shape == (2, 2)
    _assert_same(made.numpy(), array, dtype)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.binary(max_size=5) | st.text(max_size=5), min_size=1, max_size=3), dtype=st.sampled_from(DTYPES)
)
def test_b1_any_texts_are_the_same_or_refused(echoes: dict[str, ReusableLayer], texts: list[Any], dtype: str) -> None:
    try:
        made = echoes[dtype](texts)
    except ConsumerError:
        assert dtype != "string"
        return
    assert made.numpy().tolist() == [one.encode() if isinstance(one, str) else one for one in texts]
