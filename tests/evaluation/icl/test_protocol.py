# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which rounds of demonstrations fit into a context."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import PromptTemplate, round_robin
from ddg_hf.evaluation.icl.protocol import (
    fitting_rounds,
    fitting_rounds_each,
    keep_rounds,
    num_rounds,
    parse_context_length,
)

K = 3
TEMPLATE = PromptTemplate("Classify.", ("Text",), "Label", ("a", "b", "c"))
ROWS = [((f"row {i} " + "x" * (7 * i % 23),), i % K) for i in range(8 * K)]
INTERLEAVED = [ROWS[i] for i in round_robin([label for _, label in ROWS], 8, 0, K)]
SORTED = sorted(INTERLEAVED, key=lambda row: (row[1] + 1) % K)
UNEVEN = [row for row in INTERLEAVED if row[1] < 2] + [(("one more",), 0)]
QUERIES = [("short",), ("a query of some length",), ("",)]


def count_characters(prompts):
    return [len(prompts.prefix + query) for query in prompts.queries]


def length(demonstrations, queries=QUERIES, extra=0):
    return max(count_characters(TEMPLATE.prompts(demonstrations, queries))) + extra


@pytest.mark.parametrize(
    "value, tokens", [("2k", 2048), ("4096", 4096), ("16K", 16384), (" 1k ", 1024), (512, 512), ("1", 1)]
)
def test_context_length(value, tokens):
    assert parse_context_length(value) == tokens


@pytest.mark.parametrize("value", ["", "k", "2kb", "2.5k", "-1", "0", "0k", "2 k", "1e3", "2m", "\u00b2"])
def test_context_length_mistakes(value):
    with pytest.raises(UserError, match=f"a number of tokens such as 4096 or 4k, got '{value}'"):
        parse_context_length(value)


@pytest.mark.parametrize("rows, rounds", [(0, 0), (1, 1), (3, 1), (4, 2), (24, 8)])
def test_num_rounds(rows, rounds):
    assert num_rounds(ROWS[:rows], K) == rounds


def test_rounds_of_interleaved_rows_are_the_first():
    for rounds in range(9):
        assert keep_rounds(INTERLEAVED, rounds, K) == INTERLEAVED[: rounds * K]


def test_rounds_of_sorted_rows_are_the_first_of_each_label():
    for rounds in range(9):
        kept = keep_rounds(SORTED, rounds, K)
        assert [label for _, label in kept] == [2] * rounds + [0] * rounds + [1] * rounds
        # the same rows as those of the other order
        assert sorted(kept) == sorted(keep_rounds(INTERLEAVED, rounds, K))


def test_rounds_of_rows_with_uneven_labels():
    assert keep_rounds(UNEVEN, 2, K) == UNEVEN[:6]
    assert keep_rounds(UNEVEN, num_rounds(UNEVEN, K), K) == UNEVEN
    missing = [row for row in INTERLEAVED if row[1] < 2]
    assert keep_rounds(missing, 2, K) == missing[:6]


@pytest.mark.parametrize("rows", [INTERLEAVED, UNEVEN])
def test_rounds_of_retrieved_rows_are_the_most_similar(rows):
    assert keep_rounds(rows, 2, K, retrieved=True) == rows[-6:]
    assert keep_rounds(rows, 0, K, retrieved=True) == []
    assert keep_rounds(rows, 99, K, retrieved=True) == rows


@pytest.mark.parametrize("retrieved", [False, True])
@pytest.mark.parametrize("rows", [INTERLEAVED, SORTED, UNEVEN], ids=["interleaved", "sorted", "uneven"])
def test_fitting_rounds_is_the_greatest_number_that_fits(rows, retrieved):
    for extra in (0, 5):
        lengths = [length(keep_rounds(rows, r, K, retrieved), extra=extra) for r in range(num_rounds(rows, K) + 1)]
        for limit in (lengths[0], lengths[1] - 1, *lengths[1:], lengths[-1] + 1, 10**9):
            expected = max(r for r, tokens in enumerate(lengths) if tokens <= limit)
            assert fitting_rounds(count_characters, TEMPLATE, rows, QUERIES, limit, extra, retrieved) == expected


def test_fitting_rounds_without_demonstrations():
    assert fitting_rounds(count_characters, TEMPLATE, [], QUERIES, 10**9, 0) == 0


def test_fitting_rounds_counts_few_prompts():
    counted = []

    def count(prompts):
        counted.append(len(prompts.queries))
        return count_characters(prompts)

    queries = [("x" * (i % 50),) for i in range(500)]
    limit = length(keep_rounds(INTERLEAVED, 5, K), queries)
    assert fitting_rounds(count, TEMPLATE, INTERLEAVED, queries, limit, 0) == 5
    assert counted[0] == 500 and sum(counted[1:]) <= 5 * 16


def test_a_query_that_is_longest_only_behind_demonstrations():
    """Where the tokenizer joins a query with what comes before it, the longest query need not be the longest alone."""
    queries = [("aaaa",), ("bbb",)]

    def count(prompts):
        lengths = count_characters(prompts)
        return [
            n - 9 * ("row" in prompts.prefix and "aaaa" in q) for n, q in zip(lengths, prompts.queries, strict=True)
        ]

    limit = length(INTERLEAVED[: 5 * K], queries[1:]) - 1
    assert fitting_rounds(count, TEMPLATE, INTERLEAVED, queries, limit, 0) == 4


@pytest.mark.parametrize("rows", [INTERLEAVED, UNEVEN], ids=["even", "uneven"])
def test_fitting_rounds_of_each_query(rows):
    rng = np.random.default_rng(0)
    retrieved = [[rows[i] for i in rng.permutation(len(rows))] for _ in QUERIES]

    def longest(rounds):
        pairs = zip(retrieved, QUERIES, strict=True)
        return max(length(keep_rounds(shown, rounds, K, retrieved=True), [query]) for shown, query in pairs)

    lengths = [longest(rounds) for rounds in range(num_rounds(rows, K) + 1)]
    for limit in (lengths[0], *lengths[1:], lengths[1] - 1, 10**9):
        expected = max(r for r, tokens in enumerate(lengths) if tokens <= limit)
        assert fitting_rounds_each(count_characters, TEMPLATE, retrieved, QUERIES, limit, 0) == expected
        assert fitting_rounds_each(count_characters, TEMPLATE, retrieved, QUERIES, limit + 7, 7) == expected
    assert fitting_rounds_each(count_characters, TEMPLATE, [[]] * 3, QUERIES, 10**9, 0) == 0


@pytest.mark.parametrize("each", [False, True])
def test_queries_that_do_not_fit_at_all(each):
    queries = [*QUERIES, ("x" * 100_000,)]
    count = fitting_rounds_each if each else fitting_rounds
    rows = [INTERLEAVED] * 4 if each else INTERLEAVED
    needed = length([], queries, extra=2)
    with pytest.raises(UserError, match=f"1 queries do not fit into 500 tokens .* takes {needed} with its answer"):
        count(count_characters, TEMPLATE, rows, queries, 500, 2)
    assert count(count_characters, TEMPLATE, rows, queries, needed, 2) == 0
