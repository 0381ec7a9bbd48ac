# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Variance components and sample sizes: simulated data of which the components are known, and brute force."""

import numpy as np
import pytest

from ddg_hf.evaluation.planning import (
    DifferenceComponents,
    VarianceComponents,
    difference_components,
    required_sizes,
    variance_components,
)
from ddg_hf.evaluation.statistics import paired_difference


def simulate(rng, num_sets, query_effects_Q, set_sd, residual_sd, mean=0.0):
    sets_S1 = rng.normal(0, set_sd, (num_sets, 1))
    return mean + sets_S1 + query_effects_Q + rng.normal(0, residual_sd, (num_sets, len(query_effects_Q)))


def simulate_pair(rng, components, num_sets, num_queries, difference=0.0):
    """Two sides whose query effects go together but for the variance of their difference."""
    common_Q = rng.normal(0, 1.0, num_queries)
    own_Q = rng.normal(0, np.sqrt(components.queries), num_queries)
    c = components
    a_SQ = simulate(rng, num_sets, common_Q + own_Q, np.sqrt(c.sets_a), np.sqrt(c.residual_a), difference)
    b_SQ = simulate(rng, num_sets, common_Q, np.sqrt(c.sets_b), np.sqrt(c.residual_b))
    return a_SQ, b_SQ


def test_components_of_effects_that_are_known():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        matrix_SQ = simulate(rng, 8, rng.normal(0, 0.4, 50), 0.1, 0.3)
        components = variance_components(matrix_SQ)
        found.append((components.sets, components.queries, components.residual))
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(means - [0.1**2, 0.4**2, 0.3**2]) < 3 * errors).all()
    assert (errors < [0.0005, 0.003, 0.001]).all()


def test_components_of_right_and_wrong_answers():
    """Of 0 and 1, the three add up to the variance of an answer."""
    rng = np.random.default_rng(0)
    logits_SQ = simulate(rng, 300, rng.normal(0, 1.5, 400), 0.5, 0.0, mean=0.8)
    correct_SQ = (rng.random(logits_SQ.shape) < 1 / (1 + np.exp(-logits_SQ))).astype(float)
    c = variance_components(correct_SQ)
    assert c.sets + c.queries + c.residual == pytest.approx(correct_SQ.var(), rel=0.01)
    probabilities_SQ = 1 / (1 + np.exp(-logits_SQ))
    assert c.sets == pytest.approx(probabilities_SQ.mean(axis=1).var(), rel=0.05)
    assert c.queries == pytest.approx(probabilities_SQ.mean(axis=0).var(), rel=0.05)


def test_components_by_hand():
    """Effects that add up leave no residual; effects without any order have no negative variance."""
    sets_S, queries_Q = np.array([0.1, 0.4, 0.3]), np.array([0.0, 0.5, 0.2, 0.1])
    c = variance_components(sets_S[:, None] + queries_Q)
    assert [c.sets, c.queries, c.residual] == pytest.approx([sets_S.var(ddof=1), queries_Q.var(ddof=1), 0.0])
    # mean squares 0, 0 and 1 * 4 / 1
    mixed_SQ = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert variance_components(mixed_SQ) == VarianceComponents(0.0, 0.0, 4.0)
    assert difference_components(mixed_SQ, -mixed_SQ) == DifferenceComponents(0.0, 0.0, 0.0, 4.0, 4.0)


# Standard errors in a difference that is found with power 0.8 at level 0.95.
ERRORS = 1.959963984540054 + 0.8416212335729143
DIFFERENCE = DifferenceComponents(sets_a=0.04, sets_b=0.01, queries=0.25, residual_a=0.09, residual_b=0.16)


def test_components_of_a_difference_that_are_known():
    """Query effects that both sides share count for nothing."""
    rng = np.random.default_rng(1)
    found, differences = [], []
    for _ in range(400):
        a_SQ, b_TQ = simulate_pair(rng, DIFFERENCE, 6, 40)
        c = difference_components(a_SQ, b_TQ)
        found.append((c.sets_a, c.sets_b, c.queries, c.residual_a, c.residual_b))
        differences.append(a_SQ.mean() - b_TQ.mean())
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(400)
    assert (np.abs(means - [0.04, 0.01, 0.25, 0.09, 0.16]) < 3 * errors).all()
    # and what they are for: the spread of the mean difference, known from 400 of them within 4 %
    assert np.std(differences) == pytest.approx(DIFFERENCE.combined().standard_error(6, 40), rel=0.1)


def test_sides_of_different_numbers_of_sets():
    rng = np.random.default_rng(2)
    a_SQ, b_TQ = simulate_pair(rng, DIFFERENCE, 400, 300)
    c = difference_components(a_SQ[:200], b_TQ)
    assert c.sets_a == variance_components(a_SQ[:200]).sets and c.residual_b == variance_components(b_TQ).residual
    assert c.queries == pytest.approx((a_SQ.mean(0) - b_TQ.mean(0)).var(ddof=1), rel=0.02)


def test_a_single_set_is_taken_as_it_is():
    rng = np.random.default_rng(3)
    a_SQ, b_TQ = simulate_pair(rng, DIFFERENCE, 50, 2000)
    c = difference_components(a_SQ, b_TQ[:1])
    assert c.sets_b == c.residual_b == 0 and c.sets_a == variance_components(a_SQ).sets
    assert c.queries == pytest.approx(DIFFERENCE.queries + DIFFERENCE.residual_b, rel=0.1)


