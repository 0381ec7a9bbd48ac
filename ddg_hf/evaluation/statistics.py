# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Intervals and tests for accuracies measured on several sets and one common sample of queries.

Shape letters: S, T sets; Q queries; R bootstrap replicates, weightings or permutations.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Numbers held at once while resampling: 64 MiB of float64.
_CHUNK_SIZE = 2**23


@dataclass(frozen=True)
class Interval:
    """
    A mean and its confidence limits. The limits are NaN where the data say nothing about the spread.

    Attributes:
        mean: Point estimate.
        low: Lower limit.
        high: Upper limit.
    """

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """Returns the three numbers for JSON, in which NaN does not exist: it becomes `None`."""
        values = {"mean": self.mean, "low": self.low, "high": self.high}
        return {key: None if math.isnan(value) else float(value) for key, value in values.items()}

    def percent(self, digits: int = 1) -> str:
        """Returns e.g. `"80.8 [76.2, 84.9]"`: the numbers times 100."""
        if math.isnan(self.low):
            return f"{100 * self.mean:.{digits}f}"
        return f"{100 * self.mean:.{digits}f} [{100 * self.low:.{digits}f}, {100 * self.high:.{digits}f}]"


def _matrix(values_SQ, name: str) -> np.ndarray:
    matrix = np.asarray(values_SQ, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must have shape [sets, queries] with at least one of each, got {matrix.shape}")
    return matrix


def _times_drawn(rng: np.random.Generator, number: int, num_replicates: int) -> np.ndarray:
    """How often [R, N] each of N sets or clusters is drawn in each replicate; a single one is not resampled."""
    if number == 1:
        return np.ones((num_replicates, 1), dtype=np.int64)
    return rng.multinomial(number, np.full(number, 1 / number), size=num_replicates)


def _set_shares(rng: np.random.Generator, num_sets: int, num_replicates: int) -> np.ndarray:
    """Share [R, S] of each set in each replicate."""
    return _times_drawn(rng, num_sets, num_replicates) / num_sets


def _set_shares_of_clusters(rng: np.random.Generator, clusters_S: np.ndarray, times_RC: np.ndarray) -> np.ndarray:
    """
    Share [R, S] of each set in each replicate in which each cluster is drawn `times_RC` times: each time as many of
    its sets are drawn as it has. The one set of a cluster is not resampled.
    """
    _, cluster_S = np.unique(clusters_S, return_inverse=True)
    counts_RS = np.empty((len(times_RC), len(clusters_S)))
    for cluster in range(times_RC.shape[1]):
        sets = np.flatnonzero(cluster_S == cluster)
        # A cluster that is drawn twice has its sets drawn twice.
        draws_R = times_RC[:, cluster] * len(sets)
        counts_RS[:, sets] = rng.multinomial(draws_R, np.full(len(sets), 1 / len(sets)))
    return counts_RS / counts_RS.sum(axis=1, keepdims=True)


def _query_shares(rng: np.random.Generator, num_queries: int, num_replicates: int) -> Iterator[np.ndarray]:
    """Share [R, Q] of each query in each replicate, some replicates at a time: with many queries they need memory."""
    chunk = max(1, _CHUNK_SIZE // num_queries)
    for start in range(0, num_replicates, chunk):
        size = min(chunk, num_replicates - start)
        yield rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), size=size) / num_queries


