import numpy as np
import pytest

from piecehub.transfer import statistics
from piecehub.transfer.statistics import curve_average, curve_shots, holm, one_sided, p_value, two_way_bootstrap


def test_the_interval_equals_that_of_resampled_rows_and_columns():
    generator = np.random.default_rng(1)
    table = generator.normal(0.1, 0.3, (6, 80)) + generator.normal(0, 0.2, (6, 1))
    draws = [table[generator.integers(6, size=6)][:, generator.integers(80, size=80)].mean() for _ in range(10_000)]
    interval = two_way_bootstrap(table)
    assert interval.estimate == pytest.approx(table.mean())
    assert [interval.low, interval.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    assert interval.p_superior == pytest.approx(np.mean(np.array(draws) > 0), abs=0.02)
    narrow = two_way_bootstrap(table, confidence=0.9)
    assert narrow.low == pytest.approx(np.quantile(draws, 0.05), abs=0.01)


def test_a_one_sided_bound_of_95_percent_has_5_percent_of_the_means_below_it():
    table = np.random.default_rng(5).normal(0.1, 0.3, (6, 80))
    bound = one_sided(table).low
    assert bound == pytest.approx(two_way_bootstrap(table, confidence=0.9).low, rel=1e-9)
    assert np.mean(statistics.two_way_means(table) < bound) == pytest.approx(0.05, abs=0.001)


def test_it_covers_the_truth_where_an_interval_over_examples_does_not():
    generator = np.random.default_rng(2)
    two_way, examples_only = 0, 0
    for _ in range(200):
        seed_effects, example_effects = generator.normal(0, 0.1, (10, 1)), generator.normal(0, 0.3, (1, 60))
        table = seed_effects + example_effects + generator.normal(0, 0.3, (10, 60))
        interval = two_way_bootstrap(table, replicates=1000)
        two_way += interval.low <= 0 <= interval.high
        columns = two_way_bootstrap(table.mean(axis=0, keepdims=True), replicates=1000)
        examples_only += columns.low <= 0 <= columns.high
    assert 0.9 <= two_way / 200 <= 0.995
    assert examples_only < two_way - 10


def test_equal_input_gives_equal_output_and_a_constant_has_no_width():
    table = np.random.default_rng(3).normal(size=(3, 7))
    assert two_way_bootstrap(table) == two_way_bootstrap(table)
    constant = two_way_bootstrap(np.ones((3, 7)))
    assert (constant.low, constant.high, constant.p_superior) == (1.0, 1.0, 1.0)
    assert two_way_bootstrap(np.zeros((3, 7))).p_superior == 0.5


@pytest.mark.parametrize("shape", [(3,), (0, 4), (4, 0), (2, 2, 2)])
def test_what_is_no_table_is_refused(shape):
    with pytest.raises(ValueError, match="seeds, examples"):
        two_way_bootstrap(np.zeros(shape))


def test_the_curve_is_the_mean_up_to_25_shots():
    values = np.arange(24.0).reshape(4, 2, 3)
    assert np.array_equal(curve_average(values, (5, 10, 25, 100)), values[:3].mean(axis=0))
    assert np.array_equal(curve_average(values[:2], (50, 100)), values[0])


def test_shots_in_all_are_all_of_the_curve():
    assert curve_shots((5, 10, 25, 100)) == (5, 10, 25)
    assert curve_shots((25, 50, 100), "regression") == (25, 50, 100)
    values = np.arange(18.0).reshape(3, 2, 3)
    assert np.array_equal(curve_average(values, (25, 50, 100), "regression"), values.mean(axis=0))


def test_holm_rejects_as_in_his_example():
    # Holm (1979): compare the i-th smallest with level / (n - i), and stop at the first that fails.
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == (True, False, False, True)
    assert holm([0.04], 0.05) == (True,) and holm([0.06], 0.05) == (False,)
    assert holm([0.02, 0.02, 0.02], 0.05) == (False, False, False)


def test_a_p_value_agrees_with_its_interval_and_is_never_nothing():
    table = np.random.default_rng(4).normal(0.05, 0.3, (8, 200))
    interval = two_way_bootstrap(table)
    assert p_value(table, interval.low) == pytest.approx(0.025, abs=0.001)
    assert p_value(table, 0.0) == pytest.approx(1 - interval.p_superior, abs=0.001)
    assert 0 < p_value(np.ones((3, 7)), 0.0) < 0.001
