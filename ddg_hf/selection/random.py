# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Random selection, and random candidates for rules that would otherwise always choose the same rows."""

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


def random_half(num_rows: int, k: int, seed: int, max_rows: int | None = None) -> np.ndarray:
    """
    Draws candidates from which a rule without any randomness chooses other rows for another seed.

    Args:
        num_rows: Number of rows N to draw from.
        k: Number of rows to choose from the candidates.
        seed: Determines the draw.
        max_rows: Greatest number of candidates, if there is one.

    Returns:
        Distinct row indices in ascending order: N / 2 of them, rounded down, or `max_rows` if that is less, but no
        fewer than `k`.

    Raises:
        UserError: `k` is less than 1 or more than N.
    """
    check_k(num_rows, k)
    half = num_rows // 2 if max_rows is None else min(max_rows, num_rows // 2)
    return np.sort(select_random(num_rows, max(k, half), seed))
