# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Determinantal point processes of a fixed size (k-DPP): sets of rows that point in different directions.

The kernel is the cosine of embeddings, L = X X^T with rows x_i of length 1; det(L_S) is the squared volume that the
rows of S span. L is of size N x N and never formed: everything follows from X, with N rows, and X^T X, of size H x H.

Shape letters: N rows; H embedding dimensions; R dimensions that the rows span, at most H.
"""

from collections.abc import Callable

import numpy as np

from ..errors import UserError
from .checks import check_finite, check_k


def select_dpp(embeddings_NH: np.ndarray, k: int, seed: int) -> np.ndarray:
    """
    Draws a set S of `k` rows with a probability in proportion to det(L_S), exactly.

    Kulesza and Taskar, "Determinantal Point Processes for Machine Learning", 2012, arXiv 1207.6083: the eigenvectors
    of L from the dual kernel X^T X (section 3.3), `k` of them at random by elementary symmetric polynomials
    (algorithms 7 and 8), and rows from the projection onto these, one after the other (algorithm 1). It takes time in
    proportion to N H (H + k) and memory to N H.

    Args:
        embeddings_NH: One embedding per row, shape (N, H); their lengths do not matter. A row of length zero is never
            chosen.
        k: Number of rows to choose.
        seed: Determines the choice.

    Returns:
        Distinct row indices of shape (k,), in random order.

    Raises:
        UserError: `k` is less than 1, more than N or more than R (then every det(L_S) is zero), or an embedding is not
            finite.
    """
    units_NH = _unit_rows(embeddings_NH, k)
    eigenvalues_H, eigenvectors_HH = np.linalg.eigh(units_NH.T @ units_NH)
    # What is smaller is zero but for rounding.
    spanned_H = eigenvalues_H > eigenvalues_H[-1] * len(eigenvalues_H) * np.finfo(np.float64).eps
    eigenvalues_R, eigenvectors_HR = eigenvalues_H[spanned_H], eigenvectors_HH[:, spanned_H]
    _check_span(k, len(eigenvalues_R))
    rng = np.random.default_rng(seed)
    taken = _draw_eigenvectors(np.log(eigenvalues_R), k, rng)
    # Eigenvectors of L, of length 1. The rows of the matrix define a projection DPP.
    projection_NK = units_NH @ (eigenvectors_HR[:, taken] / np.sqrt(eigenvalues_R[taken]))
    return _by_remaining_volume(projection_NK, k, lambda squares_N: rng.choice(len(squares_N), p=_shares(squares_N)))


def select_dpp_greedy(embeddings_NH: np.ndarray, k: int) -> np.ndarray:
    """
    Chooses `k` rows, one after the other, such that log det(L_S) grows as much as possible with each: an approximation
    of the most probable set of [`select_dpp`].

    Chen, Zhang and Zhou, "Fast Greedy MAP Inference for Determinantal Point Process", 2018, arXiv 1709.05135,
    algorithm 1. All rows are equally good as the first of a set, so that it is row 0; the rows that follow are those
    least like the ones taken, outliers among them.

    Args:
        embeddings_NH: One embedding per row, shape (N, H); their lengths do not matter. A row of length zero is never
            chosen.
        k: Number of rows to choose.

    Returns:
        Distinct row indices of shape (k,), in the order in which they were taken; of equally good rows the earlier
        one.

    Raises:
        UserError: `k` is less than 1, more than N or more than R, or an embedding is not finite.
    """
    return _by_remaining_volume(_unit_rows(embeddings_NH, k), k, lambda squares_N: int(np.argmax(squares_N)))


def _unit_rows(embeddings_NH: np.ndarray, k: int) -> np.ndarray:
    """Embeddings in float64, of length 1, or 0 where they have no length."""
    embeddings_NH = np.asarray(embeddings_NH, dtype=np.float64)
    check_k(len(embeddings_NH), k)
    check_finite(embeddings_NH, "embeddings")
    lengths_N = np.sqrt(np.einsum("nh,nh->n", embeddings_NH, embeddings_NH))
    return embeddings_NH / np.where(lengths_N > 0, lengths_N, 1.0)[:, None]


def _check_span(k: int, rank: int) -> None:
    if k > rank:
        raise UserError(
            f"Cannot select {k} rows whose embeddings span no more than {rank} dimensions by their volume: ask for "
            f"{rank} rows at most, or use embeddings of more dimensions."
        )


def _draw_eigenvectors(log_eigenvalues_R: np.ndarray, k: int, rng: np.random.Generator) -> list[int]:
    """
    Draws `k` of R eigenvectors with a probability in proportion to the product of their eigenvalues.

    The elementary symmetric polynomials are held as logarithms: they may be beyond what a float can hold.
    """
    rank = len(log_eigenvalues_R)
    # log e_j of the first r eigenvalues
    polynomials = np.full((rank + 1, k + 1), -np.inf)
    polynomials[:, 0] = 0.0
    for r, value in enumerate(log_eigenvalues_R, 1):
        polynomials[r, 1:] = np.logaddexp(polynomials[r - 1, 1:], value + polynomials[r - 1, :-1])
    taken: list[int] = []
    for r in range(rank, 0, -1):
        missing = k - len(taken)
        if missing == 0:
            break
        log_chance = log_eigenvalues_R[r - 1] + polynomials[r - 1, missing - 1] - polynomials[r, missing]
        # As many as are left must all be taken, whatever the rounding.
        if missing == r or np.log(rng.random()) < log_chance:
            taken.append(r - 1)
    return taken


def _by_remaining_volume(vectors_NV: np.ndarray, k: int, choose: Callable[[np.ndarray], int]) -> np.ndarray:
    """
    Chooses `k` rows, each by the squared lengths of all rows less what lies in the span of the rows taken before.

    These are the squares d_i^2 of the incremental Cholesky factorisation of the kernel of the rows (Chen, Zhang and
    Zhou, section 3), whose product over the rows taken is its determinant.
    """
    squares_N = np.einsum("nv,nv->n", vectors_NV, vectors_NV)
    # Lengths that are equal but for rounding are equal.
    squares_N[np.isclose(squares_N, 1.0, rtol=0, atol=1e-12)] = 1.0
    smallest = squares_N.max() * vectors_NV.shape[1] * np.finfo(np.float64).eps
    factors_KN = np.zeros((k, len(vectors_NV)))
    chosen: list[int] = []
    for step in range(k):
        row = choose(squares_N)
        if squares_N[row] <= smallest:
            _check_span(k, step)
        chosen.append(row)
        factors_N = vectors_NV @ vectors_NV[row] - factors_KN[:step, row] @ factors_KN[:step]
        factors_KN[step] = factors_N / np.sqrt(squares_N[row])
        squares_N = np.maximum(squares_N - factors_KN[step] ** 2, 0.0)
        squares_N[chosen] = 0.0
    return np.array(chosen)


def _shares(squares_N: np.ndarray) -> np.ndarray:
    return squares_N / squares_N.sum()
