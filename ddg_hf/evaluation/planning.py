# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Where the spread of an accuracy comes from, and how many sets and queries it takes to find a difference.

Shape letters: S, T sets; Q queries.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VarianceComponents:
    """
    Variance of one answer of one set: score = mean + effect of the set + effect of the query + rest.

    Attributes:
        sets: Variance of the sets' effects.
        queries: Variance of the queries' effects.
        residual: Variance of the rest: that a set suits a query, and chance.
    """

    sets: float
    queries: float
    residual: float

    def standard_error(self, num_sets: float, num_queries: float) -> float:
        """Returns the standard error of the mean over so many sets and queries."""
        spread = self.sets / num_sets + self.queries / num_queries + self.residual / (num_sets * num_queries)
        return math.sqrt(spread)


@dataclass(frozen=True)
class DifferenceComponents:
    """
    Variance of the difference between the mean scores of two sides, paired by query.

    Attributes:
        sets_a: Variance of the set effects of the first side.
        sets_b: The same of the second side.
        queries: Variance of the difference between the two effects of a query.
        residual_a: Variance of the rest of the first side, see [`VarianceComponents`].
        residual_b: The same of the second side.
    """

    sets_a: float
    sets_b: float
    queries: float
    residual_a: float
    residual_b: float

    def combined(self) -> VarianceComponents:
        """Returns the components of the difference where both sides have the same number of sets."""
        return VarianceComponents(self.sets_a + self.sets_b, self.queries, self.residual_a + self.residual_b)


@dataclass(frozen=True)
class RequiredSizes:
    """
    What it takes to find a difference.

    Attributes:
        difference: The difference.
        standard_error: The greatest standard error with which it is found with the power asked for.
        sets: Sets per side that are needed with the present queries; `None` if no number is enough.
        queries: Queries that are needed with the present sets; `None` if no number is enough.
        balanced: `(sets per side, queries)` with the fewest answers per side.
    """

    difference: float
    standard_error: float
    sets: int | None
    queries: int | None
    balanced: tuple[int, int]


def _scores(values_SQ, name: str) -> np.ndarray:
    matrix_SQ = np.asarray(values_SQ, dtype=np.float64)
    if matrix_SQ.ndim != 2 or matrix_SQ.shape[0] < 1 or matrix_SQ.shape[1] < 2:
        raise ValueError(f"{name} must have shape [sets, queries] with at least two queries, got {matrix_SQ.shape}")
    if not np.isfinite(matrix_SQ).all():
        raise ValueError(f"{name} has values that are not finite")
    return matrix_SQ


def variance_components(correct_SQ: np.ndarray | Sequence[Sequence[float]]) -> VarianceComponents:
    """
    Components of the variance of scores where every set is tried on the same queries.

    Both are random effects, crossed, with one score in each cell. Their variances are estimated from the mean squares
    of the two-way analysis of variance (Searle, Casella and McCulloch, "Variance Components", 1992, section 4.7), with
    0 in place of a negative estimate: unbiased but for that, and uncertain where there are few sets.

    Args:
        correct_SQ: 1 for a right answer and 0 for a wrong one, shape [sets, queries], or any score.

    Raises:
        ValueError: there are fewer than two sets or queries, or a score is not finite.
    """
    matrix_SQ = _scores(correct_SQ, "correct_SQ")
    num_sets, num_queries = matrix_SQ.shape
    if num_sets < 2:
        raise ValueError("correct_SQ must have at least two sets: one says nothing about the spread between sets")
    residuals_SQ = matrix_SQ - matrix_SQ.mean(1, keepdims=True) - matrix_SQ.mean(0) + matrix_SQ.mean()
    residual = float(np.square(residuals_SQ).sum() / ((num_sets - 1) * (num_queries - 1)))
    # The variance of the means over the other factor holds a share of the residual.
    sets = matrix_SQ.mean(axis=1).var(ddof=1) - residual / num_queries
    queries = matrix_SQ.mean(axis=0).var(ddof=1) - residual / num_sets
    return VarianceComponents(max(0.0, float(sets)), max(0.0, float(queries)), residual)


def difference_components(
    a_SQ: np.ndarray | Sequence[Sequence[float]], b_TQ: np.ndarray | Sequence[Sequence[float]]
) -> DifferenceComponents:
    """
    Components of the variance of mean(a) - mean(b), where both sides answered the same queries.

    The sets of the two sides have nothing to do with each other, so that each side has components of its own, as in
    [`variance_components`]; the effects of a query on the two sides go together, and only their difference counts. Its
    variance is that of the paired differences of the query means, less the shares of the residuals in it.

    A side with one set (no demonstrations at all, say) is taken as it is: it has no spread between sets, and what is
    its own for a query is part of the query's difference.

    Args:
        a_SQ: Scores of the first side, shape [sets, queries].
        b_TQ: Scores of the second side on the same queries in the same order; the number of sets may differ.

    Raises:
        ValueError: the sides have different numbers of queries or fewer than two, or a score is not finite.
    """
    a_SQ, b_TQ = _scores(a_SQ, "a_SQ"), _scores(b_TQ, "b_TQ")
    if a_SQ.shape[1] != b_TQ.shape[1]:
        raise ValueError(f"a paired comparison needs the same queries, got {a_SQ.shape[1]} and {b_TQ.shape[1]}")
    fixed = VarianceComponents(0.0, 0.0, 0.0)
    a, b = (variance_components(side) if len(side) > 1 else fixed for side in (a_SQ, b_TQ))
    spread = float((a_SQ.mean(axis=0) - b_TQ.mean(axis=0)).var(ddof=1))
    queries = max(0.0, spread - a.residual / len(a_SQ) - b.residual / len(b_TQ))
    return DifferenceComponents(a.sets, b.sets, queries, a.residual, b.residual)


