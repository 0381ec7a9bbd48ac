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
