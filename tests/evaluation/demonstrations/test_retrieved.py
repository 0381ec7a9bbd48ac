# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations that are retrieved for each query."""

import numpy as np
import pytest

from ddg_hf.configs import LearnerArguments
from ddg_hf.data.loading import load_data
from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import RetrievedDemonstrations, select_sets, to_demonstrations
from ddg_hf.evaluation.demonstrations.retrieved import make_nearest
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.offline import offline_model_path

SPEC, PAIRS = get_task("sst2"), get_task("qnli")
ROWS = [
    (("a dull film",), 0),
    (("a warm film with a warm heart",), 1),
    (("the heart of the matter",), 1),
    (("nothing",), 0),
    (("a dull film",), 1),
    (("warm",), 1),
]


def letters(rows):
    """An embedding that can be checked by hand: how often each letter occurs."""
    return np.array([[" ".join(texts).count(chr(code)) for code in range(97, 123)] for texts in rows], np.float32)


def retrieve(kind, rows, per_class, spec=SPEC, embed=letters):
    return RetrievedDemonstrations(rows, per_class, spec.num_labels, make_nearest(kind, rows, embed))


def test_most_similar_row_comes_last():
    retrieved = retrieve("bm25", ROWS, 2)
    shown = retrieved.for_queries([("warm heart",), ("dull film",)])
    assert [len(rows) for rows in shown] == [4, 4]
    assert shown[0][-1] == ROWS[1]
    assert shown[1][-2:] == [ROWS[4], ROWS[0]]  # equally similar: the earlier row is the nearer one
    assert retrieved.set_id == 0


@pytest.mark.parametrize("kind", ["bm25", "topk"])
def test_fewer_rounds_are_the_end_of_more(kind):
    retrieved = retrieve(kind, ROWS, 3)
    queries = [("warm heart",), ("a film",), ("",)]
    whole = retrieved.for_queries(queries)
    assert whole == retrieved.for_queries(queries, 3) and [len(rows) for rows in whole] == [6, 6, 6]
    for rounds in (1, 2):
        assert retrieved.for_queries(queries, rounds) == [rows[-2 * rounds :] for rows in whole]
        assert retrieve(kind, ROWS, rounds).for_queries(queries) == [rows[-2 * rounds :] for rows in whole]
    for rounds in (0, 4):
        with pytest.raises(UserError, match=f"--rounds must be between 1 and .*3.*, got {rounds}"):
            retrieved.for_queries(queries, rounds)


@pytest.mark.parametrize("kind", ["bm25", "topk"])
def test_labels_do_not_matter(kind):
    shown = retrieve(kind, ROWS, 2).for_queries([("warm heart",)])[0]
    other = retrieve(kind, [(texts, 0) for texts, _ in ROWS], 2).for_queries([("warm heart",)])[0]
    assert [texts for texts, _ in shown] == [texts for texts, _ in other]


@pytest.mark.parametrize("kind", ["bm25", "topk"])
def test_queries_do_not_influence_each_other(kind):
    retrieved = retrieve(kind, ROWS, 2)
    queries = [("warm heart",), ("a film",), ("the matter",), ("",), ("nothing",)]
    together = retrieved.for_queries(queries)
    assert together == [retrieved.for_queries([query])[0] for query in queries]
    assert retrieved.for_queries(queries[::-1]) == together[::-1]
    assert retrieved.for_queries([]) == []


def test_all_text_columns_are_searched():
    rows = [(("what is it", "a boat"), 0), (("who", "the cat sat"), 1), (("where", "here"), 0), (("cat", "dog"), 1)]
    shown = retrieve("bm25", rows, 1, PAIRS).for_queries([("boat", "nothing"), ("nothing", "cat")])
    assert shown[0][-1] == rows[0]
    assert shown[1] == [rows[1], rows[3]]


