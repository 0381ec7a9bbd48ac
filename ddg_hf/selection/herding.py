# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Herding."""

import numpy as np

from .checks import check_finite, check_k


def select_herding(embeddings_NH: np.ndarray, k: int) -> np.ndarray:
    """
    Chooses `k` distinct rows, one after the other, such that their mean stays as close as possible to the mean of all.

    Step t takes the row x that minimises `|| (x + sum of the rows taken) - t * mean ||`. This is how coreset baselines
    (DiLM's among them, arXiv 2404.00264) use herding (Welling, 2009, "Herding dynamical weights to learn"). Welling's
    own rule, the largest inner product with `t * mean - sum of the rows taken`, chooses the same rows if all have the
    same norm; otherwise it prefers long ones.

    Args:
        embeddings_NH: One embedding per row, shape (N, H).
        k: Number of rows to choose.

    Returns:
        Row indices of shape (K,), in the order in which they were taken; of equally good rows the earlier one.

    Raises:
        UserError: `k` is less than 1 or more than N, or an embedding is not finite.
    """
    embeddings_NH = np.asarray(embeddings_NH, dtype=np.float64)
    check_k(len(embeddings_NH), k)
    check_finite(embeddings_NH, "embeddings")
    # Distances do not change when everything is moved; around the mean they lose the fewest digits.
    centred_NH = embeddings_NH - embeddings_NH.mean(axis=0)
    half_norms_N = 0.5 * np.einsum("nh,nh->n", centred_NH, centred_NH)
    taken_sum_H = np.zeros(centred_NH.shape[1])
    free_N = np.ones(len(centred_NH), dtype=bool)
    chosen = []
    for _ in range(k):
        # Half the squared distance, less what is the same for all rows.
        cost_N = half_norms_N + centred_NH @ taken_sum_H
        row = int(np.argmin(np.where(free_N, cost_N, np.inf)))
        chosen.append(row)
        free_N[row] = False
        taken_sum_H += centred_NH[row]
    return np.array(chosen)
