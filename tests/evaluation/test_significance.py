# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tests of differences, and ranks: against scipy, by hand, and on simulated data of which the truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from ddg_hf.evaluation import significance
from ddg_hf.evaluation.significance import holm, mean_ranks, paired_permutation_test, paired_permutation_tests


def scipy_p_value(difference_Q, **options):
    return stats.permutation_test(
        (difference_Q,), np.mean, permutation_type="samples", alternative="two-sided", **options
    ).pvalue


@pytest.mark.parametrize("seed", range(4))
def test_exact_permutation_test_equals_scipy(seed):
    difference_Q = np.random.default_rng(seed).normal(0.3, 1, 11)
    expected = scipy_p_value(difference_Q, n_resamples=np.inf)
    assert paired_permutation_test(difference_Q) == pytest.approx(expected)


def test_exact_permutation_test_with_ties_and_zeros():
    difference_Q = np.array([0.2, 0.0, 0.2, -0.2, 0.4, 0.0, 0.2])
    expected = scipy_p_value(difference_Q, n_resamples=np.inf)
    assert paired_permutation_test(difference_Q) == pytest.approx(expected)
    assert paired_permutation_test(np.repeat(difference_Q, [1, 90, 1, 1, 1, 900, 1])) == pytest.approx(expected)
    assert paired_permutation_test([1.0, 1.0, 1.0]) == pytest.approx(2 / 2**3)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1])
def test_random_permutations_come_near_to_scipy(shift):
    difference_Q = np.random.default_rng(5).choice([-1, -0.5, 0, 0.5, 1], 300) + shift
    expected = scipy_p_value(difference_Q, n_resamples=20_000, rng=np.random.default_rng(0))
    assert paired_permutation_test(difference_Q, 20_000) == pytest.approx(expected, abs=0.02)


def test_permutation_p_value_is_never_zero():
    assert paired_permutation_test(np.ones(50), 999) == 1 / 1000
    assert paired_permutation_test(np.zeros(50)) == 1.0
    with pytest.raises(ValueError, match="at least one"):
        paired_permutation_test([])


def test_permutation_test_rejects_as_often_as_it_says():
    """Without a difference, p < 0.1 happens in about 10 % of the cases."""
    rng = np.random.default_rng(0)
    p_values = [paired_permutation_test(rng.choice([-1.0, 0.0, 1.0], 60), 400, seed) for seed in range(400)]
    assert 0.05 < np.mean(np.array(p_values) < 0.1) < 0.14


def test_permutations_in_chunks(monkeypatch):
    difference_Q = np.random.default_rng(0).normal(0.1, 1, 100)
    monkeypatch.setattr(significance, "CHUNK_SIZE", 100 * 7)
    expected = scipy_p_value(difference_Q, n_resamples=5_000, rng=np.random.default_rng(0))
    assert paired_permutation_test(difference_Q, 5_000) == pytest.approx(expected, abs=0.03)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, never falling
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2] and holm([]) == []


def test_permutation_test_of_many_queries():
    """Too many for a count of all sign patterns to be a float."""
    difference_Q = np.random.default_rng(0).choice([-1.0, 1.0], 3000)
    assert 0.01 < paired_permutation_test(difference_Q) <= 1
    assert paired_permutation_test(np.ones(3000)) < 0.001


def test_many_permutation_tests_are_the_single_ones():
    rng = np.random.default_rng(5)
    differences_PQ = rng.normal([[0.0], [0.1], [0.5]], 1.0, size=(3, 120))
    many = paired_permutation_tests(differences_PQ, num_permutations=40_000)
    single = [paired_permutation_test(row, num_permutations=40_000) for row in differences_PQ]
    assert many == pytest.approx(single, abs=0.01)
    assert many[2] < 0.001 < many[0]
    assert paired_permutation_tests(np.zeros((1, 5)), 99) == [1.0]
    constant = paired_permutation_tests(np.ones((1, 200)), 999)
    assert constant == [1 / 1000], "no pattern of random signs is as far"


def test_mean_ranks_by_hand():
    found = mean_ranks([[0.9, 0.5, 0.7], [0.8, 0.5, 0.9], [0.7, 0.6, 0.8]])
    # ranks 1 2 3, 2.5 2.5 1, 3 1 2
    assert found.ranks == pytest.approx([6.5 / 3, 5.5 / 3, 2.0])
    assert found.num_settings == 3


def test_methods_that_were_not_measured_everywhere():
    nan = math.nan
    table_MC = np.array([[0.9, 0.5, 0.7, 0.9], [0.8, nan, 0.9, 0.7], [0.7, 0.6, 0.8, 0.8], [0.1, nan, 0.2, 0.3]])
    found = mean_ranks(table_MC)
    # in the second setting the third method is first of two
    assert found.ranks == pytest.approx([(1 + 2 + 3 + 1) / 4, (2 + 1 + 3) / 3, (3 + 1 + 2 + 2) / 4, 4.0])
    assert found.num_settings == 3
    expected = stats.friedmanchisquare(*table_MC[:, [0, 2, 3]]).pvalue
    assert found.friedman == pytest.approx(expected)
    never = mean_ranks([[0.5, 0.6], [nan, nan], [0.7, 0.6]])
    assert never.ranks[::2] == [1.75, 1.25] and math.isnan(never.ranks[1])
    assert (never.num_settings, never.friedman) == (0, None)


def test_friedman_needs_three_methods_and_two_settings():
    assert mean_ranks([[0.9, 0.8], [0.5, 0.6]]).friedman is None
    assert mean_ranks([[0.9], [0.5], [0.7]]).friedman is None
    assert mean_ranks([[0.9, 0.5], [0.5, 0.5], [0.7, math.nan]]).friedman is None
    assert mean_ranks(np.full((3, 4), 0.5)).friedman == 1.0
    for shape in ((0, 2), (2, 0), (2,)):
        with pytest.raises(ValueError, match="shape"):
            mean_ranks(np.zeros(shape))


def test_friedman_finds_what_there_is_and_not_more():
    rng = np.random.default_rng(0)
    noise = [mean_ranks(rng.normal(size=(4, 8))).friedman for _ in range(400)]
    assert 0.05 < np.mean(np.array(noise) < 0.1) < 0.14
    better_MC = rng.normal(size=(4, 8)) + np.array([[2.0], [0.0], [0.0], [0.0]])
    found = mean_ranks(better_MC)
    assert found.friedman < 0.05 and min(found.ranks) == found.ranks[0]