def smallest(variance_of, limit, first, most=20_000):
    """The first number that brings a variance to the limit, tried one after the other."""
    return next((n for n in range(first, most) if variance_of(n) <= limit * (1 + 1e-9)), None)


@pytest.mark.parametrize("at_least", [1, 10])
@pytest.mark.parametrize("seed", range(16))
def test_required_sizes_equal_brute_force(seed, at_least):
    rng = np.random.default_rng(seed)
    # now and then without sets, queries or rest
    sets, queries, residual = rng.uniform(0, 1, 3) * rng.choice([0, 1e-9, 0.03, 1], 3, p=[0.2, 0.1, 0.2, 0.5])
    c = DifferenceComponents(0.3 * sets, 0.7 * sets, queries, residual, 0.0)
    difference, num_sets, num_queries = rng.uniform(0.3, 1.0), int(rng.integers(1, 30)), int(rng.integers(1, 60))
    found = required_sizes(c, difference, num_sets, num_queries, at_least=at_least)
    limit = (difference / ERRORS) ** 2
    assert found.standard_error**2 == pytest.approx(limit)

    def variance(s, q):
        return sets / s + queries / q + residual / (s * q)

    assert found.sets == smallest(lambda n: variance(n, num_queries), limit, at_least)
    assert found.queries == smallest(lambda n: variance(num_sets, n), limit, at_least)
    counts = np.arange(at_least, 700.0)
    products = np.where(
        variance(counts[:, None], counts[None]) <= limit * (1 + 1e-9), counts[:, None] * counts[None], np.inf
    )
    assert np.prod(found.balanced) == products.min()
    assert variance(*found.balanced) <= limit * (1 + 1e-9) and min(found.balanced) >= at_least


def test_almost_no_difference_between_queries_is_quick():
    """The range that is searched must not grow with one over the component."""
    none, tiny = (
        required_sizes(DifferenceComponents(0.01, 0.01, queries, 0.1, 0.1), 0.01, 30, 300, at_least=10).balanced
        for queries in (0.0, 1e-13)
    )
    assert tiny == none


def test_required_sizes_by_hand():
    # one sample of differences with variance 1, found at 0.1: the textbook's (2.8 / 0.1)^2
    c = DifferenceComponents(0.0, 0.0, 1.0, 0.0, 0.0)
    sizes = required_sizes(c, 0.1, num_sets=5, num_queries=100)
    assert (sizes.sets, sizes.queries, sizes.balanced) == (None, 785, (1, 785))
    assert required_sizes(c, 0.1, 5, 785).sets == 1
    # between sets alone, and no number of queries makes up for it
    sizes = required_sizes(DifferenceComponents(0.5, 0.5, 0.0, 0.0, 0.0), 0.1, num_sets=784, num_queries=100)
    assert (sizes.sets, sizes.queries, sizes.balanced) == (785, None, (785, 1))
    # half of the greatest variance of 4 is used up by the queries, of which there are two
    sizes = required_sizes(DifferenceComponents(3.0, 3.0, 4.0, 2.0, 2.0), 2 * ERRORS, num_sets=3, num_queries=2)
    assert (sizes.sets, sizes.queries) == (4, 3)
    # a greater power or level needs more
    more = [required_sizes(DIFFERENCE, 0.1, 10, 5000, **options).sets for options in ({}, {"power": 0.9})]
    assert more[0] < more[1] < required_sizes(DIFFERENCE, 0.1, 10, 5000, power=0.9, level=0.99).sets


def test_the_power_is_the_one_asked_for():
    """The interval of `paired_difference` excludes zero in about 80 % of the cases."""
    rng = np.random.default_rng(0)
    difference = 0.25
    num_sets, num_queries = required_sizes(DIFFERENCE, difference, 1, 1, power=0.8).balanced
    assert num_sets >= 8 and num_queries >= 20
    found = 0
    for trial in range(300):
        pair = simulate_pair(rng, DIFFERENCE, num_sets, num_queries, difference)
        found += paired_difference(*pair, num_replicates=300, seed=trial).low > 0
    assert 0.72 < found / 300 < 0.88


def test_mistakes_are_named():
    for matrix, match in (
        (np.zeros(3), "shape"),
        (np.zeros((3, 1)), "two queries"),
        (np.zeros((1, 3)), "two sets"),
        (np.full((2, 3), np.nan), "not finite"),
    ):
        with pytest.raises(ValueError, match=match):
            variance_components(matrix)
    with pytest.raises(ValueError, match="same queries"):
        difference_components(np.zeros((2, 3)), np.zeros((2, 4)))
    for arguments in ((0.0, 1, 1), (-0.1, 1, 1), (0.1, 0, 1), (0.1, 1, 0), (0.1, 1, 1, 1.0), (0.1, 1, 1, 0.8, 1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            required_sizes(DIFFERENCE, *arguments)
    with pytest.raises(ValueError, match="at_least must be positive"):
        required_sizes(DIFFERENCE, 0.1, 1, 1, at_least=0)
