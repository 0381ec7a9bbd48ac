# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Intervals: against the plain formulation, a library, and simulated data of which the truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from ddg_hf.evaluation import statistics
from ddg_hf.evaluation.metrics import compute_metrics, weighted_metrics
from ddg_hf.evaluation.statistics import (
    Interval,
    crossed_bootstrap,
    crossed_bootstrap_of,
    mean_interval,
    paired_difference,
    paired_differences,
)


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


def test_bootstrap_of_a_mean_is_the_crossed_bootstrap():
    matrix_SQ = simulate(np.random.default_rng(0), 4, 50)
    found = crossed_bootstrap_of(lambda weights_RQ: {"accuracy": matrix_SQ @ weights_RQ.T}, 4, 50, seed=3)
    expected = crossed_bootstrap(matrix_SQ, seed=3)
    assert found["accuracy"].mean == pytest.approx(expected.mean)
    # but for the bias, which is nothing but chance
    assert found["accuracy"].low == pytest.approx(expected.low, abs=0.003)
    assert found["accuracy"].high - found["accuracy"].low == pytest.approx(expected.high - expected.low)


def test_bootstrap_of_a_statistic_that_is_no_mean():
    """The standard deviation of one sample: scipy's percentiles, moved by scipy's bias."""
    sample_Q = np.random.default_rng(1).normal(size=80)

    def deviation(weights_RQ):
        means_R1 = weights_RQ @ sample_Q[:, None]
        return {"sd": np.sqrt(((sample_Q - means_R1) ** 2 * weights_RQ).sum(1))[None]}

    found = crossed_bootstrap_of(deviation, 1, 80, num_replicates=10_000)["sd"]
    result = stats.bootstrap((sample_Q,), np.std, n_resamples=10_000, method="percentile", rng=0)
    bias = result.bootstrap_distribution.mean() - sample_Q.std()
    assert found.mean == pytest.approx(sample_Q.std())
    assert [found.low, found.high] == pytest.approx(np.array(result.confidence_interval) - bias, abs=0.01)


def test_bootstrap_of_macro_f1_covers_the_truth():
    """Of 40 labels with 4 queries each: the plain percentiles lie too low."""
    rng = np.random.default_rng(0)
    skill_K = rng.uniform(0.2, 0.9, 40)

    def draw(per_label):
        references_Q = np.repeat(np.arange(40), per_label)
        right_Q = rng.random(len(references_Q)) < skill_K[references_Q]
        return np.where(right_Q, references_Q, rng.integers(40, size=len(references_Q))), references_Q

    truth = compute_metrics(["macro_f1"], *draw(5000), 40)["macro_f1"]
    covered = plain = 0
    for trial in range(100):
        predictions_Q, references_Q = draw(4)
        replicates = []

        def macro_f1(weights_RQ, predictions_Q=predictions_Q, references_Q=references_Q, replicates=replicates):
            values_R = weighted_metrics(predictions_Q, references_Q, 40, weights_RQ)["macro_f1"]
            replicates += values_R.tolist()
            return {"macro_f1": values_R[None]}

        interval = crossed_bootstrap_of(macro_f1, 1, 160, num_replicates=300, seed=trial)["macro_f1"]
        covered += interval.low <= truth <= interval.high
        low, high = np.quantile(replicates, [0.025, 0.975])
        plain += low <= truth <= high
    assert covered >= 85 and plain < covered - 10


def test_chunks_do_not_change_an_interval(monkeypatch):
    a_SQ, b_TQ = (simulate(np.random.default_rng(seed), 3, 40) for seed in (0, 1))
    whole = crossed_bootstrap(a_SQ), paired_difference(a_SQ, b_TQ)
    monkeypatch.setattr(statistics, "CHUNK_SIZE", 40 * 7)
    for before, after in zip(whole, (crossed_bootstrap(a_SQ), paired_difference(a_SQ, b_TQ)), strict=True):
        assert after.as_dict() == pytest.approx(before.as_dict(), abs=1e-12)


