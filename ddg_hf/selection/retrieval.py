# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Retrieval: the rows that are most similar to a query, by their words (BM25) or by their embeddings (cosine)."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from ..terminal import draws_progress
from .checks import check_finite, check_k

# Every word counts, one-letter words and what other tokenisers call stop words included.
_WORD = r"(?u)\w+"
# To index so many takes seconds: there is a progress bar.
_MANY_ROWS = 50_000
# Similarities held at once, queries x rows: 64 MB in float32.
_MAX_SIMILARITIES = 1 << 24


def top_rows(scores_N: np.ndarray, k: int) -> np.ndarray:
    """
    Returns the indices of the `k` greatest of N scores, shape (K,), greatest first; of equal scores the earlier row
    comes first. Takes time proportional to N.

    Raises:
        UserError: `k` is less than 1 or more than N.
    """
    check_k(len(scores_N), k)
    lowest = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
    above = np.flatnonzero(scores_N > lowest)
    equal = np.flatnonzero(scores_N == lowest)[: k - len(above)]
    return np.concatenate([above[np.argsort(-scores_N[above], kind="stable")], equal])


class BM25Index:
    """
    Ranks rows by BM25 (Robertson & Zaragoza, 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"), in the
    variant of Lucene with k1 = 1.5 and b = 0.75, as the package `bm25s` computes it.

    Words are runs of letters, digits and underscores in lower case; none is left out as a stop word and none is
    stemmed. A word that occurs twice in a query counts twice.

    Args:
        texts: The N rows to rank.

    Raises:
        UserError: `bm25s` is not installed.
    """

    def __init__(self, texts: Sequence[str]):
        try:
            import bm25s
        except ImportError as error:
            raise UserError("bm25 needs the package `bm25s`: pip install 'ddg_hf[retrieval]'") from error
        self.num_rows = len(texts)
        self._tokenize = bm25s.tokenize
        show_progress = len(texts) >= _MANY_ROWS and draws_progress()
        words = self._words(texts, return_ids=True, show_progress=show_progress)
        self._scorer = None
        if words.vocab:  # otherwise no row has a word
            self._scorer = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
            self._scorer.index(words, show_progress=show_progress)

    def _words(self, texts: Sequence[str], **options):
        return self._tokenize(list(texts), lower=True, token_pattern=_WORD, stopwords=[], **options)

    def scores(self, query: str) -> np.ndarray:
        """Returns the score of each row, shape (N,); 0 for a row that shares no word with the query."""
        (words,) = self._words([query], return_ids=False, show_progress=False)
        if not words or self._scorer is None:
            return np.zeros(self.num_rows)
        return self._scorer.get_scores(words)

    def nearest(self, queries: Sequence[str], k: int) -> np.ndarray:
        """
        Returns the indices of the `k` rows with the highest scores for each of Q queries, shape (Q, K), best first; of
        equal scores (such as the zeros of rows that share no word with the query) the earlier row comes first. The
        scores of one query are held at a time.

        Raises:
            UserError: `k` is less than 1 or more than the number of rows.
        """
        check_k(self.num_rows, k)
        nearest_QK = np.empty((len(queries), k), dtype=np.int64)
        for i, query in enumerate(queries):
            nearest_QK[i] = top_rows(self.scores(query), k)
        return nearest_QK


def nearest_by_cosine(rows_NH: np.ndarray, queries_QH: np.ndarray, k: int) -> np.ndarray:
    """
    Returns the `k` rows with the greatest cosine similarity to each query, best first; of equally similar rows the
    earlier one comes first. An embedding of length zero is equally dissimilar (0) to everything.

    All similarities are computed in float32, in chunks of queries, to find the rows that can be among the first `k`;
    these are ranked by similarities in float64, each the same whatever rows and queries are computed along with it.
    Equal rows are therefore exact ties, and the result for a query does not depend on the other queries.

    Args:
        rows_NH: Embeddings of N rows, shape (N, H); float32 is used as it is, without another copy.
        queries_QH: Embeddings of Q queries, shape (Q, H).
        k: Number of rows for each query.

    Returns:
        Row indices of shape (Q, K).

    Raises:
        UserError: `k` is less than 1 or more than N, or an embedding is not finite.
    """
    rows_NH, queries_QH = np.asarray(rows_NH), np.asarray(queries_QH)
    check_k(len(rows_NH), k)
    check_finite(rows_NH, "embeddings")
    check_finite(queries_QH, "embeddings")
    unit_queries_QH = (queries_QH / _lengths(queries_QH)[:, None]).astype(np.float32)
    rows_NH = rows_NH.astype(np.float32, copy=False)
    lengths_N = _lengths(rows_NH).astype(np.float32)
    # Twice the bound on the error of a product of two unit vectors in float32, that of their lengths included.
    tolerance = 2 * (rows_NH.shape[1] + 4) * float(np.finfo(np.float32).eps)
    nearest_QK = np.empty((len(queries_QH), k), dtype=np.int64)
    chunk = max(1, _MAX_SIMILARITIES // len(rows_NH))
    for start in range(0, len(queries_QH), chunk):
        similarities_CN = unit_queries_QH[start : start + chunk] @ rows_NH.T
        similarities_CN /= lengths_N
        for i, similarities_N in enumerate(similarities_CN, start):
            lowest = np.partition(similarities_N, len(similarities_N) - k)[len(similarities_N) - k]
            candidates = np.flatnonzero(similarities_N >= lowest - tolerance)
            # No matrix product here: its rounding depends on where in the matrix a row stands.
            rows_CH = rows_NH[candidates].astype(np.float64)
            dots_C = (rows_CH * queries_QH[i].astype(np.float64)).sum(axis=1)
            lengths_C = np.sqrt(np.square(rows_CH).sum(axis=1))
            nearest_QK[i] = candidates[top_rows(dots_C / np.where(lengths_C > 0, lengths_C, 1.0), k)]
    return nearest_QK


def _lengths(embeddings_NH: np.ndarray) -> np.ndarray:
    """Euclidean lengths, shape (N,); 1 for a length of zero."""
    lengths_N = np.sqrt(np.einsum("nh,nh->n", embeddings_NH, embeddings_NH))
    return np.where(lengths_N > 0, lengths_N, 1.0)
