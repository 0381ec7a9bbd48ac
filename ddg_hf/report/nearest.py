# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The training row that is nearest to each generated one, by the characters that they have in common."""

from collections.abc import Sequence

import numpy as np

from ..quality.near_copies import Nearest

MEASURE = "cosine of TF-IDF vectors of character 3- to 5-grams, from 0 to 1"
NEAR_COPY = 0.9
_FEATURES = 2**20
_ROWS_AT_ONCE = 10_000  # of the training rows: what is kept of them does not grow with their number
_QUERIES_AT_ONCE = 256
_ROWS_FOR_IDF = 20_000


def nearest_rows(rows: Sequence[str], real_rows: Sequence[str]) -> list[Nearest]:
    """
    Returns for each text the most similar real one (its position) and the similarity; [`MEASURE`] says which.

    Grams are within words, whose case does not count. The inverse document frequencies are those of at most 20,000
    real rows, evenly spaced. Of real rows that are equally similar the first one is returned.
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    if not len(rows) or not len(real_rows):
        return [Nearest(0.0, -1)] * len(rows)
    options = {"analyzer": "char_wb", "ngram_range": (3, 5), "n_features": _FEATURES, "dtype": np.float32}
    vectorizer = HashingVectorizer(norm=None, alternate_sign=False, **options)
    sample = real_rows[:: -(-len(real_rows) // _ROWS_FOR_IDF)]
    frequency = vectorizer.transform(sample).astype(bool).astype(np.int64).sum(axis=0)
    idf = (np.log((1 + len(sample)) / (1 + np.asarray(frequency).ravel())) + 1).astype(np.float32)

    def vectors(texts: Sequence[str]):
        return normalize(vectorizer.transform(texts) @ sparse.diags_array(idf), copy=False).tocsr()

    distinct = list(dict.fromkeys(rows))
    wanted = vectors(distinct)
    best = np.full(len(distinct), -1.0, np.float32)
    position = np.full(len(distinct), -1)
    for start in range(0, len(real_rows), _ROWS_AT_ONCE):
        block = vectors(real_rows[start : start + _ROWS_AT_ONCE]).T.tocsc()
        for first in range(0, len(distinct), _QUERIES_AT_ONCE):
            part = slice(first, first + _QUERIES_AT_ONCE)
            similarity = (wanted[part] @ block).toarray()
            top = similarity.argmax(axis=1)
            value = similarity[np.arange(len(top)), top]
            better = value > best[part]
            best[part] = np.where(better, value, best[part])
            position[part] = np.where(better, start + top, position[part])
    found = {
        row: Nearest(min(1.0, float(value)), int(at)) if value > 0 else Nearest(0.0, -1)
        for row, value, at in zip(distinct, best, position, strict=True)
    }
    return [found[row] for row in rows]