def test_without_clusters_the_draws_stay_the_same():
    """Published intervals can be made again: queries are drawn first, then the sets of each side."""
    a_SQ, b_TQ = (simulate(np.random.default_rng(seed), 4 + seed, 40) for seed in (0, 1))
    rng = np.random.default_rng(7)
    queries_RQ = rng.multinomial(40, np.full(40, 1 / 40), size=500) / 40
    means = []
    for matrix_SQ in (a_SQ, b_TQ):
        sets_RS = rng.multinomial(len(matrix_SQ), np.full(len(matrix_SQ), 1 / len(matrix_SQ)), size=500)
        means.append((queries_RQ @ matrix_SQ.T * (sets_RS / len(matrix_SQ))).sum(axis=1))
    low, high = np.quantile(means[0], [0.025, 0.975])
    alone = crossed_bootstrap(a_SQ, 500, seed=7)
    assert [alone.mean, alone.low, alone.high] == pytest.approx([a_SQ.mean(), low, high], abs=1e-12)
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    pair = paired_difference(a_SQ, b_TQ, 500, seed=7)
    assert [pair.mean, pair.low, pair.high] == pytest.approx([a_SQ.mean() - b_TQ.mean(), low, high], abs=1e-12)


def test_clusters_of_one_set_are_no_clusters():
    a_SQ, b_TQ = (simulate(np.random.default_rng(seed), 5, 40) for seed in (0, 1))
    ids_S = np.arange(5)
    assert crossed_bootstrap(a_SQ, clusters=ids_S) == crossed_bootstrap(a_SQ)
    assert paired_difference(a_SQ, b_TQ, clusters_a=ids_S, clusters_b=ids_S + 9) == paired_difference(a_SQ, b_TQ)
    assert crossed_bootstrap(a_SQ[:1], clusters=[3]) == crossed_bootstrap(a_SQ[:1])


