# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rank correlations within groups, against scipy and against what groups must not do."""

import numpy as np
import pytest
from scipy import stats

from ddg_hf.evaluation.rank_correlation import rank_correlation_within


def pairs(size: int, slope: float, seed: int, shift: float = 0.0):
    rng = np.random.default_rng(seed)
    x_S = rng.normal(size=size) + shift
    return x_S, np.round(slope * x_S + rng.normal(size=size), 1) + shift  # rounded: there are ties


def test_one_group_is_spearmans_correlation():
    x_S, y_S = pairs(12, 0.5, seed=1)
    found = rank_correlation_within([(x_S, y_S)])
    assert found.correlation.mean == pytest.approx(stats.spearmanr(x_S, y_S).statistic)
    assert (found.num_groups, found.num_sets) == (1, 12)


def test_the_p_value_is_that_of_all_permutations():
    x_S, y_S = pairs(6, 0.7, seed=2)
    plain = stats.permutation_test(
        (x_S,), lambda x: stats.spearmanr(x, y_S).statistic, permutation_type="pairings", n_resamples=np.inf
    )
    found = rank_correlation_within([(x_S, y_S)])
    assert 0.02 < plain.pvalue < 0.98 and found.p_value == pytest.approx(plain.pvalue, abs=0.015)


def test_groups_are_weighted_by_their_sets_less_one():
    groups = [pairs(5, 0.5, seed=3), pairs(20, -0.5, seed=4)]
    first, second = (stats.spearmanr(*group).statistic for group in groups)
    assert rank_correlation_within(groups).correlation.mean == pytest.approx((4 * first + 19 * second) / 23)


def test_differences_between_groups_do_not_count():
    groups = [pairs(30, 0.0, seed=5), pairs(30, 0.0, seed=6, shift=10.0)]
    pooled = stats.spearmanr(*map(np.concatenate, zip(*groups, strict=True)))
    found = rank_correlation_within(groups)
    assert pooled.statistic > 0.6 and pooled.pvalue < 1e-6
    assert found.correlation.low < 0 < found.correlation.high and found.p_value > 0.05


def test_the_interval_holds_the_true_value_about_as_often_as_it_says():
    true = 6 / np.pi * np.arcsin(0.5 / 2)  # Spearman's correlation of a normal pair with correlation 0.5
    rng, hits, number = np.random.default_rng(7), 0, 150
    for trial in range(number):
        groups = [rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=25).T for _ in range(3)]
        found = rank_correlation_within(groups, num_replicates=500, seed=trial).correlation
        hits += found.low <= true <= found.high
    assert 0.88 <= hits / number <= 0.99


def test_groups_that_say_nothing_are_left_out():
    useful = pairs(8, 0.5, seed=8)
    groups = [useful, ([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])]
    found = rank_correlation_within(groups)
    assert (found.num_groups, found.num_sets) == (1, 8)
    assert found.correlation.mean == pytest.approx(stats.spearmanr(*useful).statistic)
    assert rank_correlation_within(groups[1:]) is None and rank_correlation_within([]) is None


def test_lists_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="same length"):
        rank_correlation_within([([1.0, 2.0, 3.0], [1.0, 2.0])])
