# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Paired comparisons of all methods, ranks, and the size of a study that would tell more.

Shape letters: S sets; Q queries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import UserError
from ..evaluation.planning import difference_components, required_sizes
from ..evaluation.significance import holm, mean_ranks, paired_permutation_tests
from ..evaluation.statistics import paired_differences

POINTS = (0.01, 0.03, 0.05)
"""Differences for which the size of a study is computed."""
AT_LEAST = 10
"""Sets and queries that such a study has at least: the computation takes means as normal, which fewer do not give."""


@dataclass(frozen=True)
class Side:
    """
    What one method has.

    Attributes:
        correct_SQ: Share of right answers of each set to each query.
        seeds_S: Number of the training seed that each set comes from; the same for what goes on from the same
            pretrained generator, since such methods are compared seed by seed.
        queries_Q: Row numbers of the queries in their split.
    """

    correct_SQ: np.ndarray
    seeds_S: np.ndarray
    queries_Q: np.ndarray

    @property
    def clusters(self) -> np.ndarray | None:
        """The training seeds, if there are several."""
        return self.seeds_S if len(np.unique(self.seeds_S)) > 1 else None


def compare_sides(sides: Mapping[str, Side]) -> list[dict[str, Any]]:
    """
    Compares every pair of methods on the same queries.

    Returns:
        For each pair, the later method first: `a`, `b`, `difference` (a - b, with a 95 % interval of the crossed
        bootstrap over training seeds, sets and queries), `p_value` (two-sided, of the paired permutation test over
        queries) and `p_holm`, adjusted for the number of pairs.

    Raises:
        UserError: two methods were tested on different queries.
    """
    for name, side in sides.items():
        first = next(iter(sides))
        if not np.array_equal(side.queries_Q, sides[first].queries_Q):
            raise UserError(
                f"'{first}' and '{name}' were tested on different queries; delete below cells/ what is to be run again"
            )
    names, members = list(sides), list(sides.values())
    pairs = [(a, b) for b, a in combinations(range(len(names)), 2)]
    intervals = paired_differences([side.correct_SQ for side in members], pairs, [side.clusters for side in members])
    means_MQ = [side.correct_SQ.mean(axis=0) for side in members]
    p_values = paired_permutation_tests([means_MQ[a] - means_MQ[b] for a, b in pairs]) if pairs else []
    rows = [
        {"a": names[a], "b": names[b], "difference": difference.as_dict(), "p_value": p_value}
        for (a, b), difference, p_value in zip(pairs, intervals, p_values, strict=True)
    ]
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]) if rows else [], strict=True):
        row["p_holm"] = adjusted
    return rows


def rank_table(accuracies: Mapping[str, Mapping[int, float]]) -> list[dict[str, Any]]:
    """
    Mean ranks of methods over the numbers of rows per class, the best one first; 1 is the best rank.

    Args:
        accuracies: Accuracy by method and rows per class.
    """
    settings = sorted({dpc for found in accuracies.values() for dpc in found})
    if not settings:
        return []
    table_MS = np.array([[found.get(dpc, np.nan) for dpc in settings] for found in accuracies.values()])
    ranks = mean_ranks(table_MS)
    rows = [
        {"method": name, "mean_rank": float(rank), "num_settings": len(found)}
        for (name, found), rank in zip(accuracies.items(), ranks.ranks, strict=True)
    ]
    return sorted(rows, key=lambda row: row["mean_rank"])


def sizes_needed(first: Side, second: Side) -> list[dict[str, Any]]:
    """
    How many sets of each method and queries a difference of 1, 3 and 5 points needs to be found with 80 % power, by
    the spread that two methods show. It is about more sets of the generators that there are: how much training
    seeds differ is counted as a difference of sets.

    Returns:
        For each difference its `points`; `num_sets` and `num_queries`, together with the fewest answers;
        `sets_with_these_queries` and `queries_with_these_sets`, where the other number stays as it is (`None`: no
        number is enough). None is below [`AT_LEAST`].
    """
    a_SQ, b_SQ = first.correct_SQ, second.correct_SQ
    components = difference_components(a_SQ, b_SQ)
    rows = []
    for points in POINTS:
        needed = required_sizes(components, points, min(len(a_SQ), len(b_SQ)), a_SQ.shape[1], at_least=AT_LEAST)
        num_sets, num_queries = needed.balanced
        present = {"sets_with_these_queries": needed.sets, "queries_with_these_sets": needed.queries}
        rows.append({"points": round(100 * points), "num_sets": num_sets, "num_queries": num_queries, **present})
    return rows
