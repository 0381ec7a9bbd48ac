# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is the same text, and what its words are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.quality.words import normalise, word_ngrams, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't PANIC!", "do n't panic ."),
        ("ＦＵＬＬ width １２", "full width 12"),
        ("STRASSE", "straße"),
        ("café", "cafe\u0301"),
        ("ﬁne", "FINE"),
        ("two\u00a0words\n", "two words"),
        ("a -lrb- fine -RRB- film", "a (fine) film"),
    ],
)
def test_same_letters_and_digits(one, other):
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(("one", "other"), [("cafe", "café"), ("1 0", "1 1"), ("कि", "क"), ("no", "not")])
def test_other_letters(one, other):
    assert normalise(one) != normalise(other)


def test_no_letters_at_all():
    assert normalise(" ... 🙂 _ ") == ""
    assert words(" ... 🙂 _ ") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well-made, isn't it?", ["well", "made", "isnt", "it"]),
        ("is n't it 's", ["isnt", "its"]),
        ("Rock ’n’ roll", ["rock", "n", "roll"]),
        ("snake_case", ["snake", "case"]),
        ("Ünïcode ÉTÉ", ["ünïcode", "été"]),
        ("東京 タワー", ["東", "京", "タ", "ワ", "ー"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once
    assert all(unicodedata.category(char)[0] in "LMN" for char in once)


@given(st.text(alphabet="aB. ,-é", max_size=20))
def test_words_are_the_letters_in_order(text):
    assert "".join(words(text)) == normalise(text)


def test_word_ngrams():
    assert word_ngrams(["a", "b", "a"], 2) == [("a", "b"), ("b", "a")]
    assert word_ngrams(["a"], 2) == []


def test_long_runs_of_spaces_take_no_longer():
    """A pattern that backtracks at every space of a run would need minutes."""
    assert words("a" + " " * 200_000 + "b") == ["a", "b"]
