# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Choice among whole sets, by what they do as demonstrations for labelled validation queries."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError


def mean_label_loglikelihood(logprobs_QK: np.ndarray, references_Q: np.ndarray | Sequence[int]) -> float:
    """
    Mean log-likelihood of the right label among the labels: the negative cross-entropy of the softmax of the labels'
    scores. It tells sets apart that give the same answers, with other certainty.

    Args:
        logprobs_QK: Log-probability that the model gives to each of K labels for each of Q queries, shape (Q, K), or
            any other score to which the same number may be added for all labels of a query. Minus infinity is a label
            that is impossible.
        references_Q: Id of the right label of each query, shape (Q,).

    Returns:
        The mean over the queries, in nats: 0 at best, minus infinity if a right label is impossible.

    Raises:
        ValueError: There is no query, the shapes do not agree, a reference is no label, or a score is NaN or infinity.
    """
    logprobs_QK, references_Q = np.asarray(logprobs_QK, dtype=np.float64), np.asarray(references_Q)
    if logprobs_QK.ndim != 2 or 0 in logprobs_QK.shape or references_Q.shape != logprobs_QK.shape[:1]:
        raise ValueError(
            f"there must be scores [queries, labels] and one reference for each query, got shapes "
            f"{logprobs_QK.shape} and {references_Q.shape}"
        )
    num_labels = logprobs_QK.shape[1]
    if not ((references_Q >= 0) & (references_Q < num_labels)).all():
        raise ValueError(f"a reference is not one of the labels 0 to {num_labels - 1}")
    best_Q1 = logprobs_QK.max(axis=1, keepdims=True)
    if not np.isfinite(best_Q1).all():
        raise ValueError("a score is NaN or infinity, or all labels of a query are impossible")
    shifted_QK = logprobs_QK - best_Q1
    right_Q = np.take_along_axis(shifted_QK, references_Q[:, None], axis=1)[:, 0]
    return float((right_Q - np.log(np.exp(shifted_QK).sum(axis=1))).mean())


def choose_sets(scores_C: np.ndarray | Sequence[float], groups_C: np.ndarray | Sequence[int]) -> np.ndarray:
    """
    Keeps of each group of candidate sets the one with the greatest score.

    Args:
        scores_C: Score of each of C candidates, shape (C,), such as [`mean_label_loglikelihood`] on a sample that is
            not what the sets are tested on.
        groups_C: Group of each candidate, shape (C,).

    Returns:
        One candidate index for each group, shape (G,), by ascending group; of equal scores the earlier candidate.

    Raises:
        UserError: A score is NaN.
        ValueError: There is no candidate, or the shapes do not agree.
    """
    scores_C, groups_C = np.asarray(scores_C, dtype=np.float64), np.asarray(groups_C)
    if scores_C.ndim != 1 or not len(scores_C) or groups_C.shape != scores_C.shape:
        raise ValueError(f"each candidate needs a score and a group, got shapes {scores_C.shape} and {groups_C.shape}")
    if np.isnan(scores_C).any():
        raise UserError(f"Candidate set {int(np.isnan(scores_C).argmax())} has no score (NaN): it cannot be compared.")
    # Greatest score first, and the earlier of equal ones: then the first of each group.
    order_C = np.lexsort((-scores_C, groups_C))
    _, first_G = np.unique(groups_C[order_C], return_index=True)
    return order_C[first_G]
