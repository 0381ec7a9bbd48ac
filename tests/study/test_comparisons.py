# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Comparisons, ranks and sizes from sides that are made by hand."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.significance import holm, paired_permutation_test
from ddg_hf.evaluation.statistics import paired_difference
from ddg_hf.study.comparisons import AT_LEAST, Side, compare_sides, rank_table, sizes_needed


def side(seed, num_sets, shift=0.0, seeds=None, num_queries=150):
    """Answers to common queries; sets of one training seed have something in common."""
    rng = np.random.default_rng(seed)
    queries_Q = np.random.default_rng(0).normal(size=num_queries)
    seeds_S = np.zeros(num_sets, int) if seeds is None else np.asarray(seeds)
    of_seed = rng.normal(size=seeds_S.max() + 1)
    logits_SQ = shift + of_seed[seeds_S][:, None] + queries_Q + rng.normal(size=(num_sets, num_queries))
    return Side((logits_SQ > 0).astype(float), seeds_S, np.arange(num_queries))


def test_every_pair_with_its_interval_and_holm():
    sides = {"a": side(1, 4), "b": side(2, 6, 0.3, [0, 0, 0, 1, 1, 1]), "c": side(3, 1)}
    rows = compare_sides(sides)
    assert [(row["a"], row["b"]) for row in rows] == [("b", "a"), ("c", "a"), ("c", "b")]
    for row in rows:
        first, second = sides[row["a"]], sides[row["b"]]
        single = paired_difference(
            first.correct_SQ, second.correct_SQ, clusters_a=first.clusters, clusters_b=second.clusters
        )
        assert row["difference"]["mean"] == pytest.approx(single.mean)
        assert row["difference"]["low"] == pytest.approx(single.low, abs=0.02)
        assert row["difference"]["high"] == pytest.approx(single.high, abs=0.02)
        p_value = paired_permutation_test(first.correct_SQ.mean(0) - second.correct_SQ.mean(0))
        assert row["p_value"] == pytest.approx(p_value, abs=0.02)
    assert [row["p_holm"] for row in rows] == holm([row["p_value"] for row in rows])


def test_training_seeds_widen_the_interval():
    seeds = np.repeat(np.arange(4), 5)
    ours, other = side(1, 20, 0.0, seeds), side(2, 10)
    flat = Side(ours.correct_SQ, np.zeros(20, int), ours.queries_Q)
    assert ours.clusters is not None and flat.clusters is None

    def width(first):
        (row,) = compare_sides({"other": other, "ours": first})
        return row["difference"]["high"] - row["difference"]["low"]

    assert width(ours) > 1.3 * width(flat)


def test_other_queries_are_an_error():
    ours, other = side(1, 2), side(2, 2)
    moved = Side(other.correct_SQ, other.seeds_S, other.queries_Q + 1)
    with pytest.raises(UserError, match="'ours' and 'other' were tested on different queries"):
        compare_sides({"ours": ours, "other": moved})
    with pytest.raises(UserError, match="different queries"):
        compare_sides({"ours": ours, "fewer": side(2, 2, num_queries=20)})
    assert compare_sides({}) == [] and compare_sides({"ours": ours}) == []


def test_ranks():
    table = {"a": {1: 0.5, 5: 0.9}, "b": {1: 0.7, 5: 0.8}, "c": {5: 0.8}}
    assert rank_table(table) == [
        {"method": "a", "mean_rank": 1.5, "num_settings": 2},
        {"method": "b", "mean_rank": 1.75, "num_settings": 2},
        {"method": "c", "mean_rank": 2.5, "num_settings": 1},
    ]
    assert rank_table({}) == []


def test_sizes():
    rows = sizes_needed(side(1, 8), side(2, 8))
    assert [row["points"] for row in rows] == [1, 3, 5]
    answers = [row["num_sets"] * row["num_queries"] for row in rows]
    assert answers[0] > answers[1] > answers[2] > 100
    assert min(row[key] for row in rows for key in row if key != "points" and row[key]) >= AT_LEAST
