# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Random selection."""

import numpy as np

from .checks import check_k


def select_random(num_rows: int, k: int, seed: int) -> np.ndarray:
    """
    Chooses `k` distinct rows uniformly at random.

    With one seed, a smaller selection is the beginning of a larger one.

    Args:
        num_rows: Number of rows to choose from.
        k: Number of rows to choose.
        seed: Determines the choice.

    Returns:
        Row indices of shape (K,), in random order.

    Raises:
        UserError: `k` is less than 1 or more than `num_rows`.
    """
    check_k(num_rows, k)
    return np.random.default_rng(seed).permutation(num_rows)[:k]
