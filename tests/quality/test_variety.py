# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""distinct-n, self-BLEU and lengths, against plain formulations."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.quality.variety import check_diversity, check_lengths, distinct, self_bleu


def plain_bleu(hypothesis, references, order=4):
    """Sentence BLEU as defined by Papineni et al. (2002), with 0.1 for a count of zero."""
    precisions = []
    for n in range(1, order + 1):
        own = Counter(zip(*(hypothesis[i:] for i in range(n)), strict=False))
        clip = Counter()
        for reference in references:
            clip |= Counter(zip(*(reference[i:] for i in range(n)), strict=False))
        precisions.append((sum((own & clip).values()), max(1, sum(own.values()))))
    if precisions[0][0] == 0:
        return 0.0
    nearest = min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in references)[1]
    penalty = 1.0 if len(hypothesis) > nearest else math.exp(1 - nearest / len(hypothesis))
    return penalty * math.prod((hits or 0.1) / total for hits, total in precisions) ** (1 / order)


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=9), min_size=2, max_size=7))
def test_self_bleu_equals_the_plain_formulation(texts):
    plain = [plain_bleu(text, texts[:i] + texts[i + 1 :]) if text else 0.0 for i, text in enumerate(texts)]
    assert self_bleu(texts) == pytest.approx(sum(plain) / len(plain))


def test_self_bleu_of_copies_and_strangers():
    text = "one two three four five".split()
    assert self_bleu([text, text]) == pytest.approx(1)
    assert self_bleu([text, "six seven eight nine ten".split()]) == 0
    assert self_bleu([text]) == 0


def test_distinct_n():
    texts = [["a", "b", "a", "b"], ["a", "b"]]
    assert distinct(texts, 1) == 2 / 6
    assert distinct(texts, 2) == 2 / 4  # ab, ba, ab; ab
    assert distinct(texts, 5) == 0


def test_diversity_is_the_mean_over_sets_beside_real_rows_of_as_many():
    sets = [0, 0, 1, 1]
    same = [("one two three",)] * 2
    varied = [("one two three",), ("four five six",)]
    real = [(f"a{i} b{i} c{i}",) for i in range(30)]
    outcome = check_diversity(same + varied, sets, real)
    assert outcome.counts["distinct_2"] == 0.75
    assert outcome.counts["real"]["distinct_2"] == 1
    assert (outcome.status, outcome.found) == ("warn", 1)
    assert check_diversity(varied, [0, 0], real).status == "ok"
    repeated = [("one two three",)] * 4
    assert check_diversity(repeated, [0] * 4, real).status == "fail"
    assert "real" not in check_diversity(same, [0, 0]).counts


def test_lengths_by_label_and_beside_real_rows():
    rows = [("one two", "three"), ("one", "two")]
    outcome = check_lengths(rows, [1, 0], [0, 0], ("bad", "good"), [("one two three", "four five six seven")])
    assert outcome.counts["words"] == {"least": 2, "median": 2.5, "mean": 2.5, "greatest": 3}
    assert outcome.counts["characters"]["greatest"] == 12
    assert outcome.counts["words_by_label"] == {"bad": 2, "good": 3}
    assert (outcome.status, outcome.found) == ("warn", 1)
    assert check_lengths(rows, [1, 0], [0, 0], ("bad", "good"), rows).status == "ok"
