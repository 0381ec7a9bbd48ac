# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Choice of sets by log-likelihood: against torch, and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.selection import choose_sets, mean_label_loglikelihood


@pytest.mark.parametrize("offset", [0.0, -1000.0, 1000.0])
def test_loglikelihood_equals_torch(offset):
    rng = np.random.default_rng(0)
    logprobs_QK, references_Q = rng.normal(-20, 5, (50, 4)) + offset, rng.integers(4, size=50)
    expected = -F.cross_entropy(torch.tensor(logprobs_QK), torch.tensor(references_Q))
    assert mean_label_loglikelihood(logprobs_QK, references_Q) == pytest.approx(expected.item(), rel=1e-9)


def test_loglikelihood_does_not_depend_on_what_all_labels_have_in_common():
    rng = np.random.default_rng(0)
    logprobs_QK, references_Q = rng.normal(size=(9, 3)), rng.integers(3, size=9)
    other_QK = logprobs_QK + rng.normal(size=(9, 1))
    expected = mean_label_loglikelihood(logprobs_QK, references_Q)
    assert mean_label_loglikelihood(other_QK, references_Q) == pytest.approx(expected)


def test_impossible_labels():
    scores_QK = np.array([[0.0, -np.inf], [-1.0, -1.0]])
    assert mean_label_loglikelihood(scores_QK, [0, 1]) == pytest.approx(-np.log(2) / 2)
    assert mean_label_loglikelihood(scores_QK, [1, 1]) == -np.inf


@pytest.mark.parametrize("scores", [[[0.0, np.nan]], [[0.0, np.inf]], [[-np.inf, -np.inf]]])
def test_scores_that_are_none(scores):
    with pytest.raises(ValueError, match="NaN"):
        mean_label_loglikelihood(scores, [0])


@pytest.mark.parametrize(
    "shape, references, match",
    [((0, 2), [], "shapes"), ((2, 2), [0], "shapes"), ((2,), [0, 0], "shapes"), ((2, 2), [0, 2], "labels 0 to 1"),
     ((2, 2), [-1, 0], "labels 0 to 1")],
)  # fmt: skip
def test_references_that_do_not_fit(shape, references, match):
    with pytest.raises(ValueError, match=match):
        mean_label_loglikelihood(np.zeros(shape), references)


def test_the_best_of_each_group():
    scores_C = [-0.5, -0.2, -0.9, -0.1, -0.2, -np.inf]
    assert choose_sets(scores_C, [7, 7, 3, 3, 7, 5]).tolist() == [3, 5, 1]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_choice_equals_a_dictionary(candidates):
    best = {}
    for index, (score, group) in enumerate(candidates):
        if group not in best or score > candidates[best[group]][0]:
            best[group] = index
    scores, groups = zip(*candidates, strict=True)
    assert choose_sets(scores, groups).tolist() == [best[group] for group in sorted(best)]


def test_sets_without_a_score():
    with pytest.raises(UserError, match="set 1 has no score"):
        choose_sets([0.0, np.nan], [0, 1])
    for scores, groups in (([], []), ([1.0, 2.0], [0]), ([[1.0]], [[0]])):
        with pytest.raises(ValueError, match="shapes"):
            choose_sets(scores, groups)
