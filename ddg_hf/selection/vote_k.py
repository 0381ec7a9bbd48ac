# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Vote-k: rows that many other rows are near to, but not near to each other."""

import numpy as np

from .checks import check_finite, check_k
from .random import random_half
from .retrieval import nearest_by_cosine

# The paper's graph: 150 neighbours in a pool of 3,000 rows, and a vote worth a tenth after every row taken near it.
NUM_NEIGHBOURS, POOL_SIZE, DISCOUNT = 150, 3000, 10.0


def select_vote_k(
    embeddings_NH: np.ndarray, k: int, seed: int | None = None, num_neighbours: int | None = None
) -> np.ndarray:
    """
    Chooses `k` distinct rows by the votes of the others, one after the other.

    Each row votes for its nearest neighbours by cosine. A row's votes are worth `10^-s`, where s of its neighbours
    have been taken already, and nothing once it has been taken itself; the row with the most votes is taken next. This
    is the graph of Su et al., "Selective Annotation Makes Language Models Better Few-Shot Learners", 2022, arXiv
    2209.01975 (section 2.1), which alone they call fast vote-k. Their full method takes only a tenth of the rows in
    this way, and the rest from strata of a language model's confidence when it is given the first ones as
    demonstrations. That is left out: it needs an inference for every row, and the set would depend on the very model
    that it is to be tested with.

    Args:
        embeddings_NH: One embedding per row, shape (N, H).
        k: Number of rows to choose.
        seed: Chooses from a pool of 3,000 random rows, or half of the rows if they are fewer (`k` at least), so that
            several seeds give several sets; the paper draws pools of 3,000 too. Without a seed all rows are the pool,
            which takes time in proportion to N^2 H (about a minute on one core for 70,000 rows).
        num_neighbours: Number of rows that each row votes for. By default 150, as in the paper; in a pool of fewer
            than 3,000 rows the same share, a twentieth of them (one at least).

    Returns:
        Row indices of shape (k,), in the order in which they were taken; of rows with equal votes the earlier one.

    Raises:
        UserError: `k` is less than 1 or more than N, or an embedding is not finite.
        ValueError: There are not so many neighbours.
    """
    embeddings_NH = np.asarray(embeddings_NH)
    check_k(len(embeddings_NH), k)
    check_finite(embeddings_NH, "embeddings")
    if seed is None:
        pool = np.arange(len(embeddings_NH))
    else:
        pool = random_half(len(embeddings_NH), k, seed, max_rows=POOL_SIZE)
    if num_neighbours is None:
        num_neighbours = max(1, min(NUM_NEIGHBOURS, len(pool) * NUM_NEIGHBOURS // POOL_SIZE))
    if len(pool) == 1:
        return pool
    return pool[_take_by_votes(_neighbours(embeddings_NH[pool], num_neighbours), k)]


def _neighbours(embeddings_PH: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Returns for each of P rows its nearest others, shape (P, num_neighbours)."""
    num_rows = len(embeddings_PH)
    if not 1 <= num_neighbours < num_rows:
        raise ValueError(f"Each of {num_rows} rows has 1 to {num_rows - 1} neighbours, not {num_neighbours}.")
    nearest = nearest_by_cosine(embeddings_PH, embeddings_PH, num_neighbours + 1)
    others = nearest != np.arange(num_rows)[:, None]
    # Among many equal rows a row need not be one of its own nearest: then there is one of the others too many.
    others[others.all(axis=1), -1] = False
    return nearest[others].reshape(num_rows, num_neighbours)


def _take_by_votes(neighbours_PM: np.ndarray, k: int) -> np.ndarray:
    """Returns `k` of P rows by the discounted votes of those that have them among their M neighbours."""
    num_rows, num_neighbours = neighbours_PM.shape
    times_P = np.zeros(num_rows)
    free_P = np.ones(num_rows, dtype=bool)
    chosen: list[int] = []
    for _ in range(k):
        worth_P = np.where(free_P, DISCOUNT**-times_P, 0.0)
        votes_P = np.bincount(neighbours_PM.ravel(), np.repeat(worth_P, num_neighbours), minlength=num_rows)
        # The first of equal rows, whatever the rounding of their sums.
        row = int(np.argmax(free_P & (votes_P >= votes_P[free_P].max() * (1 - 1e-9))))
        chosen.append(row)
        free_P[row] = False
        times_P += (neighbours_PM == row).any(axis=1)
    return np.array(chosen)
