# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Batch calibration against its formula, and what it is for: a bias towards a label goes away."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from ddg_hf.evaluation.icl import batch_calibrate, log_normalize


@pytest.fixture
def logprobs_QK():
    return np.random.default_rng(0).normal(-5, 2, (40, 3))


def test_log_normalize(logprobs_QK):
    np.testing.assert_allclose(log_normalize(logprobs_QK), log_softmax(logprobs_QK, axis=1))


def test_batch_calibrate_is_probability_over_its_mean(logprobs_QK):
    probabilities_QK = softmax(logprobs_QK, axis=1)
    ratio_QK = probabilities_QK / probabilities_QK.mean(axis=0)
    expected_QK = ratio_QK / ratio_QK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(batch_calibrate(logprobs_QK)), expected_QK)


def test_total_probability_of_the_labels_does_not_matter(logprobs_QK):
    shifted_QK = logprobs_QK - np.arange(40)[:, None]
    np.testing.assert_allclose(batch_calibrate(shifted_QK), batch_calibrate(logprobs_QK))


def test_constant_bias_is_removed():
    rng = np.random.default_rng(1)
    references_Q = np.arange(100) % 2
    evidence_QK = rng.normal(0, 0.1, (100, 2))
    evidence_QK[np.arange(100), references_Q] += 1
    biased_QK = log_normalize(evidence_QK) + [0.0, 5.0]
    assert (biased_QK.argmax(1) == references_Q).mean() == 0.5
    assert (batch_calibrate(biased_QK).argmax(1) == references_Q).mean() > 0.95


def test_very_unlikely_label_stays_finite():
    logprobs_QK = np.array([[0.0, -2000.0], [0.0, -1990.0]])
    assert np.isfinite(batch_calibrate(logprobs_QK)).all()
    assert batch_calibrate(logprobs_QK).argmax(1).tolist() == [0, 1]
