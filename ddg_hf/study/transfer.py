# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Does what is measured on a set go with its accuracy in context? If the gradient cosine does not, a better match cannot
help, however well it was learnt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.rank_correlation import rank_correlation_within
from ..evaluation.significance import holm

MEASURES = ("gradient_cosine", "label_consistency", "distinct_2", "self_bleu", "tokens_per_demonstration")
"""Numbers that `ddg-hf measure` gives to each set."""


def transfer_table(
    groups: Sequence[tuple[Mapping[str, Sequence[float]], Sequence[float]]],
) -> list[dict[str, Any]]:
    """
    Rank correlations of each measure with accuracy over sets of the same method, training seed and number of rows per
    class. A group of sets that are all the same, as K-centers rows with one of each class are, is left out.

    Args:
        groups: For each such group the measures of its sets, by name, and their accuracies.

    Returns:
        For each of [`MEASURES`] that varies within a group: `measure`, `correlation` (Spearman's, the mean within
        groups, with a 95 % interval), `p_value` (of permutations within groups), `p_holm`, adjusted for the number of
        measures, `num_groups` and `num_sets`.
    """
    groups = [(measures, accuracies) for measures, accuracies in groups if _differ(measures)]
    rows: list[dict[str, Any]] = []
    for name in MEASURES:
        found = rank_correlation_within([(measures[name], accuracies) for measures, accuracies in groups])
        if found is not None:
            row = {"measure": name, "correlation": found.correlation.as_dict(), "p_value": found.p_value}
            rows.append(row | {"num_groups": found.num_groups, "num_sets": found.num_sets})
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]) if rows else [], strict=True):
        row["p_holm"] = adjusted
    return rows


def _differ(measures: Mapping[str, Sequence[float]]) -> bool:
    """Whether any number differs by more than the last of the six digits that are kept of it."""
    values = [np.asarray(measures[name], np.float64) for name in MEASURES]
    return any(len(x_S) > 0 and np.ptp(x_S) > 2e-6 * np.abs(x_S).max() for x_S in values)
