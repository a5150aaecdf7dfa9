"""Whatever a key, a path or a name is: it goes through export and loading, or is refused in one sentence."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable
from piecehub.tensors import specs

ANY_TEXT = st.text(alphabet=st.characters(), max_size=12)
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
X = np.float32([[1, 2]])


@given(st.lists(ANY_TEXT, min_size=1, max_size=12, unique=True))
def test_inputs_have_unique_names_that_a_signature_takes_in_the_order_of_their_keys(keys: list[str]) -> None:
    names = specs.signature_names(keys)
    assert all(name.isascii() and name.isidentifier() for name in names.values())
    assert len({name.lower() for name in names.values()}) == len(keys)
    assert [names[key] for key in sorted(keys)] == sorted(names.values())


# What an export does not refuse: half a surrogate pair is no text that a file can hold.
TEXT = st.text(alphabet=st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"]), max_size=12)


@given(st.dictionaries(TEXT, st.floats(-1, 1), min_size=1, max_size=4))
@settings(deadline=None)
def test_recorded_tensors_keep_their_keys(values: dict[str, float]) -> None:
    structure = {key: np.float32([value]) for key, value in values.items()}
    arrays = golden.arrays("input", structure)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "golden.npz"), **arrays)
        with np.load(Path(folder, "golden.npz")) as file:
            found = {name: file[name] for name in file.files}
    facts = {key: {"shape": [1], "dtype": "float32"} for key in values}
    for key, tensor in golden._tensors("input", facts, found).items():
        np.testing.assert_array_equal(tensor, structure[key])


@given(st.lists(st.one_of(ANY_TEXT, st.integers(), st.binary(max_size=3)), min_size=2, max_size=2, unique=True))
@FEW
def test_any_key_goes_through_export_and_loading_or_is_refused(keys: list[Any]) -> None:
    one, two = keys
    weight = tf.Variable(2.0)
    obj: Any = tf.train.Checkpoint()
    obj.variables = obj.trainable_variables = [weight]
    obj.__call__ = lambda inputs: {two: weight * inputs[one], one: inputs[two]}
    inputs = {key: tf.TensorSpec([None, 2]) for key in keys}
    with tempfile.TemporaryDirectory() as folder:
        try:
            reusable.export(obj, Path(folder, "model"), inputs=inputs)
        except NotReusableError as error:
            assert error.sentence.startswith("Expected ") and "Received: " in error.sentence
            assert not all(isinstance(key, str) and key.isprintable() for key in keys)
            return
        loaded: Any = tf.saved_model.load(str(Path(folder, "model")))
        np.testing.assert_array_equal(loaded({one: X, two: 3 * X})[two], 2 * X)


@given(st.text(alphabet=st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
@FEW
def test_a_model_is_exported_to_a_folder_of_any_name(name: str) -> None:
    if name in (".", ".."):
        return
    weight = tf.Variable(2.0)
    obj: Any = tf.train.Checkpoint()
    obj.variables = obj.trainable_variables = [weight]
    obj.__call__ = tf.function(lambda inputs: weight * inputs, input_signature=[tf.TensorSpec([None, 2])])
    with tempfile.TemporaryDirectory() as folder:
        try:
            reusable.export(obj, Path(folder, name))
        except NotReusableError as error:
            assert error.sentence.startswith("Expected ") and "Received: " in error.sentence
            return
        loaded: Any = tf.saved_model.load(str(Path(folder, name)))
        np.testing.assert_array_equal(loaded(X), 2 * X)
