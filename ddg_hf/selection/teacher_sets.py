# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The real rows on which the teacher gradient is taken."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from .k_centers import select_k_centers


def build_teacher_set(
    embeddings_NH: np.ndarray, labels_N: Sequence[int], num_labels: int, per_class: int, seed: int
) -> list[np.ndarray]:
    """
    A K-centers coreset of the training data (DiLM, section 3.3, "representative teacher").

    Args:
        embeddings_NH (`np.ndarray`): embeddings of the training rows.
        labels_N (`Sequence[int]`): label ids.
        num_labels (`int`): number of classes.
        per_class (`int`): rows per class, capped at half of the class (one row at least).
        seed (`int`): start of k-means.

    Returns:
        `list[np.ndarray]`: for each label, the row indices.

    Raises:
        UserError: a class has no rows.
    """
    labels = np.asarray(labels_N)
    result = []
    for label in range(num_labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) == 0:
            raise UserError(
                f"label {label} has no training rows, so it has no teacher gradient; drop it from the data"
            )
        size = max(1, min(per_class, len(rows) // 2))
        result.append(rows[select_k_centers(embeddings_NH[rows], size, seed=seed)])
    return result
