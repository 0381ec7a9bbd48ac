# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""k-DPP: drawn sets against the exhaustive distribution, greedy sets against brute force."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import linalg, stats

from ddg_hf.errors import UserError
from ddg_hf.selection import select_dpp, select_dpp_greedy, select_random
from ddg_hf.selection.dpp import _draw_eigenvectors


def embeddings(num_rows, num_dimensions, seed=0):
    """Rows of different lengths around a common direction, as those of texts are."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num_rows, num_dimensions)) + 0.7) * rng.uniform(0.1, 10, (num_rows, 1))


def cosine_kernel(embeddings_NH):
    units_NH = embeddings_NH / np.linalg.norm(embeddings_NH, axis=1, keepdims=True)
    kernel_NN = units_NH @ units_NH.T
    np.fill_diagonal(kernel_NN, 1.0)
    return kernel_NN


def exhaustive_distribution(embeddings_NH, k):
    kernel_NN = cosine_kernel(embeddings_NH)
    sets = list(itertools.combinations(range(len(embeddings_NH)), k))
    volumes = np.array([np.linalg.det(kernel_NN[np.ix_(rows, rows)]) for rows in sets])
    return sets, volumes / volumes.sum()


@pytest.mark.parametrize("num_rows, num_dimensions, k", [(6, 4, 3), (7, 10, 2), (5, 4, 4), (6, 3, 1)])
def test_sets_are_drawn_in_proportion_to_their_determinant(num_rows, num_dimensions, k):
    embeddings_NH = embeddings(num_rows, num_dimensions)
    sets, probabilities = exhaustive_distribution(embeddings_NH, k)
    drawn = [tuple(sorted(select_dpp(embeddings_NH, k, seed))) for seed in range(3000)]
    counts = np.array([drawn.count(rows) for rows in sets])
    assert counts.sum() == 3000
    assert stats.chisquare(counts, 3000 * probabilities).pvalue > 0.01
    if k > 1:
        assert stats.chisquare(counts).pvalue < 1e-6, "the test tells the distribution from a uniform one"


def test_a_set_depends_on_the_seed_alone_and_on_no_length():
    embeddings_NH = embeddings(40, 8)
    selections = [select_dpp(embeddings_NH, 5, seed).tolist() for seed in range(20)]
    lengths_N1 = 2.0 ** np.random.default_rng(0).integers(-5, 5, (40, 1))  # powers of two: no rounding
    assert selections == [select_dpp(embeddings_NH * lengths_N1, 5, seed).tolist() for seed in range(20)]
    assert len({tuple(sorted(rows)) for rows in selections}) > 15
    assert all(len(set(rows)) == 5 for rows in selections)


def test_sets_span_more_than_random_ones():
    embeddings_NH = embeddings(200, 30)
    kernel_NN = cosine_kernel(embeddings_NH)

    def volume(rows):
        return np.linalg.slogdet(kernel_NN[np.ix_(rows, rows)])[1]

    drawn = np.mean([volume(select_dpp(embeddings_NH, 15, seed)) for seed in range(20)])
    chance = [volume(select_random(200, 15, seed)) for seed in range(20)]
    assert drawn > np.mean(chance) + 2 * np.std(chance) / np.sqrt(20)
    assert volume(select_dpp_greedy(embeddings_NH, 15)) > max(*chance, drawn)


def test_eigenvectors_of_values_beyond_floats():
    """Products of 60 eigenvalues around e^-60 are below, and around e^60 above, every float."""
    for scale in (-60.0, 0.0, 60.0):
        log_values_R = np.log(np.random.default_rng(0).uniform(0.5, 2.0, 90)) + scale
        taken = [_draw_eigenvectors(log_values_R, 60, np.random.default_rng(seed)) for seed in range(50)]
        assert all(len(set(rows)) == 60 for rows in taken)
        # each as often as not: the choice is not the last ones only
        counts_R = np.bincount(np.concatenate(taken), minlength=90)
        assert counts_R.min() > 5 and counts_R.max() < 50
    # not at all if it is 0, always if it is needed
    assert _draw_eigenvectors(np.array([-np.inf, 0.0, 0.0]), 2, np.random.default_rng(0)) == [2, 1]


@pytest.mark.parametrize("k", [1, 2, 6])
def test_greedy_equals_brute_force(k):
    embeddings_NH = embeddings(25, 7)
    kernel_NN = cosine_kernel(embeddings_NH)
    chosen = []
    for _ in range(k):
        gains = {
            row: np.linalg.slogdet(kernel_NN[np.ix_([*chosen, row], [*chosen, row])])[1]
            for row in range(25)
            if row not in chosen
        }
        chosen.append(max(gains, key=gains.get))
    assert select_dpp_greedy(embeddings_NH, k).tolist() == chosen


def test_greedy_is_a_pivoted_factorisation():
    """LAPACK's QR with column pivoting takes the column farthest from the span of those before. It starts at row 0."""
    embeddings_NH = embeddings(50, 12, seed=1)
    units_NH = embeddings_NH / np.linalg.norm(embeddings_NH, axis=1, keepdims=True)
    units_NH[0] *= 1 + 1e-9
    _, _, pivots = linalg.qr(units_NH.T, mode="economic", pivoting=True)
    assert select_dpp_greedy(embeddings_NH, 12).tolist() == pivots[:12].tolist()


@pytest.mark.parametrize("select", [lambda rows_NH, k: select_dpp(rows_NH, k, 0), select_dpp_greedy])
def test_no_more_rows_than_dimensions(select):
    flat_NH = embeddings(20, 3) @ np.random.default_rng(0).normal(size=(3, 9))
    assert len(set(select(flat_NH, 3))) == 3
    with pytest.raises(UserError, match="span no more than 3 dimensions"):
        select(flat_NH, 4)
    repeated_NH = np.repeat(np.eye(4), 5, axis=0)
    assert sorted(select(repeated_NH, 4) // 5) == [0, 1, 2, 3]
    with pytest.raises(UserError, match="no more than 0 dimensions"):
        select(np.zeros((5, 3)), 1)


def test_a_row_without_length_is_not_chosen():
    embeddings_NH = embeddings(6, 4)
    embeddings_NH[[0, 3]] = 0.0
    assert select_dpp_greedy(embeddings_NH, 4)[0] == 1
    for seed in range(20):
        assert set(select_dpp(embeddings_NH, 4, seed)) == {1, 2, 4, 5}


def test_never_rows_times_rows():
    embeddings_NH = embeddings(4000, 8)
    tracemalloc.start()
    select_dpp(embeddings_NH, 5, 0)
    select_dpp_greedy(embeddings_NH, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 8 / 50
