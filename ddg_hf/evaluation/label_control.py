# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Does a generator heed its label? Measured with a probe trained on real rows."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from ..models.encoder import TextEncoder


class LabelProbe:
    """
    Logistic regression on the embeddings of a pretrained encoder, fitted to real rows.

    Args:
        encoder ([`TextEncoder`]): what embeds the rows.
        rows (`Sequence[tuple[str, ...]]`): real training rows.
        labels (`Sequence[int]`): their labels.
        max_rows (`int`): rows used at most, drawn evenly over the data.
    """

    def __init__(
        self, encoder: TextEncoder, rows: Sequence[tuple[str, ...]], labels: Sequence[int], max_rows: int = 2000
    ):
        index = np.random.default_rng(0).permutation(len(rows))[:max_rows]
        self.encoder = encoder
        self.classifier = LogisticRegression(max_iter=1000)
        self.classifier.fit(encoder.embed([rows[i] for i in index]), np.asarray(labels)[index])

    def predict(self, rows: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Predicted label ids of N rows, `[N]`."""
        return self.classifier.predict(self.encoder.embed(rows))

    def accuracy(self, rows: Sequence[tuple[str, ...]], labels: Sequence[int]) -> float:
        """Fraction of `rows` that the probe gives the label of `labels`; `nan` for no rows."""
        if len(rows) == 0:
            return float("nan")
        return float((self.predict(rows) == np.asarray(labels)).mean())
