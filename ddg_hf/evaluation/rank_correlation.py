# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Whether two numbers that were measured on the same sets go together, within groups of sets that are alike.

Shape letters: S sets of a group; R bootstrap replicates or permutations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import Interval

_MIN_SIZE = 3  # of two pairs, every rank correlation is 1 or -1


@dataclass(frozen=True)
class RankCorrelation:
    """
    A rank correlation within groups.

    Attributes:
        correlation: Its value with a 95 % interval over other sets.
        p_value: Two-sided; that nothing goes together.
        num_groups: Groups that it is over.
        num_sets: Sets in these.
    """

    correlation: Interval
    p_value: float
    num_groups: int
    num_sets: int


def rank_correlation_within(
    groups: Sequence[tuple[Sequence[float], Sequence[float]]],
    level: float = 0.95,
    num_replicates: int = 10_000,
    seed: int = 0,
) -> RankCorrelation | None:
    """
    Spearman's rank correlation of two numbers, the mean over groups, each weighted by its sets less one.

    Ranks are taken within a group, so that differences between groups (methods, numbers of demonstrations) do not
    count: of groups that differ in both numbers every pooled correlation would say that they go together. The interval
    comes from a bootstrap of sets within groups; the p-value is the share of permutations within groups whose
    correlation is at least as far from 0, never 0 itself (Phipson and Smyth, "Permutation p-values should never be
    zero", 2010).

    Args:
        groups: The two numbers of the sets of each group.
        level: Confidence level.
        num_replicates: Number of bootstrap replicates and of permutations.
        seed: Seed of both.

    Returns:
        The correlation; `None` if no group has three sets and both numbers differ among them.

    Raises:
        ValueError: a group has more of one number than of the other.
    """
    arrays = [(np.asarray(x, np.float64), np.asarray(y, np.float64)) for x, y in groups]
    for x_S, y_S in arrays:
        if x_S.shape != y_S.shape or x_S.ndim != 1:
            raise ValueError(f"a group must have two lists of the same length, got shapes {x_S.shape} and {y_S.shape}")
    arrays = [(x_S, y_S) for x_S, y_S in arrays if len(x_S) >= _MIN_SIZE and np.ptp(x_S) > 0 and np.ptp(y_S) > 0]
    if not arrays:
        return None
    rng = np.random.default_rng(seed)
    weights_G = np.array([len(x_S) - 1.0 for x_S, _ in arrays])
    weights_G /= weights_G.sum()
    observed = float(sum(w * _spearman(x[None], y[None])[0] for w, (x, y) in zip(weights_G, arrays, strict=True)))
    drawn_R, shuffled_R = np.zeros(num_replicates), np.zeros(num_replicates)
    known_R = np.zeros(num_replicates)  # weight of the groups whose replicate is not constant
    for weight, (x_S, y_S) in zip(weights_G, arrays, strict=True):
        index_RS = rng.integers(len(x_S), size=(num_replicates, len(x_S)))
        values_R = _spearman(x_S[index_RS], y_S[index_RS])
        drawn_R += weight * np.nan_to_num(values_R)
        known_R += weight * ~np.isnan(values_R)
        shuffled_R += weight * _spearman(x_S[None], rng.permuted(np.tile(y_S, (num_replicates, 1)), axis=1))
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile(drawn_R / known_R, [(1 - level) / 2, (1 + level) / 2])
    as_far = int((np.abs(shuffled_R) >= abs(observed) - 1e-9).sum())
    p_value = (as_far + 1) / (num_replicates + 1)
    num_sets = sum(len(x_S) for x_S, _ in arrays)
    return RankCorrelation(Interval(observed, float(low), float(high)), p_value, len(arrays), num_sets)


def _spearman(x_RS: np.ndarray, y_RS: np.ndarray) -> np.ndarray:
    """Rank correlation of each row; NaN where one of the two does not vary. Ties share the mean of their ranks."""
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=1) for values in (x_RS, y_RS)]
    x_RS, y_RS = (rank_RS - rank_RS.mean(axis=1, keepdims=True) for rank_RS in ranks)
    scale_R = np.sqrt((x_RS**2).sum(axis=1) * (y_RS**2).sum(axis=1))
    return np.divide((x_RS * y_RS).sum(axis=1), scale_R, out=np.full(len(scale_R), math.nan), where=scale_R > 0)
