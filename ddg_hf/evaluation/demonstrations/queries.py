# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The choice of queries."""

from collections.abc import Sequence

import numpy as np

from ddg_hf.data.samplers import stable_seed
from ddg_hf.errors import UserError


def balanced_sample(labels_N: Sequence[int], size: int | None, seed: int, num_labels: int) -> np.ndarray:
    """
    Chooses rows whose classes are as equal in number as their sizes allow.

    A class with too few rows gives all it has, and the others make up for it; what does not divide evenly goes to
    classes chosen at random.

    Args:
        labels_N: Label id of each row.
        size: Number of rows to choose; all rows if `None` or more than there are.
        seed: Seed of the choice.
        num_labels: Number of classes.

    Returns:
        Distinct row indices in ascending order.

    Raises:
        UserError: `size` is less than 1.
    """
    labels_N = np.asarray(labels_N)
    if size is not None and size < 1:
        raise UserError(f"at least one query is needed, --test_number is {size}")
    if size is None or size >= len(labels_N):
        return np.arange(len(labels_N))
    rng = np.random.default_rng(stable_seed("queries", seed))
    classes = [rng.permutation(np.flatnonzero(labels_N == label)) for label in rng.permutation(num_labels)]
    chosen, missing = [], size
    for i, members in enumerate(sorted(classes, key=len)):
        members = members[: missing // (num_labels - i)]
        chosen.append(members)
        missing -= len(members)
    return np.sort(np.concatenate(chosen))
