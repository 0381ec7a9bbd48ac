# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations that are rows of the training split."""

import numpy as np
import pytest

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import draw_sets
from ddg_hf.selection import select_herding

SPEC = get_task("sst2")
ROWS = [((f"row {i}",), int(i % 5 == 0)) for i in range(100)]


def counts(members):
    return np.bincount([label for _, label in members.rows], minlength=2).tolist()


def test_balanced():
    sets = draw_sets("balanced", ROWS, SPEC, 7, 4, seed=0)
    assert [s.set_id for s in sets] == [0, 1, 2, 3]
    for members in sets:
        assert counts(members) == [7, 7] and len(set(members.rows)) == 14
    assert len({members.rows for members in sets}) == 4
    assert draw_sets("balanced", ROWS, SPEC, 7, 2, seed=0) == sets[:2]
    assert draw_sets("balanced", ROWS, SPEC, 7, 2, seed=1) != sets[:2]


def test_random_draws_classes_as_they_fall():
    sets = draw_sets("random", ROWS, SPEC, 5, 200, seed=0)
    assert all(len(set(members.rows)) == 10 for members in sets)
    minority = [counts(members)[1] for members in sets]
    assert np.mean(minority) == pytest.approx(2, abs=0.3)
    assert min(minority) == 0
    members = sets[0]
    orders = [members.in_order(5, 2, seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(members.rows)


def test_k_centers_takes_the_middle_of_clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 100, (6, 4))
    rows, embeddings = [], []
    for label in range(2):
        for cluster in range(3):
            centre = centres[3 * label + cluster]
            offsets = rng.normal(0, 1, (5, 4))
            offsets -= offsets.mean(axis=0)
            for i, offset in enumerate([*offsets, np.zeros(4)]):
                rows.append(((f"{label} {cluster} {'middle' if i == 5 else 'edge'}",), label))
                embeddings.append(centre + offset)
    seen = []

    def embed(texts):
        seen.append(texts)
        return np.array(embeddings)

    sets = draw_sets("k_centers", rows, SPEC, 3, 8, seed=0, embed=embed)
    middles = {(f"{label} {cluster} middle",) for label in range(2) for cluster in range(3)}
    assert middles in [{texts for texts, _ in members.rows} for members in sets]
    assert all(counts(members) == [3, 3] for members in sets)
    assert seen == [[texts for texts, _ in rows]]


def test_zero_shot():
    (members,) = draw_sets("zero_shot", ROWS, SPEC, 5, 3, seed=0)
    assert members.rows == () and members.in_order(5, 2, seed=0) == []


def test_herding_follows_the_mean_of_each_class():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(ROWS), 6)) + 10 * np.array([[label] for _, label in ROWS])
    sets = draw_sets("herding", ROWS, SPEC, 4, 3, seed=0, embed=lambda texts: embeddings)
    (members,) = sets  # nothing is drawn
    assert counts(members) == [4, 4] and members.ordered
    for label in range(2):
        ours = np.flatnonzero([y == label for _, y in ROWS])
        chosen = [int(texts[0].split()[1]) for texts, y in members.rows if y == label]
        assert chosen == ours[select_herding(embeddings[ours], 4)].tolist()
    assert draw_sets("herding", ROWS, SPEC, 4, 1, seed=5, embed=lambda texts: embeddings) == sets


@pytest.mark.parametrize("kind", ["balanced", "k_centers", "herding"])
def test_too_few_rows_of_a_class(kind):
    with pytest.raises(UserError, match="class 'positive' has 20 rows, but 21 are needed"):
        draw_sets(kind, ROWS, SPEC, 21, 1, seed=0, embed=lambda rows: np.zeros((len(rows), 2)))


def test_bad_draws():
    with pytest.raises(UserError, match="102 demonstrations are needed, but there are 100"):
        draw_sets("random", ROWS, SPEC, 51, 1, seed=0)
    with pytest.raises(UserError, match="Did you mean 'balanced'"):
        draw_sets("balance", ROWS, SPEC, 5, 1, seed=0)
    with pytest.raises(UserError, match="at least 1"):
        draw_sets("balanced", ROWS, SPEC, 0, 1, seed=0)
    with pytest.raises(UserError, match="needs an encoder"):
        draw_sets("k_centers", ROWS, SPEC, 1, 1, seed=0)
    with pytest.raises(UserError, match="unknown demonstrations 'bm25'"):  # chosen for each query: no set
        draw_sets("bm25", ROWS, SPEC, 1, 1, seed=0)
