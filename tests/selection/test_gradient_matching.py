# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Selection by gradients that are never formed, against one that forms them all."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from ddg_hf.errors import UserError
from ddg_hf.losses.gradient_matching import head_gradient
from ddg_hf.selection import select_by_gradient, select_random
from ddg_hf.selection.gradient_matching import mean_gradient
from ddg_hf.selection.random import random_half


def factors(num_snapshots=2, num_rows=30, num_labels=3, num_features=5, seed=0):
    """Residuals and features of the rows of label 1, as a learner would have them."""
    rng = np.random.default_rng(seed)
    residuals, features = [], []
    for _ in range(num_snapshots):
        features_NH = rng.normal(size=(num_rows, num_features)) + 0.5
        logits_NK = features_NH @ rng.normal(size=(num_features, num_labels))
        probabilities_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
        residuals.append(probabilities_NK - np.eye(num_labels)[1])
        features.append(features_NH)
    return residuals, features


def all_gradients(residuals_NK, features_NH, bias=True):
    """Every row's gradient, shape (N, P), flattened as `head_gradient` does."""
    weights_NP = np.einsum("nk,nh->nkh", residuals_NK, features_NH).reshape(len(features_NH), -1)
    return np.concatenate([weights_NP, residuals_NK], axis=1) if bias else weights_NP


def cosine(gradients_MNP, targets_MP, rows):
    """Mean over snapshots of the cosine of the mean gradient of the rows and the target."""
    cosines = []
    for gradients_NP, target_P in zip(gradients_MNP, targets_MP, strict=True):
        mean_P = gradients_NP[rows].mean(axis=0)
        cosines.append(mean_P @ target_P / np.linalg.norm(mean_P) / np.linalg.norm(target_P))
    return np.mean(cosines)


def plain_selection(gradients_MNP, targets_MP, k, candidates=None):
    """Tries every row and keeps the one with which the cosine is greatest."""
    chosen = []
    for _ in range(k):
        rows = range(len(gradients_MNP[0])) if candidates is None else candidates
        cosines = {row: cosine(gradients_MNP, targets_MP, [*chosen, row]) for row in rows if row not in chosen}
        chosen.append(max(cosines, key=cosines.get))
    return chosen


