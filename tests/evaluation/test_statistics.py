# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Intervals: against the plain formulation, a library, and simulated data of which the truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from ddg_hf.evaluation.statistics import Interval, crossed_bootstrap, mean_interval, paired_difference


def simulate(rng, num_sets, num_queries, set_sd=0.5, query_sd=1.5, mean=0.8):
    """Right answers with an effect of the set and an effect of the query."""
    logits_SQ = mean + rng.normal(0, set_sd, (num_sets, 1)) + rng.normal(0, query_sd, (1, num_queries))
    return (rng.random((num_sets, num_queries)) < 1 / (1 + np.exp(-logits_SQ))).astype(float)


def plain_crossed_bootstrap(matrix_SQ, num_replicates, seed):
    """Draw row and column numbers, look the entries up."""
    rng = np.random.default_rng(seed)
    num_sets, num_queries = matrix_SQ.shape
    means = []
    for _ in range(num_replicates):
        queries = rng.integers(num_queries, size=num_queries)
        sets = rng.integers(num_sets, size=num_sets)
        means.append(matrix_SQ[np.ix_(sets, queries)].mean())
    return np.quantile(means, [0.025, 0.975])


def test_crossed_bootstrap_equals_drawing_rows_and_columns():
    matrix_SQ = simulate(np.random.default_rng(0), 6, 80)
    interval = crossed_bootstrap(matrix_SQ, num_replicates=20000)
    low, high = plain_crossed_bootstrap(matrix_SQ, 20000, seed=1)
    assert interval.mean == pytest.approx(matrix_SQ.mean())
    assert interval.low == pytest.approx(low, abs=0.01)
    assert interval.high == pytest.approx(high, abs=0.01)


def test_crossed_bootstrap_covers_the_truth():
    """95 % intervals hold the true accuracy in about 95 % of the cases, where a naive binomial interval does not."""
    rng = np.random.default_rng(0)
    truth = np.mean([simulate(rng, 50, 2000).mean() for _ in range(40)])
    covered = naive = 0
    trials = 200
    for trial in range(trials):
        matrix_SQ = simulate(rng, 12, 60)
        interval = crossed_bootstrap(matrix_SQ, num_replicates=400, seed=trial)
        covered += interval.low <= truth <= interval.high
        half = 1.96 * matrix_SQ.std() / math.sqrt(matrix_SQ.size)
        naive += abs(matrix_SQ.mean() - truth) <= half
    assert covered / trials > 0.88
    assert naive < covered - 20


def test_one_set_varies_queries_only():
    right_Q = np.array([1.0] * 70 + [0.0] * 30)
    interval = crossed_bootstrap(right_Q[None], num_replicates=20000)
    expected = stats.binom.ppf([0.025, 0.975], 100, 0.7) / 100
    assert [interval.low, interval.high] == pytest.approx(expected, abs=0.011)


def test_identical_queries_leave_only_the_sets():
    matrix_SQ = np.repeat([[0.0], [1.0], [1.0], [1.0]], 50, axis=1)
    interval = crossed_bootstrap(matrix_SQ)
    assert [interval.low, interval.high] == pytest.approx([0.25, 1.0])


def test_paired_difference_is_narrower_than_two_intervals():
    rng = np.random.default_rng(3)
    hard_Q = rng.random(200) < 0.4
    a_SQ = np.where(rng.random((4, 200)) < 0.03, hard_Q, ~hard_Q).astype(float)
    b_TQ = np.where(rng.random((6, 200)) < 0.06, hard_Q, ~hard_Q).astype(float)
    difference = paired_difference(a_SQ, b_TQ)
    assert difference.mean == pytest.approx(a_SQ.mean() - b_TQ.mean())
    alone = crossed_bootstrap(a_SQ)
    assert difference.high - difference.low < 0.5 * (alone.high - alone.low)
    flipped = paired_difference(b_TQ, a_SQ)
    assert flipped.mean == pytest.approx(-difference.mean)


def test_paired_difference_pairs_by_query():
    right_SQ = np.random.default_rng(0).integers(0, 2, (1, 50)).astype(float)
    assert paired_difference(right_SQ, right_SQ) == Interval(0.0, 0.0, 0.0)
    shuffled = paired_difference(right_SQ, right_SQ[:, ::-1])
    assert shuffled.high > 0.05


def test_mean_interval_equals_scipy():
    values = [0.81, 0.79, 0.88, 0.84]
    interval = mean_interval(values, level=0.9)
    low, high = stats.t.interval(0.9, len(values) - 1, np.mean(values), stats.sem(values))
    assert interval == Interval(np.mean(values), pytest.approx(low), pytest.approx(high))


def test_one_value_has_no_limits():
    interval = mean_interval([0.5])
    assert interval.mean == 0.5 and math.isnan(interval.low) and math.isnan(interval.high)
    assert interval.as_dict() == {"mean": 0.5, "low": None, "high": None}
    assert interval.percent() == "50.0"


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_crossed_bootstrap_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match="shape"):
        crossed_bootstrap(np.zeros(shape))


def test_paired_difference_rejects_other_queries():
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(np.zeros((1, 3)), np.zeros((1, 4)))
