"""TensorFlow takes a path for a pattern; what it is given here is none."""

from pathlib import Path

import pytest
import tensorflow as tf

from piecehub.tensors.literal_path import linked


def _save(folder: Path, value: float) -> None:
    module = tf.Module()
    module.v = tf.Variable(value)
    tf.saved_model.save(module, str(folder))


@pytest.mark.parametrize("name", ["a[1]", "a[!1]", "[a]?"])
@pytest.mark.parametrize("sibling", [False, True])
def test_b4_a_saved_model_in_a_folder_with_brackets_is_itself_and_not_its_sibling(
    tmp_path: Path, name: str, sibling: bool
) -> None:
    if sibling:
        _save(tmp_path / "a1", 1.0)
    _save(tmp_path / "plain", 2.0)
    (tmp_path / "plain").rename(tmp_path / name)
    folder = linked(tmp_path / name, tmp_path / "link")
    try:
        found = tf.saved_model.load(str(folder)).v.numpy()
    except FileNotFoundError:
        found = None
    assert found == 2.0
    assert linked(tmp_path / "a1", tmp_path / "other") == tmp_path / "a1"
