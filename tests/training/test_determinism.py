import keras
import pytest

from piecehub.training.determinism import deterministic_operations


def _compiles() -> bool:
    """Whether Keras compiles a model with XLA that asks for it: not while operations are deterministic."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    return model.jit_compile is True


@pytest.mark.filterwarnings("ignore:Model doesn't support `jit_compile=True`")
def test_operations_are_deterministic_inside_and_as_before_afterwards() -> None:
    assert _compiles()
    with deterministic_operations():
        assert not _compiles()
        with deterministic_operations():
            pass
        assert not _compiles()
    assert _compiles()
    with pytest.raises(ZeroDivisionError), deterministic_operations():
        raise ZeroDivisionError
    assert _compiles()


def test_training_a_full_model_leaves_nothing_of_it_behind(made: object) -> None:
    assert made is not None and _compiles()
