# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Near copies of real rows, against plain formulations."""

import random

import pytest

from ddg_hf.quality import near_copies
from ddg_hf.quality.copies import find_copies
from ddg_hf.quality.near_copies import (
    JACCARD,
    find_near_copies,
    grams,
    judge_near_copies,
    nearest_by_containment,
    nearest_by_jaccard,
    shingles,
)

SENTENCE = "the quick brown fox jumps over the lazy dog near the river"


def altered(rng, words, changes):
    """The words with some of them replaced."""
    words = list(words)
    for place in rng.sample(range(len(words)), changes):
        words[place] = "".join(rng.choices("abcdefgh", k=5))
    return words


@pytest.fixture(scope="module")
def similar_rows():
    """300 rows of words, each beside one in which none to half of the words are others."""
    rng = random.Random(0)
    pairs = []
    for _ in range(300):
        words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 8))) for _ in range(rng.randint(8, 24))]
        other = altered(rng, words, rng.randint(0, len(words) // 2))
        pairs.append(((" ".join(words),), (" ".join(other),)))
    return pairs


def test_grams_of_long_short_and_very_short_texts():
    assert len(grams((SENTENCE,))) == 12 - 8 + 1
    assert grams(("One two, three -- four five!",)) == {("one", "two", "three", "four", "five")}
    assert grams(("one two three four",)) == set()
    # Not across the border of two columns.
    assert grams(("one two three four", "five six seven eight")) == set()


def test_punctuation_and_case_do_not_matter():
    loud = SENTENCE.upper().replace(" ", ", ") + " !"
    assert nearest_by_containment([(loud,)], [("other words",), (SENTENCE,)]) == [(1.0, 1)]


def test_containment_is_the_share_in_one_real_row():
    words = SENTENCE.split()
    first, second = " ".join(words[:8]), " ".join(words[4:])
    # The five 8-grams of the sentence: one is in the first real row, another in the second, none in the third.
    best = nearest_by_containment([(SENTENCE,)], [(first,), (second,), ("fox " * 9,)])
    assert best == [(0.2, 0)]
    assert nearest_by_containment([(SENTENCE,)], [(f"so {SENTENCE} it was",)]) == [(1.0, 0)]


def test_short_text_must_occur_whole():
    row = ("brown fox jumps over the",)
    assert nearest_by_containment([row], [(SENTENCE,)]) == [(1.0, 0)]
    assert nearest_by_containment([row], [("brown fox jumps over a",)])[0].similarity == 0
    assert nearest_by_containment([("brown fox jumps over",)], [(SENTENCE,)])[0].similarity == 0


def test_containment_equals_the_plain_formulation(similar_rows):
    rows, real = [pair[1] for pair in similar_rows[:60]], [pair[0] for pair in similar_rows]

    def joined(text):
        return f" {text} "

    for row, best in zip(rows, nearest_by_containment(rows, real), strict=True):
        own = [" ".join(gram) for gram in grams(row)]
        shares = [sum(joined(gram) in joined(other[0]) for gram in own) / len(own) for other in real]
        assert best.similarity == max(shares)
        assert best.similarity == 0 or shares[best.real_row] == max(shares)


def test_jaccard_is_exact_and_nothing_at_the_threshold_is_overlooked(similar_rows):
    """Of the pairs of similarity 0.7 or more all are found here; the chance to overlook one at 0.7 is 0.0002."""
    rows, real = [pair[1] for pair in similar_rows], [pair[0] for pair in similar_rows]
    others = [shingles(row) for row in real]
    found = nearest_by_jaccard(rows, real)
    above = 0
    for row, best in zip(rows, found, strict=True):
        own = shingles(row)
        brute = [len(own & other) / len(own | other) for other in others]
        if best.similarity:
            assert best.similarity == brute[best.real_row]
        if max(brute) >= JACCARD:
            above += 1
            assert best.similarity == max(brute)
    assert 50 < above < 250


def test_chance_of_a_candidate_at_the_threshold():
    bands, size = near_copies._BANDS, near_copies._BAND_SIZE
    assert 1 - (1 - JACCARD**size) ** bands == pytest.approx(0.9998, abs=1e-4)
    assert 1 - (1 - 0.5**size) ** bands == pytest.approx(0.87, abs=0.005)


def test_texts_without_words_are_like_nothing():
    rows = [("!!!",), ("",)]
    assert nearest_by_jaccard(rows, rows) == [(0.0, -1)] * 2
    assert nearest_by_containment(rows, rows) == [(0.0, -1)] * 2
    assert find_near_copies(rows, {"train": rows}) == []


def test_nearest_row_of_each_split_is_named_and_copies_are_left_out():
    near = f"{SENTENCE} today"
    real = {"train": [("other",), (SENTENCE,)], "test": [(near,), (SENTENCE,)]}
    rows = [(near,), ("something else entirely",)]
    (in_train,) = find_near_copies(rows, real, find_copies(rows, real))
    assert in_train.row == 0
    assert in_train.details["split"] == "train" and in_train.details["real_row"] == 1
    assert in_train.details["similarity"] > 0.8
    outcome = judge_near_copies([in_train], list(real), rows)
    assert (outcome.status, outcome.found, outcome.counts["train"], outcome.counts["test"]) == ("fail", 1, 1, 0)
    assert judge_near_copies([in_train], ["train"], rows * 20).status == "warn"


def test_reordered_phrases_are_near_copies_by_shingles_alone():
    one = "a warm and funny film with a great cast"
    other = "with a great cast a warm and funny film"
    (finding,) = find_near_copies([(one,)], {"train": [(other,)]})
    assert finding.details["measure"] == "jaccard"
