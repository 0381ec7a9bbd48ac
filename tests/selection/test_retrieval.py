# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Retrieval against plain formulations; ties, odd texts and memory."""

import math
import re
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.selection import retrieval
from ddg_hf.selection.retrieval import BM25Index, nearest_by_cosine, top_rows

WORDS = "a film the plot is dull warm and funny the the of it never wastes time it film".split()


def random_texts(count, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(count)]


def ranking(scores, k):
    """The plain formulation of a ranking in which the earlier of two equal rows comes first."""
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]


def plain_bm25(texts, query):
    """Lucene's BM25, k1 = 1.5 and b = 0.75, summed over the words of the query."""
    rows = [re.findall(r"\w+", text.lower()) for text in texts]
    average = sum(map(len, rows)) / len(rows)
    scores = []
    for row in rows:
        score = 0.0
        for word in re.findall(r"\w+", query.lower()):
            having = sum(word in other for other in rows)
            idf = math.log(1 + (len(rows) - having + 0.5) / (having + 0.5))
            score += idf * row.count(word) / (row.count(word) + 1.5 * (0.25 + 0.75 * len(row) / average))
        scores.append(score)
    return scores


def plain_cosine(rows_NH, query_H):
    rows_NH, query_H = np.asarray(rows_NH, np.float64), np.asarray(query_H, np.float64)
    return rows_NH @ query_H / np.linalg.norm(rows_NH, axis=1) / np.linalg.norm(query_H)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.data())
def test_top_rows_is_a_stable_ranking(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    assert top_rows(np.array(scores, dtype=float), k).tolist() == ranking(scores, k)


@pytest.mark.parametrize("k", [0, 4])
def test_as_many_rows_as_there_are(k):
    for call in (
        lambda: top_rows(np.zeros(3), k),
        lambda: BM25Index(["a", "b", "c"]).nearest(["a"], k),
        lambda: nearest_by_cosine(np.ones((3, 2)), np.ones((1, 2)), k),
    ):
        with pytest.raises(UserError, match="select"):
            call()


def test_bm25_is_the_formula():
    texts, queries = random_texts(60, seed=0), [*random_texts(20, seed=1), "film film unknown", "FUNNY, Plot!"]
    index = BM25Index(texts)
    nearest_QK = index.nearest(queries, 60)
    for query, nearest in zip(queries, nearest_QK, strict=True):
        expected = np.array(plain_bm25(texts, query))
        np.testing.assert_allclose(index.scores(query), expected, rtol=1e-12)
        np.testing.assert_allclose(expected[nearest], np.sort(expected)[::-1], rtol=1e-12)
    assert index.nearest(queries, 7).tolist() == nearest_QK[:, :7].tolist()


def test_every_word_counts():
    texts = ["we saw one", "the best", "I am x", "Été à Zürich", "naïve_word 42"]
    index = BM25Index(texts)
    for row, query in enumerate(["we", "The", "i", "été", "42"]):
        scores = index.scores(query)
        assert np.flatnonzero(scores).tolist() == [row], query


def test_bm25_ties_go_to_the_earlier_row():
    texts = ["dull", "a film", "warm plot", "a film", "a film"]
    assert BM25Index(texts).nearest(["film", "nothing of this", "", "?!"], 4).tolist() == [
        [1, 3, 4, 0],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
    ]


def test_rows_without_a_word():
    assert BM25Index(["", "!?", "..."]).nearest(["a film", "!?"], 2).tolist() == [[0, 1], [0, 1]]
    assert BM25Index(["", "a film", "..."]).nearest(["film"], 3).tolist() == [[1, 0, 2]]


def test_no_queries():
    assert BM25Index(["a", "b"]).nearest([], 2).shape == (0, 2)
    assert nearest_by_cosine(np.ones((3, 2)), np.ones((0, 2)), 2).shape == (0, 2)


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(UserError, match=r"pip install 'ddg_hf\[retrieval\]'"):
        BM25Index(["a"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk", [1, 100, 1 << 24])
def test_cosine_is_brute_force(dtype, chunk, monkeypatch):
    monkeypatch.setattr(retrieval, "_MAX_SIMILARITIES", chunk * 50)
    rng = np.random.default_rng(0)
    rows_NH = (rng.normal(size=(50, 7)) * rng.uniform(0.01, 100, (50, 1))).astype(dtype)
    queries_QH = rng.normal(size=(130, 7)).astype(dtype)
    expected = [ranking(plain_cosine(rows_NH, query_H), 9) for query_H in queries_QH]
    assert nearest_by_cosine(rows_NH, queries_QH, 9).tolist() == expected


def test_cosine_tells_rows_apart_that_float32_products_do_not():
    """Rows at nearly the same angle: in float32 their order would be chance."""
    rng = np.random.default_rng(0)
    base_H = rng.normal(size=300)
    rows_NH = (base_H + 1e-5 * rng.normal(size=(200, 300))).astype(np.float32)
    queries_QH = (base_H + 0.5 * rng.normal(size=(5, 300))).astype(np.float32)
    exact = [plain_cosine(rows_NH, query_H) for query_H in queries_QH]
    assert max(np.ptp(similarities) for similarities in exact) < 1e-4
    assert nearest_by_cosine(rows_NH, queries_QH, 20).tolist() == [ranking(row, 20) for row in exact]


def test_cosine_ties_go_to_the_earlier_row():
    rng = np.random.default_rng(0)
    some_NH = rng.normal(size=(13, 33)).astype(np.float32)
    rows_NH = np.concatenate([some_NH, 4 * some_NH, some_NH])  # powers of two: no rounding
    queries_QH = rng.normal(size=(40, 33)).astype(np.float32)
    for nearest in nearest_by_cosine(rows_NH, queries_QH, 39).tolist():
        for first, second, third in zip(nearest[::3], nearest[1::3], nearest[2::3], strict=True):
            assert (first, second, third) == (first, first + 13, first + 26) and first < 13


def test_cosine_of_a_query_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    base_NH = rng.normal(size=(1, 64)) + 1e-4 * rng.normal(size=(300, 64))  # many near ties
    rows_NH, queries_QH = base_NH.astype(np.float32), rng.normal(size=(37, 64)).astype(np.float32)
    together = nearest_by_cosine(rows_NH, queries_QH, 10)
    alone = [nearest_by_cosine(rows_NH, query_H[None], 10)[0] for query_H in queries_QH]
    assert np.array_equal(together, alone)
    assert np.array_equal(nearest_by_cosine(rows_NH, queries_QH[::-1], 10)[::-1], together)


def test_embeddings_of_length_zero_and_nan():
    rows_NH = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert nearest_by_cosine(rows_NH, np.array([[2.0, 0.0], [0.0, 0.0]]), 3).tolist() == [[1, 0, 2], [0, 1, 2]]
    for rows, queries in ((rows_NH, np.array([[np.nan, 0.0]])), (np.full((3, 2), np.inf), rows_NH)):
        with pytest.raises(UserError, match="not finite"):
            nearest_by_cosine(rows, queries, 1)


def test_never_all_queries_times_all_rows(monkeypatch):
    monkeypatch.setattr(retrieval, "_MAX_SIMILARITIES", 1 << 15)
    rng = np.random.default_rng(0)
    rows_NH, queries_QH = rng.normal(size=(3000, 4)).astype(np.float32), rng.normal(size=(2000, 4)).astype(np.float32)
    tracemalloc.start()
    nearest_by_cosine(rows_NH, queries_QH, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(rows_NH) * len(queries_QH) * 4 / 10
