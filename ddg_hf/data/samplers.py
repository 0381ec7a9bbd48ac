# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Batches and random draws as pure functions of a seed and a position."""

import hashlib
from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

# What another micro-batch of a generator costs a CPU, in tokens: about as much (GPT-2 small, two cores).
CPU_MAX_PADDING = 32


def stable_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on all `parts` alone: the same on every machine, process and version."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def length_sorted_batches(
    lengths: Sequence[int], token_budget: int, max_padding: int | None = None
) -> list[list[int]]:
    """
    Splits rows into batches of similar length.

    Args:
        lengths (`Sequence[int]`): tokens of each of N rows.
        token_budget (`int`): upper bound of a batch's padded tokens (rows times longest row). A longer single row is
            a batch of its own.
        max_padding (`int`, *optional*): upper bound of a batch's padding tokens; [`CPU_MAX_PADDING`] where padding
            costs time.

    Returns:
        `list[list[int]]`: every row index exactly once; longest rows first, so that memory peaks at the start.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    tokens = 0  # of the last batch, without padding
    for i in order:
        padded = (len(batches[-1]) + 1) * lengths[batches[-1][0]] if batches else 0
        fits = max_padding is None or padded - tokens - lengths[i] <= max_padding
        if batches and padded <= token_budget and fits:
            batches[-1].append(i)
            tokens += lengths[i]
        else:
            batches.append([i])
            tokens = lengths[i]
    return batches


def epoch_batch(num_rows: int, batch_size: int, step: int, *seed_parts: int | str) -> np.ndarray:
    """
    Row indices of batch `step` of an endless sequence of shuffled epochs.

    A pure function: batch `step` can be drawn without the ones before it. Batches may run over the end of an epoch
    into the next, so all have `min(batch_size, num_rows)` rows.
    """
    size = min(batch_size, num_rows)
    positions = np.arange(step * size, (step + 1) * size)
    indices = np.empty(size, dtype=np.int64)
    for epoch in np.unique(positions // num_rows):
        permutation = np.random.default_rng(stable_seed(*seed_parts, int(epoch))).permutation(num_rows)
        inside = positions // num_rows == epoch
        indices[inside] = permutation[positions[inside] % num_rows]
    return indices


class Steps(Dataset):
    """Counts micro-steps; the data of a step is a function of its number."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index