def test_topk_ranks_by_cosine():
    rng = np.random.default_rng(0)
    texts = [("".join(rng.choice(list("abcdefgh"), 12)),) for _ in range(80)]
    rows = [(row, i % 2) for i, row in enumerate(texts)]
    embeddings_NH = letters(texts).astype(np.float64)
    for query, shown in zip(texts[:20], retrieve("topk", rows, 4).for_queries(texts[:20]), strict=True):
        query_H = letters([query])[0]
        similarities = embeddings_NH @ query_H / np.linalg.norm(embeddings_NH, axis=1) / np.linalg.norm(query_H)
        taken = [similarities[texts.index(row)] for row, _ in shown]
        np.testing.assert_allclose(taken, np.sort(similarities)[-8:], rtol=1e-12)


def test_equal_rows_are_embedded_once():
    calls = []

    def embed(rows):
        calls.append(list(rows))
        return letters(rows) + 1e-6 * np.arange(len(rows))[:, None]  # an embedding depends a little on its batch

    shown = retrieve("topk", ROWS, 1, embed=embed).for_queries([("a dull film",)])
    assert calls == [[texts for texts, _ in ROWS[:4]] + [("warm",)], [("a dull film",)]]
    assert shown == [[ROWS[4], ROWS[0]]]


def test_mistakes():
    for kind in ("bm25", "topk"):
        with pytest.raises(UserError, match="8 demonstrations are needed, but there are 6 rows; lower --dpc"):
            retrieve(kind, ROWS, 4)
        with pytest.raises(UserError, match="at least 1, got 0"):
            retrieve(kind, ROWS, 0)
    with pytest.raises(UserError, match="topk needs an encoder"):
        make_nearest("topk", ROWS)


# Real data


@pytest.fixture(scope="module")
def sst2(shared_data):
    spec, data = load_data(task="sst2", data_dir=shared_data)
    return spec, to_demonstrations(data["train"], spec), to_demonstrations(data["validation"], spec)


def test_bm25_finds_the_row_itself(sst2):
    """Short reviews may be outdone by longer ones that repeat their words; reviews of usual length are not."""
    spec, train, _ = sst2
    lengths = np.array([len(texts[0].split()) for texts, _ in train])
    chosen = np.flatnonzero(lengths >= np.median(lengths))[::50]
    (retrieved,) = select_sets(spec, train, None, "bm25", [5], None, seed=0)[5]
    shown = retrieved.for_queries([train[i][0] for i in chosen])
    assert [rows[-1][0] for rows in shown] == [train[i][0] for i in chosen]
    assert {len(rows) for rows in shown} == {10}


def check_topk(encoder, train, queries):
    embeddings_NH = encoder.embed([texts for texts, _ in train]).astype(np.float64)
    queries_QH = encoder.embed(queries).astype(np.float64)
    embeddings_NH /= np.linalg.norm(embeddings_NH, axis=1, keepdims=True)
    queries_QH /= np.linalg.norm(queries_QH, axis=1, keepdims=True)
    nearest_QN = make_nearest("topk", train, encoder.embed)(queries, len(train))
    for query_H, nearest_N in zip(queries_QH, nearest_QN, strict=True):
        ranked = (embeddings_NH @ query_H)[nearest_N]
        np.testing.assert_allclose(ranked, np.sort(ranked)[::-1], atol=1e-6)  # the encoder's own rounding
        assert sorted(nearest_N) == list(range(len(train)))


def test_topk_of_real_rows_is_brute_force(sst2):
    _, train, validation = sst2
    train = train[:400]
    encoder = TextEncoder(LearnerArguments(learner="tiny"), rows=[texts for texts, _ in train], device="cpu")
    check_topk(encoder, train, [texts for texts, _ in validation[:30]])


def test_topk_with_a_sentence_encoder(sst2, monkeypatch):
    monkeypatch.delenv("DDG_HF_HOME")
    try:
        path = offline_model_path("minilm")
    except UserError as error:
        pytest.skip(str(error))
    _, train, validation = sst2
    train = train[:60]
    encoder = TextEncoder(LearnerArguments(learner=str(path)), device="cpu")
    check_topk(encoder, train, [texts for texts, _ in validation[:5]])
    retrieved = retrieve("topk", train, 2, embed=encoder.embed)
    queries = [texts for texts, _ in train[:10]]
    assert [rows[-1][0] for rows in retrieved.for_queries(queries)] == queries