@pytest.mark.parametrize("k", [1, 2, 7, 30])
@pytest.mark.parametrize("num_snapshots", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_selection_equals_the_one_that_forms_the_gradients(k, num_snapshots, bias):
    residuals, features = factors(num_snapshots)
    gradients = [all_gradients(*pair, bias) for pair in zip(residuals, features, strict=True)]
    targets = [gradients_NP.mean(axis=0) for gradients_NP in gradients]
    assert select_by_gradient(residuals, features, k, bias=bias).tolist() == plain_selection(gradients, targets, k)


def test_every_snapshot_counts():
    residuals, features = factors(3)
    alone = [tuple(select_by_gradient([r], [f], 5)) for r, f in zip(residuals, features, strict=True)]
    assert len({*alone, tuple(select_by_gradient(residuals, features, 5))}) == 4


def test_gradients_are_those_of_a_linear_head():
    """Target and residuals from torch: the cosine reached is that of the gradients that the trainer sees."""
    torch.manual_seed(0)
    head, features_NH = nn.Linear(6, 4).double(), torch.randn(40, 6, dtype=torch.double)
    labels_N = torch.full((40,), 2)
    with torch.no_grad():
        residuals_NK = head(features_NH).softmax(dim=1) - torch.eye(4, dtype=torch.double)[2]
    teacher_P = head_gradient(head, features_NH[:9], labels_N[:9], torch.full((9,), 1 / 9, dtype=torch.double))
    chosen = select_by_gradient([residuals_NK], [features_NH], 4, targets_MP=[teacher_P])
    gradients_NP = np.stack(
        [head_gradient(head, features_NH[i : i + 1], labels_N[i : i + 1], torch.ones(1)).numpy() for i in range(40)]
    )
    assert chosen.tolist() == plain_selection([gradients_NP], [teacher_P.numpy()], 4)
    np.testing.assert_allclose(mean_gradient(residuals_NK.numpy(), features_NH.numpy()), gradients_NP.mean(axis=0))


def test_float32_chooses_as_well():
    residuals, features = factors(2, num_rows=300, num_features=40)
    gradients = [all_gradients(*pair) for pair in zip(residuals, features, strict=True)]
    targets = [gradients_NP.mean(axis=0) for gradients_NP in gradients]
    exact = select_by_gradient(residuals, features, 10)
    narrow = select_by_gradient([r.astype("f4") for r in residuals], [f.astype("f4") for f in features], 10)
    assert cosine(gradients, targets, narrow) == pytest.approx(cosine(gradients, targets, exact), abs=1e-4)
    chance = [cosine(gradients, targets, select_random(300, 10, seed)) for seed in range(20)]
    assert cosine(gradients, targets, narrow) > max(chance) + 0.02


def test_a_seed_draws_candidates_but_not_the_target():
    residuals, features = factors()
    gradients = [all_gradients(*pair) for pair in zip(residuals, features, strict=True)]
    targets = [gradients_NP.mean(axis=0) for gradients_NP in gradients]
    selections = [select_by_gradient(residuals, features, 4, seed=seed).tolist() for seed in range(5)]
    for seed, chosen in enumerate(selections):
        assert chosen == plain_selection(gradients, targets, 4, random_half(30, 4, seed).tolist())
    assert len({tuple(chosen) for chosen in selections}) == 5
    assert sorted(select_by_gradient(residuals, features, 30, seed=0)) == list(range(30))


def test_equal_rows_are_taken_from_the_first_on():
    residuals, features = factors(num_rows=6)
    twice = [np.concatenate([r, r]) for r in residuals], [np.concatenate([f, f]) for f in features]
    first, second = select_by_gradient(*twice, 2)
    assert first < 6 and select_by_gradient(residuals, features, 1) == first
    assert second < 6 or second == first + 6


def test_gradients_that_cancel_are_no_direction():
    """Rows 1 and 2 are opposite, row 3 has no gradient at all."""
    residuals_NK = np.array([[1.0, 0.0], [2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
    features_NH = np.ones((4, 3))
    target_P = mean_gradient(residuals_NK[:1], features_NH[:1])
    for rows, expected in (([0, 1, 2, 3], [0, 1, 2, 3]), ([1, 2, 3], [1, 3, 2]), ([2, 3, 0], [0, 3, 2])):
        chosen = select_by_gradient([residuals_NK[rows]], [features_NH[rows]], len(rows), [target_P])
        assert [rows[i] for i in chosen] == expected
    assert select_by_gradient([residuals_NK[2:]], [features_NH[2:]], 1, [target_P]).tolist() == [1]


def test_no_matrix_of_all_gradients():
    residuals, features = factors(1, num_rows=2000, num_labels=20, num_features=100)
    tracemalloc.start()
    select_by_gradient(residuals, features, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2000 * 20 * 101 * 8 / 10


def test_mistakes_are_named():
    residuals, features = factors()
    for k, match in ((0, "At least one"), (31, "31 rows from 30")):
        with pytest.raises(UserError, match=match):
            select_by_gradient(residuals, features, k)
    with pytest.raises(UserError, match="residuals .* not finite"):
        select_by_gradient([np.full((30, 3), np.nan)] * 2, features, 3)
    with pytest.raises(UserError, match="features .* not finite"):
        select_by_gradient(residuals, [np.full((30, 5), np.inf)] * 2, 3)
    with pytest.raises(ValueError, match="not of 2 and 1"):
        select_by_gradient(residuals, features[:1], 3)
    with pytest.raises(ValueError, match="same 30 rows"):
        select_by_gradient(residuals, [features[0], features[1][:-1]], 3)
    with pytest.raises(ValueError, match="15 values .* without"):
        select_by_gradient(residuals, features, 3, targets_MP=np.ones((2, 18)), bias=False)
    with pytest.raises(ValueError, match="zero"):
        select_by_gradient(residuals, features, 3, targets_MP=np.zeros((2, 18)))
