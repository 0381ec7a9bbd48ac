# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Selection by the generator's own loss."""

import numpy as np

from .checks import check_finite, check_k


def select_by_generator_loss(losses_N: np.ndarray, k: int) -> np.ndarray:
    """
    Chooses the `k` rows with the lowest loss: the texts that are most typical of their label for the generator.

    Args:
        losses_N: Loss of each row, shape (N,), in nats per token.
        k: Number of rows to choose.

    Returns:
        Row indices of shape (K,), lowest loss first; of equal losses the earlier row comes first.

    Raises:
        UserError: `k` is less than 1 or more than N, or a loss is not finite.
    """
    losses_N = np.asarray(losses_N, dtype=np.float64)
    check_k(len(losses_N), k)
    check_finite(losses_N, "losses")
    return np.argsort(losses_N, kind="stable")[:k]
