# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Batches as pure functions of seed and position."""

import numpy as np
import pytest

from ddg_hf.data.samplers import epoch_batch, length_sorted_batches, stable_seed


def test_stable_seed_depends_on_all_parts_and_nothing_else():
    assert stable_seed(1, "a", 2) == stable_seed(1, "a", 2)
    seeds = {
        stable_seed(*parts) for parts in [(1, "a", 2), (1, "a", 3), (2, "a", 2), (1, "b", 2), ("a", 1, 2), (1, "a")]
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
    # SHA-256 of "42/batch", first 8 bytes, top bit dropped: part of every recorded run, so it may not change.
    assert stable_seed(42, "batch") == int("5ffb9d3a8ad3f6b4", 16) >> 1


@pytest.mark.parametrize("budget", [1, 7, 40, 1000])
def test_length_sorted_batches_partition_the_rows_under_the_budget(budget):
    lengths = [3, 9, 1, 4, 9, 2, 2, 30, 5]
    batches = length_sorted_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
        assert lengths[batch[0]] == max(lengths[i] for i in batch), "the first row of a batch is its longest"
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(lengths, reverse=True)


@pytest.mark.parametrize("max_padding", [0, 3, 12])
def test_padding_is_bounded(max_padding):
    lengths = [3, 9, 1, 4, 9, 2, 2, 30, 5]
    batches = length_sorted_batches(lengths, 40, max_padding)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    padding = [len(b) * lengths[b[0]] - sum(lengths[i] for i in b) for b in batches]
    assert max(padding) <= max_padding
    # Greedy: the first row of a batch would not have fitted into the one before.
    for (before, spent), batch in zip(zip(batches, padding, strict=True), batches[1:], strict=False):
        too_long = (len(before) + 1) * lengths[before[0]] > 40
        assert too_long or spent + lengths[before[0]] - lengths[batch[0]] > max_padding


def test_length_sorted_batches_of_nothing():
    assert length_sorted_batches([], 10) == []


@pytest.mark.parametrize(("rows", "size"), [(10, 5), (10, 3), (7, 7), (5, 8)])
def test_every_epoch_has_every_row_once(rows, size):
    steps = 3 * rows
    drawn = np.concatenate([epoch_batch(rows, size, step, 42) for step in range(steps)])
    assert all(len(epoch_batch(rows, size, step, 42)) == min(size, rows) for step in range(3))
    epochs = drawn[: len(drawn) // rows * rows].reshape(-1, rows)
    assert (np.sort(epochs, axis=1) == np.arange(rows)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1, "epochs are shuffled differently"


def test_epoch_batches_are_pure():
    state = np.random.get_state()[1].copy()
    later = epoch_batch(10, 3, 5, 1, "batch")
    for step in range(5):
        epoch_batch(10, 3, step, 1, "batch")
    assert (epoch_batch(10, 3, 5, 1, "batch") == later).all()
    assert (np.random.get_state()[1] == state).all()
    assert not all((epoch_batch(10, 3, s, 1) == epoch_batch(10, 3, s, 2)).all() for s in range(3))
