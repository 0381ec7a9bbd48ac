# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Vote-k against the plain formulation of its paper."""

from fractions import Fraction

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.selection import select_vote_k, vote_k
from ddg_hf.selection.random import random_half


@pytest.fixture
def embeddings_NH():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(60, 5)) + 0.3) * rng.uniform(0.1, 10, (60, 1))


def plain_vote_k(embeddings_NH, k, num_neighbours):
    """A graph in dictionaries, scored anew and without rounding at every step."""
    similarity = {
        (u, v): x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        for u, x in enumerate(embeddings_NH)
        for v, y in enumerate(embeddings_NH)
    }
    rows = range(len(embeddings_NH))
    edges = {}
    for u in rows:
        others = sorted((v for v in rows if v != u), key=lambda v, u=u: -similarity[u, v])
        edges[u] = set(others[:num_neighbours])
    chosen = []
    while len(chosen) < k:
        scores = {
            v: sum(Fraction(1, 10 ** len(edges[u] & set(chosen))) for u in rows if u not in chosen and v in edges[u])
            for v in rows
            if v not in chosen
        }
        best = max(scores.values()) * (1 - Fraction(1, 10**9))
        chosen.append(next(v for v, score in scores.items() if score >= best))
    return chosen


@pytest.mark.parametrize("num_neighbours", [1, 4, 20, 59])
@pytest.mark.parametrize("k", [1, 12, 60])
def test_selection_equals_the_plain_formulation(embeddings_NH, k, num_neighbours):
    expected = plain_vote_k(embeddings_NH, k, num_neighbours)
    assert select_vote_k(embeddings_NH, k, num_neighbours=num_neighbours).tolist() == expected


def test_number_of_neighbours_is_the_share_of_the_paper(embeddings_NH, monkeypatch):
    assert select_vote_k(embeddings_NH, 9).tolist() == plain_vote_k(embeddings_NH, 9, 60 // 20)
    monkeypatch.setattr(vote_k, "NUM_NEIGHBOURS", 4)
    monkeypatch.setattr(vote_k, "POOL_SIZE", 30)
    assert select_vote_k(embeddings_NH, 9).tolist() == plain_vote_k(embeddings_NH, 9, 4)
    assert len(select_vote_k(embeddings_NH[:2], 2)) == 2 and select_vote_k(embeddings_NH[:1], 1).tolist() == [0]


def test_one_row_of_every_cluster_before_a_second_one():
    """Three clusters of different sizes: the votes of the greatest are spent on its first row."""
    rng = np.random.default_rng(0)
    sizes = [30, 20, 12]
    embeddings_NH = np.concatenate([np.eye(3)[i] + 0.05 * rng.normal(size=(n, 3)) for i, n in enumerate(sizes)])
    clusters_N = np.repeat(np.arange(3), sizes)
    assert clusters_N[select_vote_k(embeddings_NH, 3, num_neighbours=11)].tolist() == [0, 1, 2]


def test_a_seed_draws_a_pool(embeddings_NH, monkeypatch):
    selections = [select_vote_k(embeddings_NH, 5, seed, num_neighbours=4).tolist() for seed in range(5)]
    for seed, chosen in enumerate(selections):
        pool = random_half(60, 5, seed)
        assert len(pool) == 30
        assert chosen == pool[plain_vote_k(embeddings_NH[pool], 5, 4)].tolist()
    assert len({tuple(sorted(chosen)) for chosen in selections}) == 5
    assert sorted(select_vote_k(embeddings_NH, 60, seed=0)) == list(range(60))
    monkeypatch.setattr(vote_k, "POOL_SIZE", 20)
    pool = random_half(60, 5, 0, max_rows=20)
    assert len(pool) == 20 and set(select_vote_k(embeddings_NH, 5, 0, num_neighbours=4)) <= set(pool.tolist())


def test_equal_rows_do_not_vote_for_themselves():
    """Four times the same row: with two neighbours each votes for the earliest others."""
    neighbours = vote_k._neighbours(np.array([[1.0, 1.0]] * 4), 2)
    assert [sorted(row) for row in neighbours.tolist()] == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_mistakes_are_named(embeddings_NH):
    with pytest.raises(UserError, match="61 rows from 60"):
        select_vote_k(embeddings_NH, 61)
    with pytest.raises(UserError, match="At least one"):
        select_vote_k(embeddings_NH, 0, seed=1)
    for number in (0, 60):
        with pytest.raises(ValueError, match="1 to 59 neighbours"):
            select_vote_k(embeddings_NH, 5, num_neighbours=number)
    embeddings_NH[3, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        select_vote_k(embeddings_NH, 5)
