# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Intervals for accuracies measured on several sets and one common sample of queries.

Shape letters: S, T sets; Q queries; R bootstrap replicates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def _set_shares(rng: np.random.Generator, num_sets: int, num_replicates: int) -> np.ndarray:
    """Share [R, S] of each set in each replicate; a single set is not resampled."""
    if num_sets == 1:
        return np.ones((num_replicates, 1))
    return rng.multinomial(num_sets, np.full(num_sets, 1 / num_sets), size=num_replicates) / num_sets


def _query_shares(rng: np.random.Generator, num_queries: int, num_replicates: int) -> np.ndarray:
    """Share [R, Q] of each query in each replicate."""
    counts = rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), size=num_replicates)
    return counts / num_queries


def _percentiles(replicates_R: np.ndarray, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(replicates_R, [tail, 1 - tail])
    return float(low), float(high)


def crossed_bootstrap(
    correct_SQ: np.ndarray | Sequence[Sequence[float]],
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """
    Percentile bootstrap of the mean of a crossed design: every set is tried on the same queries.

    In each replicate the queries are drawn once, with replacement, and used for all sets; the sets are drawn
    independently of them. Treating the S x Q answers as independent would make the interval far too narrow, because
    a hard query is hard for every set. With one set only the queries vary: the interval is then about this very set.
    With few sets (S below about 5) the bootstrap understates the spread between sets by a factor of about (S - 1) / S.

    See Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007.

    Args:
        correct_SQ: 1 for a right answer and 0 for a wrong one, shape [sets, queries]; or any score, such as the share
            of right answers over several demonstration orders.
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.

    Returns:
        Mean over all entries and the limits.
    """
    matrix_SQ = _matrix(correct_SQ, "correct_SQ")
    num_sets, num_queries = matrix_SQ.shape
    rng = np.random.default_rng(seed)
    queries_RQ = _query_shares(rng, num_queries, num_replicates)
    sets_RS = _set_shares(rng, num_sets, num_replicates)
    replicates_R = ((queries_RQ @ matrix_SQ.T) * sets_RS).sum(axis=1)
    # rounding must not make an accuracy of more than 1
    replicates_R = replicates_R.clip(matrix_SQ.min(), matrix_SQ.max())
    return Interval(float(matrix_SQ.mean()), *_percentiles(replicates_R, level))


def paired_difference(
    correct_a_SQ: np.ndarray | Sequence[Sequence[float]],
    correct_b_TQ: np.ndarray | Sequence[Sequence[float]],
    num_replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """
    Crossed bootstrap of mean(a) - mean(b), paired by query.

    The queries of a replicate are the same for both sides, so their difficulty cancels; the sets of the two sides are
    drawn independently, since set 0 of one has nothing to do with set 0 of the other.

    Args:
        correct_a_SQ: Scores of the first side, shape [sets, queries]; see [`crossed_bootstrap`].
        correct_b_TQ: Scores of the second side on the same queries in the same order; the number of sets may differ.
        num_replicates: Number of bootstrap replicates.
        level: Confidence level.
        seed: Seed of the resampling.

    Raises:
        ValueError: the two sides have different numbers of queries.
    """
    a_SQ, b_TQ = _matrix(correct_a_SQ, "correct_a_SQ"), _matrix(correct_b_TQ, "correct_b_TQ")
    if a_SQ.shape[1] != b_TQ.shape[1]:
        raise ValueError(f"a paired comparison needs the same queries, got {a_SQ.shape[1]} and {b_TQ.shape[1]}")
    rng = np.random.default_rng(seed)
    queries_RQ = _query_shares(rng, a_SQ.shape[1], num_replicates)
    a_R = ((queries_RQ @ a_SQ.T) * _set_shares(rng, a_SQ.shape[0], num_replicates)).sum(axis=1)
    b_R = ((queries_RQ @ b_TQ.T) * _set_shares(rng, b_TQ.shape[0], num_replicates)).sum(axis=1)
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
