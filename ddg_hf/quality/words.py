# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Texts without what does not matter when two of them are compared: case, punctuation, spaces, forms of a letter."""

import re
import unicodedata

_NOT_ASCII_WORD = re.compile(r"[^a-z0-9]+")
# "do n't" and "it 's", as tokenised corpora have them, are "don't" and "it's".
_SPLIT_CONTRACTION = re.compile(r"(?<!\s)\s+(?=n['’]t\b|['’](?:s|re|ve|ll|d|m)\b)")
_APOSTROPHE = re.compile(r"(?<=\w)['’ʼ](?=\w)")
# Brackets as the Penn Treebank, and corpora tokenised like it, write them.
_BRACKET = re.compile(r"-[lr][rsc]b-")
# Kana and ideographs have no spaces between words: each is a word of its own.
_IDEOGRAPH = re.compile(r"([぀-ヿ㐀-䶿一-鿿豈-﫿])")


def _fold(text: str) -> str:
    """Compatibility forms (NFKC) and case folded, brackets such as `-lrb-` left out."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _BRACKET.sub(" ", folded) if "b-" in folded else folded


def _spaced(folded: str) -> str:
    """Every run of characters that are no letter, mark or digit becomes one space."""
    if folded.isascii():
        return _NOT_ASCII_WORD.sub(" ", folded)
    return "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in folded)


def normalise(text: str) -> str:
    """
    Returns the letters, marks and digits of a text, case and compatibility forms folded (Unicode NFKC and case
    folding), without anything between them: `"Don't PANIC!"` and `"do n't panic"` both give `"dontpanic"`.
    """
    squeezed = _spaced(_fold(text)).replace(" ", "")
    return squeezed if squeezed.isascii() else unicodedata.normalize("NFKC", squeezed)


def words(text: str) -> list[str]:
    """
    Returns the words of a text: runs of letters, marks and digits, folded as in [`normalise`].

    An apostrophe inside a word is left out (`"don't"` and `"do n't"` are both `"dont"`); any other punctuation
    separates words. A kana or ideograph is a word of its own.
    """
    folded = _APOSTROPHE.sub("", _SPLIT_CONTRACTION.sub("", _fold(text)))
    if not folded.isascii():
        folded = _IDEOGRAPH.sub(r" \1 ", folded)
    return _spaced(folded).split()


def word_ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    """Returns the n-grams of a list of words in their order, repeated ones included."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
