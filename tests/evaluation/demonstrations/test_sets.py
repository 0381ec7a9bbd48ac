# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The order in which a prompt shows a set."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import ORDERS, DemonstrationSet
from ddg_hf.evaluation.icl.prompts import round_robin

# four rows of each of three labels, mixed
ROWS = tuple(((f"text {i}",), label) for i, label in enumerate([2, 0, 1, 1, 0, 2, 2, 0, 1, 2, 1, 0]))
MEMBERS = DemonstrationSet(0, ROWS)


def labels(rows):
    return [label for _, label in rows]


def test_interleaved_is_the_default_and_a_round_robin():
    for seed in range(5):
        shown = MEMBERS.in_order(3, 3, seed)
        assert shown == MEMBERS.in_order(3, 3, seed, order_by="interleaved")
        assert shown == [ROWS[i] for i in round_robin(labels(ROWS), 3, seed, 3)]
        assert [sorted(labels(shown[i : i + 3])) for i in (0, 3, 6)] == [[0, 1, 2]] * 3


def test_sorted_by_label():
    shown = MEMBERS.in_order(3, 3, seed=0, order_by="sorted")
    assert labels(shown) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sorted(shown) == sorted(MEMBERS.in_order(3, 3, seed=0))
    assert shown == MEMBERS.in_order(3, 3, seed=0, order_by="sorted")


def test_seed_decides_the_order_within_a_label():
    first = {tuple(MEMBERS.in_order(4, 3, seed, order_by="sorted")[:4]) for seed in range(30)}
    assert len(first) > 5
    assert {frozenset(rows) for rows in first} == {frozenset(row for row in ROWS if row[1] == 0)}


def test_any_labels_in_random_order():
    uneven = DemonstrationSet(0, ROWS[:5], ordered=False)  # labels 2 0 1 1 0
    shown = {tuple(uneven.in_order(2, 3, seed)) for seed in range(20)}
    assert len(shown) > 10 and {frozenset(rows) for rows in shown} == {frozenset(ROWS[:5])}
    assert labels(uneven.in_order(2, 3, 0, order_by="sorted")) == [0, 0, 1, 1, 2]
    assert {frozenset(uneven.in_order(1, 3, seed)) for seed in range(20)} == {frozenset(ROWS[:3])}
    with pytest.raises(
        UserError, match="3 rounds of 3 labels need more demonstrations than the 5.*--rounds 2 or less"
    ):
        uneven.in_order(3, 3, seed=0)


def test_order_of_random_sets_is_a_permutation_by_the_seed():
    members = DemonstrationSet(0, ROWS, ordered=False)
    assert members.in_order(4, 3, seed=7) == [ROWS[i] for i in np.random.default_rng(7).permutation(len(ROWS))]


@pytest.mark.parametrize("order_by", ORDERS)
def test_empty_set(order_by):
    assert DemonstrationSet(0, ()).in_order(5, 3, 0, order_by) == []


def test_mistakes():
    with pytest.raises(UserError, match="unknown order 'sort'. Did you mean 'sorted'"):
        MEMBERS.in_order(1, 3, 0, order_by="sort")
    for order_by in ORDERS:
        with pytest.raises(UserError, match="5 rounds need 5 demonstrations of label 0, but there are 4"):
            MEMBERS.in_order(5, 3, 0, order_by)