def plain_nested_bootstrap(matrix_SQ, clusters_S, num_replicates, seed):
    """Draw runs, then sets of each drawn run, and query numbers; look the entries up."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(clusters_S == cluster) for cluster in np.unique(clusters_S)]
    means = []
    for _ in range(num_replicates):
        queries = rng.integers(matrix_SQ.shape[1], size=matrix_SQ.shape[1])
        drawn = [members[number] for number in rng.integers(len(members), size=len(members))]
        sets = np.concatenate([rng.choice(run, len(run)) for run in drawn])
        means.append(matrix_SQ[np.ix_(sets, queries)].mean())
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize("clusters", [[0, 0, 0, 1, 1, 1, 2, 2, 2], [4, 1, 4, 4, 1, 4, 4, 2, 0], [0] * 9])
def test_clusters_are_drawn_before_their_sets(clusters):
    rng = np.random.default_rng(0)
    runs_S1 = rng.normal(0, 0.15, (5, 1))[clusters]
    matrix_SQ = 0.5 + runs_S1 + rng.normal(0, 0.05, (9, 1)) + rng.normal(0, 0.2, (1, 60))
    interval = crossed_bootstrap(matrix_SQ, num_replicates=20_000, clusters=clusters)
    low, high = plain_nested_bootstrap(matrix_SQ, np.array(clusters), 8000, seed=1)
    assert interval.mean == matrix_SQ.mean()
    assert [interval.low, interval.high] == pytest.approx([low, high], abs=0.008)


def test_clusters_are_those_of_their_side():
    matrix_SQ = simulate(np.random.default_rng(0), 6, 40)
    zeros_TQ, ids_S = np.zeros((1, 40)), [0, 0, 1, 1, 2, 2]
    alone = crossed_bootstrap(matrix_SQ, clusters=ids_S)
    assert paired_difference(matrix_SQ, zeros_TQ, clusters_a=ids_S) == alone
    reversed_ = paired_difference(zeros_TQ, matrix_SQ, clusters_b=ids_S)
    assert [reversed_.low, reversed_.high] == pytest.approx([-alone.high, -alone.low])


def test_runs_of_both_sides_are_paired():
    """What a run does to both sides cancels; the sets within a run are drawn for each side."""
    rng = np.random.default_rng(0)
    runs_C = np.array([0.2, 0.5, 0.9])
    one_each_SQ = runs_C[:, None] + rng.normal(0, 0.1, (1, 50))
    same = paired_difference(one_each_SQ + 0.1, one_each_SQ, clusters_a=[0, 1, 2], clusters_b=[0, 1, 2])
    assert [same.low, same.high] == pytest.approx([0.1, 0.1])
    for ids, rows in (([3, 4, 5], 3), ([0, 1, 3], 3), ([0, 1], 2)):  # not all of them are the same
        other = paired_difference(one_each_SQ + 0.1, one_each_SQ[:rows], clusters_a=[0, 1, 2], clusters_b=ids)
        assert other.low < other.mean - 0.2 and other.high > other.mean + 0.2

    a_ids, b_ids = np.array([0, 0, 1, 1, 1, 2]), np.array([2, 1, 0, 0])
    a_SQ = runs_C[a_ids][:, None] + rng.normal(0, 0.1, (6, 1)) + rng.normal(0, 0.2, (6, 40))
    b_TQ = runs_C[b_ids][:, None] + rng.normal(0, 0.1, (4, 1)) + rng.normal(0, 0.2, (4, 40))
    interval = paired_difference(a_SQ, b_TQ, num_replicates=20_000, clusters_a=a_ids, clusters_b=b_ids)
    differences = []
    for _ in range(8000):
        queries, drawn = rng.integers(40, size=40), rng.integers(3, size=3)
        means = []
        for matrix_SQ, ids in ((a_SQ, a_ids), (b_TQ, b_ids)):
            members = [np.flatnonzero(ids == run) for run in drawn]
            sets = np.concatenate([rng.choice(run, len(run)) for run in members])
            means.append(matrix_SQ[np.ix_(sets, queries)].mean())
        differences.append(means[0] - means[1])
    assert [interval.low, interval.high] == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.012)


def test_interval_over_training_runs_covers_the_truth():
    """Six runs of five sets: without the runs the interval is too narrow, as if there were thirty of them."""
    rng = np.random.default_rng(0)
    clusters_S = np.repeat(np.arange(6), 5)
    covered = naive = 0
    widths = []
    for trial in range(200):
        sets_S1 = rng.normal(0, 0.06, (6, 1))[clusters_S] + rng.normal(0, 0.04, (30, 1))
        matrix_SQ = sets_S1 + rng.normal(0, 0.2, (1, 80)) + rng.normal(0, 0.3, (30, 80))
        nested = crossed_bootstrap(matrix_SQ, 300, seed=trial, clusters=clusters_S)
        plain = crossed_bootstrap(matrix_SQ, 300, seed=trial)
        covered += nested.low <= 0 <= nested.high
        naive += plain.low <= 0 <= plain.high
        widths.append((nested.high - nested.low) / (plain.high - plain.low))
    assert 0.88 < covered / 200 < 0.99
    assert naive < covered - 10
    assert np.mean(widths) > 1.15


@pytest.mark.parametrize("ids", [[0, 1], [[0, 1, 2]], [0, 1, 2, 3]])
def test_one_cluster_for_each_set(ids):
    with pytest.raises(ValueError, match="clusters must hold one id for each of 3 sets"):
        crossed_bootstrap(np.zeros((3, 4)), clusters=ids)
    with pytest.raises(ValueError, match="clusters_b must hold"):
        paired_difference(np.zeros((1, 4)), np.zeros((3, 4)), clusters_b=ids)


def test_many_paired_differences_are_the_single_ones():
    rng = np.random.default_rng(3)
    query_Q = rng.normal(size=200)
    sides = [(rng.normal(size=(s, 1)) / 3 + query_Q + rng.normal(size=(s, 200)) > 0).astype(float) for s in (4, 9, 1)]
    clusters = [np.array([0, 0, 1, 1]), None, None]
    pairs = [(1, 0), (2, 0), (2, 1)]
    many = paired_differences(sides, pairs, clusters, num_replicates=20_000)
    for (a, b), interval in zip(pairs, many, strict=True):
        single = paired_difference(
            sides[a], sides[b], num_replicates=20_000, clusters_a=clusters[a], clusters_b=clusters[b]
        )
        assert interval.mean == pytest.approx(single.mean)
        assert interval.low == pytest.approx(single.low, abs=0.004)
        assert interval.high == pytest.approx(single.high, abs=0.004)
    assert paired_differences(sides, [], clusters) == []

    runs_S1 = np.repeat([[0.0], [0.4], [0.9]], 2, axis=0)
    many = [runs_S1 + rng.normal(0, 0.05, (6, 30)) for _ in range(3)]
    ids = [np.repeat(first + np.arange(3), 2) for first in (0, 0, 9)]
    same, others = paired_differences(many, [(1, 0), (2, 0)], ids, num_replicates=20_000)
    single = paired_difference(many[1], many[0], num_replicates=20_000, clusters_a=ids[1], clusters_b=ids[0])
    assert [same.low, same.high] == pytest.approx([single.low, single.high], abs=0.004)
    assert same.high - same.low < 0.2 < 0.5 < others.high - others.low
    with pytest.raises(ValueError, match="the same queries"):
        paired_differences([np.zeros((2, 3)), np.zeros((2, 4))], [(0, 1)])
