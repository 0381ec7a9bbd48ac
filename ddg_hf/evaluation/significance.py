# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Tests of differences between methods that answered the same queries, and ranks of methods.

Shape letters: P pairs of methods; Q queries; R permutations; M methods; C settings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import CHUNK_SIZE, as_matrix


def paired_permutation_test(
    difference_Q: np.ndarray | Sequence[float], num_permutations: int = 10_000, seed: int = 0
) -> float:
    """
    Two-sided p-value of a mean difference between two ways of answering the same queries.

    If the two were interchangeable, the difference of every query could as well have the other sign: the p-value is
    the share of sign patterns whose mean is at least as far from 0 as the one observed. Where there are no more than
    `num_permutations` patterns all are tried and the p-value is exact; otherwise k of n random patterns are as far,
    and it is (k + 1) / (n + 1), which is never 0.

    It is about these sets of demonstrations and other queries, whereas the interval of
    [`~ddg_hf.evaluation.statistics.paired_difference`] is also about other sets. Good, "Permutation, Parametric, and
    Bootstrap Tests of Hypotheses", 2005, section 3.2; Phipson and Smyth, "Permutation p-values should never be zero",
    2010.

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
    chunk = max(1, CHUNK_SIZE // difference_Q.size)
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
    differences_PQ = as_matrix(differences_PQ, "differences_PQ")
    thresholds_P = np.abs(differences_PQ.sum(axis=1)) - 1e-9 * np.abs(differences_PQ).sum(axis=1)
    rng, as_far_P = np.random.default_rng(seed), np.zeros(len(differences_PQ))
    chunk = max(1, CHUNK_SIZE // differences_PQ.shape[1])
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
