import dataclasses

import pytest

from piecehub.errors import RecipeError
from piecehub.transfer.protocol import MODES, Protocol


def test_a_protocol_survives_its_json(protocol):
    assert Protocol.from_json(protocol.to_json()) == protocol
    assert Protocol.from_json(protocol.to_json()).digest == protocol.digest


def test_the_digest_changes_with_every_field(protocol):
    changes = {
        "shots": (2, 6),
        "seeds": (0, 1),
        "learning_rates": (0.01,),
        "steps": 21,
        "batch_size": 9,
        "inverse_regularization": (1.0,),
        "sensitivity_batch_sizes": (4,),
        "version": 4,
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Protocol)}
    digests = {dataclasses.replace(protocol, **{key: value}).digest for key, value in changes.items()}
    assert len(digests | {protocol.digest}) == len(changes) + 1


@pytest.mark.parametrize(
    "change",
    [{"shots": ()}, {"shots": (5, 2)}, {"shots": (0,)}, {"seeds": (1, 1)}, {"learning_rates": (0.0,)}, {"steps": 0}],
)
def test_a_grid_that_means_nothing_is_refused(protocol, change):
    with pytest.raises(RecipeError, match="Received"):
        dataclasses.replace(protocol, **change)


def test_treatment_and_control_have_the_same_grid(protocol):
    assert protocol.settings(MODES["fine_tuning"]) == protocol.settings(MODES["from_scratch"])
    assert protocol.settings(MODES["feature_extraction"]) == protocol.settings(MODES["random_features"])