def required_sizes(
    components: DifferenceComponents,
    difference: float,
    num_sets: int,
    num_queries: int,
    power: float = 0.8,
    level: float = 0.95,
    at_least: int = 1,
) -> RequiredSizes:
    """
    How many sets and queries it takes until an interval around a difference excludes zero with some power.

    With S sets per side and Q queries the variance of the mean difference is

        SE^2 = sets / S + queries / Q + residual / (S Q)

    where `sets` and `residual` are the sums over both sides. A true difference is found, by an interval of the level
    given, with the power given if `SE <= difference / (z_(1 - alpha / 2) + z_power)` with `alpha = 1 - level`: 2.8
    standard errors for 0.8 and 0.95. Means are taken as normal, so that the numbers are too low where few sets (below
    about 10) suffice, and the components as known, whereas they are estimates.

    Args:
        components: From [`difference_components`].
        difference: The difference to find, in the unit of the scores: 0.01 is a percentage point of accuracy.
        num_sets: Present number of sets per side.
        num_queries: Present number of queries.
        power: Probability of finding it.
        level: Confidence level of the interval.
        at_least: The fewest sets and queries of all results: the fewest answers alone can be one query of very many
            sets, of which no mean is normal.

    Raises:
        ValueError: a number is out of its range.
    """
    if not difference > 0 or min(num_sets, num_queries, at_least) < 1 or not 0.5 <= power < 1 or not 0 < level < 1:
        raise ValueError(
            "difference, num_sets, num_queries and at_least must be positive, power from 0.5 to 1 and level from 0 to "
            f"1, got {difference}, {num_sets}, {num_queries}, {at_least}, {power} and {level}"
        )
    from scipy import stats

    standard_error = difference / float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    c = components.combined()
    return RequiredSizes(
        difference,
        standard_error,
        _smallest(c.sets, c.queries, c.residual, num_queries, standard_error**2, at_least),
        _smallest(c.queries, c.sets, c.residual, num_sets, standard_error**2, at_least),
        _balanced(c, standard_error**2, at_least),
    )


def _ceil(number: float | np.ndarray) -> np.ndarray:
    """The next integer, 1 at least; a number that is an integer but for rounding is that one."""
    return np.maximum(np.ceil(number - 1e-9 * np.abs(number)), 1)


def _smallest(
    own: float, other: float, residual: float, other_number: int, variance: float, at_least: int
) -> int | None:
    """The smallest n with own / n + other / m + residual / (n m) <= variance, where m is the number of the others."""
    left = variance - other / other_number
    wanted = own + residual / other_number
    if wanted == 0:
        return at_least if left >= 0 else None
    return max(int(_ceil(wanted / left)), at_least) if left > 0 else None


def _balanced(c: VarianceComponents, variance: float, at_least: int) -> tuple[int, int]:
    """The pair (S, Q) with the smallest product; of several such pairs the one with the fewest sets."""
    fewest = c.sets / variance
    # Of S * Q(S) = (queries S^2 + residual S) / (variance S - sets), by its derivative; without queries it always
    # falls.
    if c.queries > 0:
        best = fewest + math.sqrt(fewest**2 + fewest * c.residual / c.queries)
    else:
        best = fewest + c.residual / variance
    # With so many sets the fewest queries are enough, and more sets only cost.
    left = variance - c.queries / at_least
    most = float(_ceil((c.sets + c.residual / at_least) / left)) if left > 0 else math.inf
    start = min(max(float(_ceil(best)), at_least), max(most, at_least))
    if start <= fewest:
        start += 1
    bound = start * max(float(_ceil((c.queries + c.residual / start) / (variance - c.sets / start))), at_least)
    # A smaller product can only be where S * Q(S), without rounding up, is no greater than this one.
    half = (bound * variance - c.residual) / 2
    if c.queries > 0:
        width = math.sqrt(max(0.0, half**2 - c.queries * bound * c.sets))
        low, high = (half - width) / c.queries, (half + width) / c.queries
    else:
        low, high = fewest, bound
    highest = min(math.ceil(high), bound / at_least, max(most, start))
    sets = np.arange(max(at_least, math.floor(max(low, fewest))), highest + 1)
    sets = sets[sets * variance > c.sets]
    queries = np.maximum(_ceil((c.queries + c.residual / sets) / (variance - c.sets / sets)), at_least)
    row = int(np.argmin(sets * queries))
    return int(sets[row]), int(queries[row])
