# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Calibrations against their formulas, and what they are for: a bias towards a label goes away."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from ddg_hf.evaluation.icl import batch_calibrate, log_normalize
from ddg_hf.evaluation.icl.calibration import (
    contextual_calibrate,
    length_normalize,
    ties,
)


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


def test_contextual_calibration_is_affine_with_the_inverse_prior(logprobs_QK):
    """softmax(W p + b) of Zhao et al. is its argmax for W = diag(p_cf)^-1 and b = 0; here it is normalised."""
    prior_K = softmax(np.random.default_rng(1).normal(-4, 2, (3, 3)), axis=1).mean(axis=0)
    scaled_QK = softmax(logprobs_QK, axis=1) @ np.diag(1 / prior_K)
    expected_QK = scaled_QK / scaled_QK.sum(axis=1, keepdims=True)
    found_QK = contextual_calibrate(logprobs_QK, np.log(prior_K))
    np.testing.assert_allclose(np.exp(found_QK), expected_QK)
    np.testing.assert_allclose(contextual_calibrate(logprobs_QK, np.log(prior_K) - 7), found_QK)


def test_contextual_calibration_of_each_prompt(logprobs_QK):
    prior_QK = np.random.default_rng(1).normal(size=(40, 3))
    rows = [
        contextual_calibrate(row_K[None], prior_K)[0] for row_K, prior_K in zip(logprobs_QK, prior_QK, strict=True)
    ]
    np.testing.assert_allclose(contextual_calibrate(logprobs_QK, prior_QK), rows)


def test_query_without_content_comes_out_even():
    prior_K = np.log([0.7, 0.2, 0.1])
    np.testing.assert_allclose(np.exp(contextual_calibrate(prior_K[None] - 3, prior_K)), [[1 / 3] * 3])


def test_length_normalization_is_the_mean_over_the_tokens():
    assert length_normalize(np.array([[-6.0, -4.0]]), np.array([3, 1])).tolist() == [[-2.0, -4.0]]


def test_ties_are_counted_and_the_lower_id_wins():
    scores_QK = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [1.0, 0.0, 0.0], [np.nan, np.nan, np.nan]])
    assert ties(scores_QK).tolist() == [True, True, False, False]
    assert scores_QK[:3].argmax(1).tolist() == [0, 1, 0]
    assert not ties(np.zeros((5, 1))).any()
