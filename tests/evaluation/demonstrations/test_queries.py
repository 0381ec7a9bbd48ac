# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The choice of queries."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import balanced_sample


@pytest.mark.parametrize(
    "size, expected",
    [(6, [2, 2, 2]), (30, [10, 10, 10]), (60, [30, 20, 10]), (75, [45, 20, 10]), (130, [100, 20, 10])],
)
def test_balanced_sample(size, expected):
    labels = np.repeat([0, 1, 2], [100, 20, 10])
    chosen = balanced_sample(labels, size, seed=0, num_labels=3)
    assert np.bincount(labels[chosen]).tolist() == expected
    assert (np.diff(chosen) > 0).all()


def test_balanced_sample_remainder_falls_on_any_class():
    labels = np.repeat([0, 1, 2], 50)
    favoured = set()
    for seed in range(20):
        found = np.bincount(labels[balanced_sample(labels, 10, seed, 3)])
        assert sorted(found) == [3, 3, 4]
        favoured.add(int(found.argmax()))
    assert favoured == {0, 1, 2}


def test_balanced_sample_seed_and_limits():
    labels = np.arange(90) % 3
    first, again, other = (balanced_sample(labels, 12, seed, 3).tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert balanced_sample(labels, None, 0, 3).tolist() == list(range(90))
    assert balanced_sample(labels, 1000, 0, 3).tolist() == list(range(90))
    assert len(balanced_sample([0, 0, 1], 2, 0, 5)) == 2  # labels that have no rows
    with pytest.raises(UserError, match="at least one query"):
        balanced_sample(labels, 0, 0, 3)
