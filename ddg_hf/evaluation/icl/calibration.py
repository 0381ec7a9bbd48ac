# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Corrections of a language model's bias towards some labels. Pure numpy.

Shape letters: Q queries; K labels.
"""

import numpy as np


def log_normalize(logprobs_QK: np.ndarray) -> np.ndarray:
    """Returns log-probabilities whose exponentials sum to 1 over the labels of each query; shape [queries, labels]."""
    logprobs_QK = np.asarray(logprobs_QK, dtype=np.float64)
    highest_Q1 = logprobs_QK.max(axis=1, keepdims=True)
    return logprobs_QK - highest_Q1 - np.log(np.exp(logprobs_QK - highest_Q1).sum(axis=1, keepdims=True))


def ties(scores_QK: np.ndarray) -> np.ndarray:
    """
    Returns for each query, shape [Q], whether its two best labels have exactly the same score; of them the one with
    the lower id is predicted (`argmax`). A row of NaN is no tie.
    """
    scores_QK = np.asarray(scores_QK)
    if scores_QK.shape[1] < 2:
        return np.zeros(len(scores_QK), dtype=bool)
    best_Q2 = np.sort(scores_QK, axis=1)[:, -2:]  # NaN sorts last, and equals nothing
    return best_Q2[:, 0] == best_Q2[:, 1]


def length_normalize(logprobs_QK: np.ndarray, label_tokens_K: np.ndarray) -> np.ndarray:
    """
    Divides each label's log-probability by its number of tokens, so that long label names are not at a disadvantage.

    Args:
        logprobs_QK: Log-probability of all tokens of each label, nats, shape [queries, labels].
        label_tokens_K: Number of tokens of each label that were scored.

    Returns:
        Mean log-probability of a token of each label, shape [queries, labels]; no longer those of a distribution.
    """
    return np.asarray(logprobs_QK, dtype=np.float64) / np.maximum(np.asarray(label_tokens_K), 1)


def contextual_calibrate(logprobs_QK: np.ndarray, prior_K: np.ndarray) -> np.ndarray:
    """
    Contextual calibration: divides each label's probability by its probability behind queries without content.

    Unlike batch calibration it depends on no other query; but the correction is no better than those queries are free
    of content. Zhao et al., "Calibrate Before Use: Improving Few-Shot Performance of Language Models", ICML 2021,
    section 5: the diagonal W with b = 0.

    Args:
        logprobs_QK: Log-probabilities of the labels in nats, shape [queries, labels].
        prior_K: Log of the mean probability of each label behind content-free queries, shape [K]; or [Q, K], where
            every query has a prompt of its own. A constant in it changes nothing.

    Returns:
        Calibrated log-probabilities of shape [queries, labels], normalised over the labels.
    """
    return log_normalize(log_normalize(logprobs_QK) - np.asarray(prior_K, dtype=np.float64))


def batch_calibrate(logprobs_QK: np.ndarray) -> np.ndarray:
    """
    Batch Calibration: divides each label's probability by its mean over the queries.

    The mean is what the prompt alone makes of the labels, whatever the query. It is taken over the queries at hand
    (no references are used), so a calibrated prediction depends on which other queries are scored with it, and a
    sample with very unequal classes is pulled towards equal ones. With a single query every label comes out equal.

    Zhou et al., "Batch Calibration: Rethinking Calibration for In-Context Learning and Prompt Engineering", ICLR 2024,
    section 3.

    Args:
        logprobs_QK: Log-probabilities of the labels in nats, shape [queries, labels]; normalised here first.

    Returns:
        Calibrated log-probabilities of the same shape, normalised over the labels.
    """
    normalized_QK = log_normalize(logprobs_QK)
    # the mean of the probabilities in log space: a label may be so unlikely that its exponential is 0
    highest_1K = normalized_QK.max(axis=0, keepdims=True)
    mean_1K = highest_1K + np.log(np.exp(normalized_QK - highest_1K).mean(axis=0, keepdims=True))
    return log_normalize(normalized_QK - mean_1K)
