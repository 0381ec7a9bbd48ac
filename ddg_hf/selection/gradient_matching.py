# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Real rows whose gradients are those of their class: what distillation by gradient matching strives for, by selection.

Shape letters: M learner snapshots; N rows of one class; K labels; H features; P = K * H + K parameters of a linear
head (K * H without a bias).
"""

from collections.abc import Sequence

import numpy as np

from .checks import check_finite, check_k
from .random import random_half


def select_by_gradient(
    residuals_MNK: Sequence[np.ndarray],
    features_MNH: Sequence[np.ndarray],
    k: int,
    targets_MP: Sequence[np.ndarray] | None = None,
    bias: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """
    Chooses `k` distinct rows, one after the other, such that the cosine of their mean gradient and a target gradient,
    averaged over snapshots of the learner, is as great as possible after each step. The target is that of gradient
    matching (DDG, section 3; DiLM, section 3.2), the mean gradient of the class; the greedy choice of real rows is
    that of gradient-matching coresets (e.g. Killamsetty et al., 2021, "GRAD-MATCH", arXiv 2103.00123) with equal
    weights.

    The gradient of row i in a linear head is `r_i [h_i; 1]^T` with `r_i = p_i - e_y`, the gradient of the loss in the
    logits. No such matrix is formed: `<g_i, g_j> = (r_i . r_j) (h_i . h_j + 1)` and `<g_i, T> = r_i^T T [h_i; 1]`. It
    takes time in proportion to M N (K + H) k, and memory to M N beside the arguments, which are not copied if there is
    no seed. Lengths and cosines are kept in float64, products of rows have the precision of the arguments.

    A row without a gradient leaves the direction of the mean as it is: it is taken where every other row would turn
    the mean away from the target.

    Args:
        residuals_MNK: For each snapshot the gradient of each row's loss in the logits, shape (N, K).
        features_MNH: For each snapshot the inputs of the linear head, shape (N, H), without the 1 of the bias.
        k: Number of rows to choose.
        targets_MP: For each snapshot the gradient to match, shape (P,), flattened as
            [`~ddg_hf.losses.gradient_matching.head_gradient`] does; the mean gradient of all N rows by default.
        bias: Whether the head has a bias.
        seed: Chooses from a random half of the rows (`k` at least), so that several seeds give several sets. The
            default target is the mean over all rows nevertheless. Without a seed all rows are candidates.

    Returns:
        Row indices of shape (k,), in the order in which they were taken; of equally good rows the earlier one.

    Raises:
        UserError: `k` is less than 1 or more than N, or a value is not finite.
        ValueError: The shapes do not agree, or a target is zero, so that the cosine is undefined.
    """
    residuals_MNK = [np.asarray(residuals_NK) for residuals_NK in residuals_MNK]
    features_MNH = [np.asarray(features_NH) for features_NH in features_MNH]
    _check_factors(residuals_MNK, features_MNH)
    num_rows = len(features_MNH[0])
    check_k(num_rows, k)
    if targets_MP is None:
        targets_MP = [mean_gradient(*factors, bias) for factors in zip(residuals_MNK, features_MNH, strict=True)]
    candidates = np.arange(num_rows) if seed is None else random_half(num_rows, k, seed)
    sums = []
    for residuals_NK, features_NH, target_P in zip(residuals_MNK, features_MNH, targets_MP, strict=True):
        if seed is not None:
            residuals_NK, features_NH = residuals_NK[candidates], features_NH[candidates]
        sums.append(_GradientSum(residuals_NK, features_NH, np.asarray(target_P, np.float64), bias))
    free_N = np.ones(len(candidates), dtype=bool)
    chosen = []
    for _ in range(k):
        cosines_N = np.mean([snapshot.cosines_with_one_more() for snapshot in sums], axis=0)
        row = int(np.argmax(np.where(free_N, cosines_N, -np.inf)))
        chosen.append(row)
        free_N[row] = False
        for snapshot in sums:
            snapshot.add(row)
    return candidates[chosen]


def mean_gradient(residuals_NK: np.ndarray, features_NH: np.ndarray, bias: bool = True) -> np.ndarray:
    """Returns the mean of N gradients in a linear head, shape (P,): the weights row by row, then the bias."""
    weight_KH = residuals_NK.T @ features_NH / len(features_NH)
    return np.concatenate([weight_KH.ravel(), residuals_NK.mean(axis=0)] if bias else [weight_KH.ravel()])


def _check_factors(residuals_MNK: list[np.ndarray], features_MNH: list[np.ndarray]) -> None:
    if not residuals_MNK or len(residuals_MNK) != len(features_MNH):
        raise ValueError(
            f"There must be residuals and features of each snapshot, one at least, not of {len(residuals_MNK)} and "
            f"{len(features_MNH)}."
        )
    num_rows = len(features_MNH[0])
    for residuals_NK, features_NH in zip(residuals_MNK, features_MNH, strict=True):
        if residuals_NK.ndim != 2 or features_NH.ndim != 2 or {len(residuals_NK), len(features_NH)} != {num_rows}:
            raise ValueError(
                f"Residuals (N, K) and features (N, H) must be of the same {num_rows} rows, got {residuals_NK.shape} "
                f"and {features_NH.shape}."
            )
        check_finite(residuals_NK, "residuals")
        check_finite(features_NH, "features")


class _GradientSum:
    """
    At one snapshot the sum s of the gradients taken so far, by its inner products with the candidates' g_i.

    Raises:
        ValueError: The target is zero or of another size.
    """

    def __init__(self, residuals_NK: np.ndarray, features_NH: np.ndarray, target_P: np.ndarray, bias: bool):
        self.residuals_NK, self.features_NH, self.bias = residuals_NK, features_NH, float(bias)
        num_labels, num_features = residuals_NK.shape[1], features_NH.shape[1]
        if target_P.shape != (num_labels * (num_features + bias),):
            raise ValueError(
                f"A target must have {num_labels * (num_features + bias)} values for {num_labels} labels and "
                f"{num_features} features {'with' if bias else 'without'} a bias, got shape {target_P.shape}."
            )
        length = np.linalg.norm(target_P)
        if not length > 0:
            raise ValueError("the target gradient is zero or not finite, so the gradient cosine is undefined")
        weight_KH = (target_P[: num_labels * num_features] / length).reshape(num_labels, num_features)
        bias_K = target_P[num_labels * num_features :] / length if bias else np.zeros(num_labels)
        along_NK = features_NH @ weight_KH.T.astype(features_NH.dtype) + bias_K
        # <g_i, target>, |g_i|^2 and <g_i, s>; <s, target> and |s|^2
        self.along_N = np.einsum("nk,nk->n", residuals_NK, along_NK, dtype=np.float64)
        squares_N = np.einsum("nh,nh->n", features_NH, features_NH, dtype=np.float64) + self.bias
        self.squares_N = np.einsum("nk,nk->n", residuals_NK, residuals_NK, dtype=np.float64) * squares_N
        self.with_sum_N = np.zeros(len(features_NH))
        self.sum_along = self.sum_square = 0.0
        # Below that share of |s|^2 + |g_i|^2, the length of s + g_i is nothing but rounding.
        self.tolerance = (num_labels + num_features) * float(np.finfo(features_NH.dtype).eps)

    def cosines_with_one_more(self) -> np.ndarray:
        """Cosine of the target and s + g_i for each i, shape (N,); 0 where s + g_i is zero."""
        lengths_N = self.sum_square + self.squares_N
        squares_N = lengths_N + 2 * self.with_sum_N
        zero_N = squares_N <= self.tolerance * lengths_N
        return np.where(zero_N, 0.0, (self.sum_along + self.along_N) / np.sqrt(np.where(zero_N, 1.0, squares_N)))

    def add(self, row: int) -> None:
        """Adds the gradient of one candidate to s."""
        self.sum_square += 2 * self.with_sum_N[row] + self.squares_N[row]
        self.sum_along += self.along_N[row]
        features_N = self.features_NH @ self.features_NH[row] + self.bias
        self.with_sum_N += (self.residuals_NK @ self.residuals_NK[row]) * features_N
