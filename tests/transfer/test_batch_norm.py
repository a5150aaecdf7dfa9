import numpy as np
import pytest
import tensorflow as tf

from piecehub.transfer import batch_norm

X = np.random.default_rng(5).normal(3, 2, (40, 8)).astype(np.float32)


ALL = batch_norm.batches(len(X), len(X), seed=0)


def reestimated(piece, x, dealt):
    def call(places):
        return piece.__call__(tf.constant(x[places]), training=True)

    return batch_norm.reestimate(call, dealt, piece.variables, piece.trainable_variables)


def statistics_of(piece, x):
    y = x @ piece.variables[0].numpy()
    return y.mean(axis=0), y.var(axis=0)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99, 0.999])
def test_the_batchs_own_statistics_come_back_whatever_the_momentum(build_piece, momentum):
    piece = build_piece(momentum=momentum)
    assert reestimated(piece, X, ALL) == 2
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
    reestimated(piece, X, batch_norm.batches(len(X), 32, seed=0))
    for i in (0, 1, 2, 5, 6):
        assert np.array_equal(piece.variables[i].numpy(), before[i])


def test_dropout_is_averaged_over_several_passes(build_piece):
    piece = build_piece(momentum=0.99, dropout=0.3)
    seen = []

    def call(places):
        before = piece.variables[3].numpy()
        piece.__call__(tf.constant(np.tile(X, (50, 1))), training=True)
        seen.append((piece.variables[3].numpy() - 0.99 * before) / 0.01)

    batch_norm.reestimate(call, ALL, piece.variables, piece.trainable_variables)
    # Eight pairs of passes, each pair with one dropout; the result is the mean of what the batches had.
    assert len(seen) == 16
    assert piece.variables[3].numpy() == pytest.approx(np.mean(seen, axis=0), rel=1e-2, abs=1e-2)
    assert np.abs(seen[0] - seen[2]).max() > 0.05
    # Dropout keeps the mean.
    assert piece.variables[3].numpy() == pytest.approx(statistics_of(piece, X)[0], abs=0.3)


def test_a_piece_without_running_statistics_is_left_alone():
    weight = tf.Variable(tf.constant([1.0]))
    assert batch_norm.reestimate(lambda places: weight * 2, ALL, [weight], [weight]) == 0
    still = tf.Variable(tf.constant([5.0]), trainable=False)
    assert batch_norm.reestimate(lambda places: weight * 2, ALL, [weight, still], [weight]) == 0
    assert still.numpy().tolist() == [5.0]


@pytest.mark.parametrize("examples", [33, 40, 65, 100, 1000])
def test_batches_are_even_and_hold_every_example_once_in_each_pass(examples):
    dealt = batch_norm.batches(examples, 8, seed=1)
    sizes = [len(places) for places in dealt]
    assert max(sizes) <= 32 and max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(dealt)) == sorted([*range(examples)] * 2)
    assert np.concatenate(dealt)[:examples].tolist() != list(range(examples))
    again, other = (batch_norm.batches(examples, 8, seed=seed) for seed in (1, 2))
    assert all(map(np.array_equal, dealt, again)) and not all(map(np.array_equal, dealt, other))


def test_what_fits_into_one_batch_is_one_in_its_own_order():
    for batch_size, examples in ((8, 32), (64, 64), (32, 1)):
        (places,) = batch_norm.batches(examples, batch_size, seed=1)
        assert places.tolist() == list(range(examples))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
def test_batches_give_the_mean_and_the_variance_of_all_examples(build_piece, momentum):
    # Sorted by class, as shots are: the classes' means are far apart, and so much of the variance lies between rows.
    x = np.concatenate([X + 5 * c for c in range(5)])
    piece = build_piece(momentum=momentum)
    assert reestimated(piece, x, batch_norm.batches(len(x), 32, seed=3)) == 2
    mean, variance = statistics_of(piece, x)
    assert piece.variables[3].numpy() == pytest.approx(mean, rel=1e-4, abs=1e-3)
    assert piece.variables[4].numpy() == pytest.approx(variance, rel=1e-3)


def test_the_batches_variances_alone_would_be_too_small(build_piece):
    x, piece = np.concatenate([X[:16], X[:16] + 50]), build_piece()
    halves = [np.arange(16), np.arange(16, 32)]
    # The means of these batches spread as no means of batches that were dealt out do: they are not taken for that.
    reestimated(piece, x, halves)
    within = np.mean([statistics_of(piece, x[places])[1] for places in halves], axis=0)
    assert piece.variables[4].numpy() == pytest.approx(within, rel=1e-3)
    reestimated(piece, x, [np.arange(0, 32, 2), np.arange(1, 32, 2)])
    assert piece.variables[4].numpy() == pytest.approx(statistics_of(piece, x)[1], rel=1e-3)


def test_two_means_side_by_side_are_no_pair():
    """Statistics grouped by their kind: means, then variances; none is taken for another's."""
    means = [tf.Variable(tf.zeros(4), trainable=False) for _ in range(2)]
    variances = [tf.Variable(tf.ones(4), trainable=False) for _ in range(2)]
    x = np.random.default_rng(0).normal(0, 1, (96, 4)).astype(np.float32)

    def call(places):
        for mean, variance, scale in zip(means, variances, (1.0, 100.0), strict=True):
            of_batch = tf.nn.moments(tf.constant(scale * x[places]), [0])
            for statistic, value in zip((mean, variance), of_batch, strict=True):
                statistic.assign(0.9 * statistic + 0.1 * value)

    dealt = batch_norm.batches(len(x), 32, seed=0)
    assert batch_norm.reestimate(call, dealt, [*means, *variances], []) == 4
    assert variances[0].numpy() == pytest.approx(x.var(axis=0), rel=0.1)
    assert variances[1].numpy() == pytest.approx(1e4 * x.var(axis=0), rel=0.1)
    assert means[1].numpy() == pytest.approx(100 * x.mean(axis=0), rel=1e-3, abs=1e-3)


def test_dropout_is_averaged_over_batches_too(build_piece):
    x = np.tile(X, (5, 1))
    piece, calls = build_piece(momentum=0.99, dropout=0.3), []

    def call(places):
        calls.append(len(places))
        piece.__call__(tf.constant(x[places]), training=True)

    dealt = batch_norm.batches(len(x), 32, seed=0)
    batch_norm.reestimate(call, dealt, piece.variables, piece.trainable_variables)
    assert len(calls) == 16 + 8 * (len(dealt) - 1)
    assert piece.variables[3].numpy() == pytest.approx(statistics_of(piece, x)[0], abs=0.6)
