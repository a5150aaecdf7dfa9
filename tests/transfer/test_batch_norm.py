import numpy as np
import pytest
import tensorflow as tf

from piecehub.transfer import batch_norm

X = np.random.default_rng(5).normal(3, 2, (40, 8)).astype(np.float32)


def statistics_of(piece, x):
    y = x @ piece.variables[0].numpy()
    return y.mean(axis=0), y.var(axis=0)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99, 0.999])
def test_the_batchs_own_statistics_come_back_whatever_the_momentum(build_piece, momentum):
    piece = build_piece(momentum=momentum)
    count = batch_norm.reestimate(
        lambda: piece.__call__(tf.constant(X), training=True), piece.variables, piece.trainable_variables
    )
    assert count == 2
    mean, variance = statistics_of(piece, X)
    assert piece.variables[3].numpy() == pytest.approx(mean, rel=1e-4, abs=1e-4)
    assert piece.variables[4].numpy() == pytest.approx(variance, rel=1e-4)


def test_one_plain_pass_would_not_have_sufficed(build_piece):
    piece = build_piece(momentum=0.99)
    piece.__call__(tf.constant(X), training=True)
    assert piece.variables[4].numpy() != pytest.approx(statistics_of(piece, X)[1], rel=0.5)


def test_weights_counters_and_random_states_keep_their_values(build_piece):
    piece = build_piece(momentum=0.99, dropout=0.2)
    before = [v.numpy() for v in piece.variables]
    batch_norm.reestimate(
        lambda: piece.__call__(tf.constant(X), training=True), piece.variables, piece.trainable_variables
    )
    for i in (0, 1, 2, 5, 6):
        assert np.array_equal(piece.variables[i].numpy(), before[i])


def test_dropout_is_averaged_over_several_passes(build_piece):
    piece = build_piece(momentum=0.99, dropout=0.3)
    seen = []

    def call():
        before = piece.variables[3].numpy()
        piece.__call__(tf.constant(np.tile(X, (50, 1))), training=True)
        seen.append((piece.variables[3].numpy() - 0.99 * before) / 0.01)

    batch_norm.reestimate(call, piece.variables, piece.trainable_variables)
    # Eight pairs of passes, each pair with one dropout; the result is the mean of what the batches had.
    assert len(seen) == 16
    assert piece.variables[3].numpy() == pytest.approx(np.mean(seen, axis=0), rel=1e-2, abs=1e-2)
    assert np.abs(seen[0] - seen[2]).max() > 0.05
    # Dropout keeps the mean.
    assert piece.variables[3].numpy() == pytest.approx(statistics_of(piece, X)[0], abs=0.3)


def test_a_piece_without_running_statistics_is_left_alone():
    weight = tf.Variable(tf.constant([1.0]))
    assert batch_norm.reestimate(lambda: weight * 2, [weight], [weight]) == 0
    still = tf.Variable(tf.constant([5.0]), trainable=False)
    assert batch_norm.reestimate(lambda: weight * 2, [weight, still], [weight]) == 0
    assert still.numpy().tolist() == [5.0]
