# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from sklearn.datasets import make_blobs

from ddg_hf.errors import UserError
from ddg_hf.selection import (
    k_means_clusters,
    select_by_generator_loss,
    select_herding,
    select_k_centers,
    select_random,
)


@pytest.fixture
def embeddings_NH():
    return np.random.default_rng(0).normal(size=(60, 5)) + 3.0


def plain_herding(embeddings_NH, k):
    """Tries every row and keeps the one whose addition brings the mean closest, in so many words."""
    chosen = []
    for _ in range(k):
        gaps = {
            row: np.linalg.norm(embeddings_NH[[*chosen, row]].mean(axis=0) - embeddings_NH.mean(axis=0))
            for row in range(len(embeddings_NH))
            if row not in chosen
        }
        chosen.append(min(gaps, key=gaps.get))
    return chosen


@pytest.mark.parametrize("k", [1, 2, 7, 60])
def test_herding_equals_the_plain_formulation(embeddings_NH, k):
    assert select_herding(embeddings_NH, k).tolist() == plain_herding(embeddings_NH, k)


def test_herding_is_welling_on_rows_of_equal_norm(embeddings_NH):
    embeddings_NH = embeddings_NH - embeddings_NH.mean(axis=0)
    embeddings_NH /= np.linalg.norm(embeddings_NH, axis=1, keepdims=True)
    mean_H = embeddings_NH.mean(axis=0)
    weights_H, expected = mean_H.copy(), []
    for _ in range(10):
        scores_N = embeddings_NH @ weights_H
        scores_N[expected] = -np.inf
        expected.append(int(np.argmax(scores_N)))
        weights_H += mean_H - embeddings_NH[expected[-1]]
    assert select_herding(embeddings_NH, 10).tolist() == expected


def test_herding_follows_the_mean_better_than_chance(embeddings_NH):
    def gap(rows):
        return np.linalg.norm(embeddings_NH[rows].mean(axis=0) - embeddings_NH.mean(axis=0))

    assert gap(select_herding(embeddings_NH, 10)) < min(gap(select_random(60, 10, seed)) for seed in range(20))


def test_k_centers_takes_one_row_per_blob_nearest_to_its_mean():
    centers = 20.0 * np.eye(4)
    embeddings_NH, blobs_N = make_blobs(n_samples=80, centers=centers, cluster_std=0.5, random_state=0)
    expected = []
    for blob in range(4):
        rows = [row for row in range(80) if blobs_N[row] == blob]
        mean_H = embeddings_NH[rows].mean(axis=0)
        expected.append(min(rows, key=lambda row: np.linalg.norm(embeddings_NH[row] - mean_H)))
    for seed in range(3):
        # k-means++ finds blobs this far apart whatever its start.
        assert select_k_centers(embeddings_NH, 4, seed).tolist() == sorted(expected)


def test_k_centers_rows_are_nearest_in_their_clusters(embeddings_NH):
    clusters_N = k_means_clusters(embeddings_NH, 7, seed=3)
    chosen = select_k_centers(embeddings_NH, 7, seed=3)
    assert sorted(clusters_N[chosen]) == list(range(7))
    for row in chosen:
        members = np.flatnonzero(clusters_N == clusters_N[row])
        distances = np.linalg.norm(embeddings_NH[members] - embeddings_NH[members].mean(axis=0), axis=1)
        assert row == members[np.argmin(distances)]


def test_k_centers_is_determined_by_its_seed(embeddings_NH):
    selections = [tuple(select_k_centers(embeddings_NH, 5, seed)) for seed in range(6)]
    assert selections == [tuple(select_k_centers(embeddings_NH, 5, seed)) for seed in range(6)]
    assert len(set(selections)) > 1


@pytest.mark.filterwarnings("error")
def test_k_centers_with_repeated_rows_gives_distinct_indices():
    embeddings_NH = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]]), 4, axis=0)
    chosen = select_k_centers(embeddings_NH, 6, seed=0)
    assert len(set(chosen.tolist())) == 6
    # All three different rows are there.
    assert {row // 4 for row in chosen.tolist()} == {0, 1, 2}


def test_k_centers_of_everything(embeddings_NH):
    assert select_k_centers(embeddings_NH, 60, seed=0).tolist() == list(range(60))


def test_random_is_seeded_distinct_and_nested():
    chosen = select_random(50, 20, seed=1)
    assert len(set(chosen.tolist())) == 20 and set(chosen.tolist()) <= set(range(50))
    assert chosen.tolist() == select_random(50, 20, seed=1).tolist()
    assert chosen.tolist() != select_random(50, 20, seed=2).tolist()
    assert chosen[:5].tolist() == select_random(50, 5, seed=1).tolist()


def test_random_is_uniform():
    counts = np.bincount(np.concatenate([select_random(10, 3, seed) for seed in range(4000)]), minlength=10)
    # 1,200 each expected; the standard deviation is 29.
    assert np.abs(counts - 1200).max() < 150


def test_generator_loss_takes_the_lowest_and_keeps_the_order_of_ties():
    losses_N = np.array([2.0, 1.0, 3.0, 1.0, 0.5, 1.0])
    assert select_by_generator_loss(losses_N, 3).tolist() == [4, 1, 3]
    assert select_by_generator_loss(losses_N, 6).tolist() == [4, 1, 3, 5, 0, 2]


SELECTORS = {
    "random": lambda rows_NH, k: select_random(len(rows_NH), k, 0),
    "k_centers": lambda rows_NH, k: select_k_centers(rows_NH, k, 0),
    "herding": select_herding,
    "generator_loss": lambda rows_NH, k: select_by_generator_loss(rows_NH[:, 0], k),
}


@pytest.mark.parametrize("select", SELECTORS.values(), ids=SELECTORS)
def test_too_many_or_no_rows_are_refused(select, embeddings_NH):
    with pytest.raises(UserError, match=r"61 rows from 60"):
        select(embeddings_NH, 61)
    with pytest.raises(UserError, match="At least one"):
        select(embeddings_NH, 0)


@pytest.mark.parametrize("name", ["k_centers", "herding", "generator_loss"])
def test_nan_is_refused(name, embeddings_NH):
    embeddings_NH[3, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        SELECTORS[name](embeddings_NH, 5)
