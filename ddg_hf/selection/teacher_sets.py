# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The real rows on which the teacher gradient is taken."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from .k_centers import select_k_centers


def build_teacher_sets(
    embeddings_NH: np.ndarray, labels_N: Sequence[int], num_labels: int, num_sets: int, per_class: int, seed: int
) -> list[list[np.ndarray]]:
    """
    K-centers coresets of the training data (DiLM, section 3.3, "representative teacher").

    Args:
        embeddings_NH (`np.ndarray`): embeddings of the training rows.
        labels_N (`Sequence[int]`): label ids.
        num_labels (`int`): number of classes.
        num_sets (`int`): number of coresets, each from another seed.
        per_class (`int`): rows per class, capped at half of the class (one row at least).
        seed (`int`): seed of the first coreset.

    Returns:
        `list[list[np.ndarray]]`: for each set and label, the row indices.

    Raises:
        UserError: a class has no rows.
    """
    labels = np.asarray(labels_N)
    members = [np.flatnonzero(labels == y) for y in range(num_labels)]
    for label, rows in enumerate(members):
        if len(rows) == 0:
            raise UserError(
                f"label {label} has no training rows, so it has no teacher gradient; drop it from the data"
            )
    sizes = [max(1, min(per_class, len(rows) // 2)) for rows in members]
    return [
        [
            rows[select_k_centers(embeddings_NH[rows], size, seed=seed + k)]
            for rows, size in zip(members, sizes, strict=True)
        ]
        for k in range(num_sets)
    ]