def crossed_bootstrap_of(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    num_sets: int,
    num_queries: int,
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """
    Crossed bootstrap of statistics that are not means over the queries, such as F1; see [`crossed_bootstrap`].

    Such a statistic may be biased in a resample: the macro-F1 of many labels with few queries each comes out too low,
    because some queries are drawn twice and others not at all. The percentiles are moved by the bias that the
    replicates show (their mean minus the estimate); without that they miss the truth in a quarter of the cases.

    Args:
        statistics: Maps weights of the queries, shape [R, Q] with rows that sum to 1, to the value of each statistic
            on each set under each weighting, shape [S, R].
        num_sets: Number of sets S.
        num_queries: Number of queries Q.
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.

    Returns:
        For each statistic its mean over the sets, with equal weights, and the limits of that mean.
    """
    rng = np.random.default_rng(seed)
    parts = [statistics(weights_RQ) for weights_RQ in _query_shares(rng, num_queries, num_replicates)]
    sets_RS = _set_shares(rng, num_sets, num_replicates)
    estimates = statistics(np.full((1, num_queries), 1 / num_queries))
    intervals = {}
    for name, estimate_S1 in estimates.items():
        values_SR = np.concatenate([part[name] for part in parts], axis=1)
        replicates_R, estimate = (values_SR.T * sets_RS).sum(axis=1), float(estimate_S1.mean())
        bias = replicates_R.mean() - estimate
        intervals[name] = Interval(estimate, *_percentiles(replicates_R - bias, level))
    return intervals


def _percentiles(replicates_R: np.ndarray, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(replicates_R, [tail, 1 - tail])
    return float(low), float(high)


def crossed_bootstrap(
    correct_SQ: np.ndarray | Sequence[Sequence[float]],
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    clusters: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """
    Percentile bootstrap of the mean of a crossed design: every set is tried on the same queries.

    In each replicate the queries are drawn once, with replacement, and used for all sets; the sets are drawn
    independently of them. Treating the S x Q answers as independent would make the interval far too narrow, because
    a hard query is hard for every set. With one set only the queries vary: the interval is then about this very set.
    With few sets (S below about 5) the bootstrap understates the spread between sets by a factor of about (S - 1) / S.

    Sets of one training run have in common what that run learned. With `clusters` the runs are drawn first, with
    replacement, and then as many sets of each drawn run as it has, queries crossed as before (Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8). The interval is then also about other runs. With few
    clusters C the spread between runs is understated by the factor (C - 1) / C: over three training seeds, a 95 %
    interval holds the truth in 3 of 4 cases where nothing else varies. The spread within runs counts nearly twice,
    which makes up for that where it is as great. With one cluster only its sets and the queries vary: the interval is
    then about this very run.

    See Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007.

    Args:
        correct_SQ: 1 for a right answer and 0 for a wrong one, shape [sets, queries]; or any score, such as the share
            of right answers over several demonstration orders.
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.
        clusters: Id of the cluster of each set, shape [sets], such as its training seed. Without it all sets are
            independent.

    Returns:
        Mean over all entries and the limits.

    Raises:
        ValueError: the shape is another one, or there is not one cluster id for each set.
    """
    matrix_SQ = _matrix(correct_SQ, "correct_SQ")
    rng = np.random.default_rng(seed)
    replicates_R = _replicate_means(rng, [matrix_SQ], [_clusters(clusters, matrix_SQ, "clusters")], num_replicates)[0]
    # rounding must not make an accuracy of more than 1
    replicates_R = replicates_R.clip(matrix_SQ.min(), matrix_SQ.max())
    return Interval(float(matrix_SQ.mean()), *_percentiles(replicates_R, level))


def _clusters(clusters_S, matrix_SQ: np.ndarray, name: str) -> np.ndarray | None:
    if clusters_S is None:
        return None
    clusters_S = np.asarray(clusters_S)
    if clusters_S.shape != matrix_SQ.shape[:1]:
        raise ValueError(f"{name} must hold one id for each of {len(matrix_SQ)} sets, got shape {clusters_S.shape}")
    return clusters_S


def _replicate_means(
    rng: np.random.Generator,
    sides: Sequence[np.ndarray],
    clusters: Sequence[np.ndarray | None],
    num_replicates: int,
) -> list[np.ndarray]:
    """
    The mean [R] of each matrix [sets, queries] in each replicate. Queries are drawn once for all sides, clusters once
    for all sides with the same ids, sets for each side.
    """
    shares = _query_shares(rng, sides[0].shape[1], num_replicates)
    parts = [[queries_RQ @ matrix_SQ.T for matrix_SQ in sides] for queries_RQ in shares]
    means_RS = [np.concatenate(side) for side in zip(*parts, strict=True)]
    replicates, drawn = [], {}
    for side_RS, clusters_S in zip(means_RS, clusters, strict=True):
        if clusters_S is None:
            shares_RS = _set_shares(rng, side_RS.shape[1], num_replicates)
        else:
            ids = tuple(np.unique(clusters_S).tolist())
            if ids not in drawn:
                drawn[ids] = _times_drawn(rng, len(ids), num_replicates)
            shares_RS = _set_shares_of_clusters(rng, clusters_S, drawn[ids])
        replicates.append((side_RS * shares_RS).sum(axis=1))
    return replicates


def paired_differences(
    sides: Sequence[np.ndarray],
    pairs: Sequence[tuple[int, int]],
    clusters: Sequence[np.ndarray | None] | None = None,
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """
    [`paired_difference`] of many pairs of sides that answered the same queries. The replicates of a side are computed
    once, so that the time grows with the number of sides.

    Args:
        sides: Scores of each side, shape [sets, queries].
        pairs: Positions in `sides` of the first and the second side of each pair.
        clusters: Ids of the clusters of the sets of each side, or `None`; see [`paired_difference`].
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.

    Returns:
        The difference of each pair, first minus second.

    Raises:
        ValueError: the sides have different numbers of queries, or there is not one cluster id for each set.
    """
    matrices = [_matrix(side, f"side {i}") for i, side in enumerate(sides)]
    if len({matrix.shape[1] for matrix in matrices}) > 1:
        raise ValueError(f"paired comparisons need the same queries, got {[m.shape[1] for m in matrices]}")
    clusters = [None] * len(matrices) if clusters is None else clusters
    checked = [_clusters(ids, m, f"clusters {i}") for i, (ids, m) in enumerate(zip(clusters, matrices, strict=True))]
    replicates = _replicate_means(np.random.default_rng(seed), matrices, checked, num_replicates) if pairs else []
    means = [float(matrix.mean()) for matrix in matrices]
    return [Interval(means[a] - means[b], *_percentiles(replicates[a] - replicates[b], level)) for a, b in pairs]


def paired_difference(
    correct_a_SQ: np.ndarray | Sequence[Sequence[float]],
    correct_b_TQ: np.ndarray | Sequence[Sequence[float]],
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    clusters_a: Sequence[int] | np.ndarray | None = None,
    clusters_b: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """
    Crossed bootstrap of mean(a) - mean(b), paired by query.

    The queries of a replicate are the same for both sides, so their difficulty cancels; the sets of the two sides are
    drawn independently, since set 0 of one has nothing to do with set 0 of the other. Clusters are paired where both
    sides have the same ids: two methods that go on from the same pretrained generators are then compared generator by
    generator, and what one of these does for both cancels.

    Args:
        correct_a_SQ: Scores of the first side, shape [sets, queries]; see [`crossed_bootstrap`].
        correct_b_TQ: Scores of the second side on the same queries in the same order; the number of sets may differ.
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.
        clusters_a: Ids of the clusters of the sets of the first side, shape [sets]; see [`crossed_bootstrap`]. The
            same ids on both sides are the same clusters; if a side has ids that the other lacks, clusters are drawn
            for each side.
        clusters_b: The same for the second side.

    Raises:
        ValueError: the two sides have different numbers of queries, or there is not one cluster id for each set.
    """
    a_SQ, b_TQ = _matrix(correct_a_SQ, "correct_a_SQ"), _matrix(correct_b_TQ, "correct_b_TQ")
    if a_SQ.shape[1] != b_TQ.shape[1]:
        raise ValueError(f"a paired comparison needs the same queries, got {a_SQ.shape[1]} and {b_TQ.shape[1]}")
    clusters = [_clusters(clusters_a, a_SQ, "clusters_a"), _clusters(clusters_b, b_TQ, "clusters_b")]
    a_R, b_R = _replicate_means(np.random.default_rng(seed), [a_SQ, b_TQ], clusters, num_replicates)
    return Interval(float(a_SQ.mean() - b_TQ.mean()), *_percentiles(a_R - b_R, level))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """
    Student's t interval for the mean of a few independent numbers, e.g. one accuracy per training seed.

    With a single number the limits are NaN.
    """
    from scipy import stats

    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError(f"values must be a list of at least one number, got shape {numbers.shape}")
    mean = float(numbers.mean())
    if numbers.size == 1:
        return Interval(mean, math.nan, math.nan)
    half = stats.t.ppf((1 + level) / 2, numbers.size - 1) * numbers.std(ddof=1) / math.sqrt(numbers.size)
    return Interval(mean, float(mean - half), float(mean + half))


def paired_permutation_test(
    difference_Q: np.ndarray | Sequence[float], num_permutations: int = 10_000, seed: int = 0
) -> float:
    """
    Two-sided p-value of a mean difference between two ways of answering the same queries.

    If the two were interchangeable, the difference of every query could as well have the other sign: the p-value is
    the share of sign patterns whose mean is at least as far from 0 as the one observed. Where there are no more than
    `num_permutations` patterns all are tried and the p-value is exact; otherwise k of n random patterns are as far,
    and it is (k + 1) / (n + 1), which is never 0.

    It is about these sets of demonstrations and other queries, whereas the interval of [`paired_difference`] is also
    about other sets. Good, "Permutation, Parametric, and Bootstrap Tests of Hypotheses", 2005, section 3.2; Phipson
    and Smyth, "Permutation p-values should never be zero", 2010.

    Args:
        difference_Q: Mean score of the first side minus that of the second, for each query.
        num_permutations: Number of random sign patterns, and greatest number of patterns that are all tried.
        seed: Seed of the random patterns.
    """
    difference_Q = np.asarray(difference_Q, np.float64)
    if difference_Q.ndim != 1 or difference_Q.size == 0:
        raise ValueError(f"difference_Q must hold at least one number, got shape {difference_Q.shape}")
    # the sign of a zero does not matter
    difference_Q = difference_Q[difference_Q != 0]
    observed = abs(difference_Q.sum())
    threshold = observed - 1e-9 * np.abs(difference_Q).sum()  # sums in another order may differ by rounding
    if difference_Q.size <= math.log2(num_permutations):
        patterns_R = np.arange(2**difference_Q.size)
        signs_RQ = 1 - 2 * (patterns_R[:, None] >> np.arange(difference_Q.size) & 1)
        return float((np.abs(signs_RQ @ difference_Q) >= threshold).mean())
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_SIZE // difference_Q.size)
    as_far = 0
    for start in range(0, num_permutations, chunk):
        size = (min(chunk, num_permutations - start), difference_Q.size)
        signs_RQ = 1.0 - 2.0 * rng.integers(2, size=size, dtype=np.int8)
        as_far += int((np.abs(signs_RQ @ difference_Q) >= threshold).sum())
    return (as_far + 1) / (num_permutations + 1)


def paired_permutation_tests(
    differences_PQ: np.ndarray | Sequence[Sequence[float]], num_permutations: int = 10_000, seed: int = 0
) -> list[float]:
    """
    [`paired_permutation_test`] of P pairs on the same random sign patterns, which are drawn once.

    Args:
        differences_PQ: Difference of each pair for each query.
        num_permutations: Number of random sign patterns. No pair is decided by all patterns, however few there are.
        seed: Seed of the patterns.
    """
    differences_PQ = _matrix(differences_PQ, "differences_PQ")
    thresholds_P = np.abs(differences_PQ.sum(axis=1)) - 1e-9 * np.abs(differences_PQ).sum(axis=1)
    rng, as_far_P = np.random.default_rng(seed), np.zeros(len(differences_PQ))
    chunk = max(1, _CHUNK_SIZE // differences_PQ.shape[1])
    for start in range(0, num_permutations, chunk):
        size = (min(chunk, num_permutations - start), differences_PQ.shape[1])
        signs_RQ = 1.0 - 2.0 * rng.integers(2, size=size, dtype=np.int8)
        as_far_P += (np.abs(signs_RQ @ differences_PQ.T) >= thresholds_P).sum(axis=0)
    return ((as_far_P + 1) / (num_permutations + 1)).tolist()


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Returns p-values adjusted for their number, in the order given: the chance of a false finding among all of them
    stays below alpha if those with an adjusted value below alpha are called findings.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


@dataclass(frozen=True)
class MeanRanks:
    """
    Ranks of methods over several settings.

    Attributes:
        ranks: Mean rank of each method over the settings in which it was measured, 1 for the best; NaN if there is
            none.
        num_settings: Number of settings in which every method was measured.
        friedman: p-value of Friedman's test over these settings, `None` if there are fewer than two of them or fewer
            than three methods.
    """

    ranks: list[float]
    num_settings: int
    friedman: float | None


def mean_ranks(accuracies_MC: np.ndarray | Sequence[Sequence[float]]) -> MeanRanks:
    """
    Ranks methods by their accuracies in each setting, the greatest first, and averages the ranks.

    Equal accuracies share the mean of their ranks. A method is ranked among those that were measured in the same
    setting; mean ranks over different settings are therefore not quite comparable. Friedman's test asks whether all
    methods could be equally good; it uses the chi-square approximation, which is coarse for few settings and errs
    towards large p-values (Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006,
    section 3.2.2). It takes settings as independent, so that e.g. prediction modes of one task must not be counted as
    several.

    Args:
        accuracies_MC: Accuracies of M methods in C settings, shape [methods, settings]; NaN where a method was not
            measured.

    Raises:
        ValueError: there is no method or no setting.
    """
    from scipy import stats

    accuracies_MC = np.asarray(accuracies_MC, np.float64)
    if accuracies_MC.ndim != 2 or 0 in accuracies_MC.shape:
        raise ValueError(f"accuracies_MC must have shape [methods, settings], got {accuracies_MC.shape}")
    ranks_MC = stats.rankdata(-accuracies_MC, axis=0, nan_policy="omit")
    measured_MC = ~np.isnan(accuracies_MC)
    sums_M, times_M = np.where(measured_MC, ranks_MC, 0.0).sum(axis=1), measured_MC.sum(axis=1)
    means_M = np.where(times_M > 0, sums_M / np.maximum(times_M, 1), np.nan)
    complete_MC = accuracies_MC[:, measured_MC.all(axis=0)]
    num_settings = complete_MC.shape[1]
    friedman = None
    if len(complete_MC) >= 3 and num_settings >= 2:
        # Where all are equal everywhere, the statistic is 0 / 0.
        tied = bool((complete_MC == complete_MC[0]).all())
        friedman = 1.0 if tied else float(stats.friedmanchisquare(*complete_MC).pvalue)
    return MeanRanks(means_M.tolist(), num_settings, friedman)
