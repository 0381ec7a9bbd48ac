# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How varied texts are, and how long: distinct-n, self-BLEU and lengths, beside those of real rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .findings import FAIL, OK, WARN, Outcome, Texts
from .words import word_ngrams, words

ORDERS = (1, 2, 3)
BLEU_ORDER = 4
EPSILON = 0.1
"""Stands for a count of zero in self-BLEU (method 1 of Chen and Cherry, 2014)."""
REAL_DRAWS = 10
WARN_RATIO, FAIL_RATIO = 0.8, 0.5
"""Of the distinct-2 of real rows."""
LENGTH_RATIOS = (0.5, 2.0)


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """
    Returns distinct-n (Li et al., 2016): different word n-grams divided by all word n-grams of N tokenised texts;
    0 if there are none. It falls with the number of texts: compare only sets of one size.
    """
    counts = Counter(gram for tokens in texts for gram in word_ngrams(list(tokens), n))
    return len(counts) / counts.total() if counts else 0.0


def self_bleu(texts: Sequence[Sequence[str]], order: int = BLEU_ORDER) -> float:
    """
    Returns self-BLEU (Zhu et al., 2018, "Texygen"): the mean BLEU of each tokenised text with all others as
    references, from 0 (nothing in common) to 1.

    BLEU is that of a sentence: clipped precisions of n-grams up to `order`, equal weights, brevity penalty by the
    reference of the nearest length (the shorter of two), and 0.1 for a count of zero (0 where no word is shared). The
    time is linear in the number of n-grams: what clips a count is the greatest count of the n-gram in any other text,
    which the two greatest of all texts tell.

    Args:
        texts: N texts of words. With fewer than two the result is 0.
        order: Longest n-gram.
    """
    if len(texts) < 2:
        return 0.0
    by_order = [[Counter(word_ngrams(list(tokens), n)) for tokens in texts] for n in range(1, order + 1)]
    greatest = [_two_greatest(counts) for counts in by_order]
    lengths = Counter(map(len, texts))
    total = 0.0
    for i, tokens in enumerate(texts):
        matched = [
            sum(min(count, _greatest_elsewhere(top[gram], i)) for gram, count in counts[i].items())
            for counts, top in zip(by_order, greatest, strict=True)
        ]
        if not matched[0]:
            continue
        precisions = [
            (hits or EPSILON) / max(1, counts[i].total()) for hits, counts in zip(matched, by_order, strict=True)
        ]
        others = lengths - Counter([len(tokens)])
        reference = min(others, key=lambda length: (abs(length - len(tokens)), length))
        penalty = min(0.0, 1 - reference / len(tokens))
        total += math.exp(penalty + sum(map(math.log, precisions)) / order)
    return total / len(texts)


def _two_greatest(counts: Sequence[Counter]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Returns for each n-gram the greatest count in a text, the text that has it, and the greatest in the others."""
    result: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for i, counter in enumerate(counts):
        for gram, count in counter.items():
            first, where, second = result.get(gram, (0, -1, 0))
            if count > first:
                result[gram] = (count, i, first)
            elif count > second:
                result[gram] = (first, where, count)
    return result


def _greatest_elsewhere(top: tuple[int, int, int], i: int) -> int:
    first, where, second = top
    return second if where == i else first


def diversity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns `distinct_1`, `distinct_2`, `distinct_3` and `self_bleu` of the tokenised texts of one set."""
    return {**{f"distinct_{n}": distinct(texts, n) for n in ORDERS}, "self_bleu": self_bleu(texts)}


def _mean(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(sum(one[name] for one in measured) / len(measured), 4) for name in measured[0]}


def tokens_of(row: Texts) -> list[str]:
    """Returns the words of all columns of a row."""
    return [word for text in row for word in words(text)]


def check_diversity(rows: Sequence[Texts], sets: Sequence[int], real_rows: Sequence[Texts] = ()) -> Outcome:
    """
    Measures the variety of each set of one configuration.

    Args:
        rows: N rows.
        sets: Numbers of their sets.
        real_rows: Training rows to compare with, if there are any.

    Returns:
        The outcome; `found` is the number of sets whose distinct-2 is below 0.8 times that of real rows. Counts: the
        means over the sets of [`diversity`], and under `real` those of 10 draws of as many real rows (fixed seed).
        `fail` if the mean distinct-2 is below half of that of real rows, `warn` if it is below 0.8 times.
    """
    members: dict[int, list[list[str]]] = {}
    for row, number in zip(rows, sets, strict=True):
        members.setdefault(number, []).append(tokens_of(row))
    measured = [diversity(texts) for texts in members.values()]
    counts: dict[str, Any] = _mean(measured)
    size = round(len(rows) / len(members))
    if len(real_rows) < size:
        return Outcome(OK, 0, counts)
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(real_rows), size, replace=False) for _ in range(REAL_DRAWS)]
    counts["real"] = _mean([diversity([tokens_of(real_rows[i]) for i in draw]) for draw in draws])
    usual = counts["real"]["distinct_2"]
    ratio = counts["distinct_2"] / usual if usual else 1.0
    status = FAIL if ratio < FAIL_RATIO else WARN if ratio < WARN_RATIO else OK
    return Outcome(status, sum(one["distinct_2"] < WARN_RATIO * usual for one in measured), counts)


def check_lengths(
    rows: Sequence[Texts],
    labels: Sequence[int],
    sets: Sequence[int],
    label_names: Sequence[str],
    real_rows: Sequence[Texts] = (),
) -> Outcome:
    """
    Measures how long the rows of one configuration are.

    Args:
        rows: N rows.
        labels: Their label ids.
        sets: Numbers of their sets.
        label_names: Names of the labels.
        real_rows: Training rows to compare with, if there are any.

    Returns:
        The outcome; `found` is the number of sets whose mean number of words is below half or above twice that of real
        rows. Counts: `words` and `characters` (least, median, mean and greatest number in a row, all columns
        together), `words_by_label` (means) and, with real rows, `real_words`. `warn` if the mean over all sets is
        outside these bounds.
    """
    num_words = [len(tokens_of(row)) for row in rows]
    by_label, by_set = defaultdict(list), defaultdict(list)
    for count, label, number in zip(num_words, labels, sets, strict=True):
        by_label[label].append(count)
        by_set[number].append(count)
    counts: dict[str, Any] = {
        "words": _summary(num_words),
        "characters": _summary([sum(map(len, row)) for row in rows]),
        "words_by_label": {label_names[label]: _rounded(np.mean(by_label[label])) for label in sorted(by_label)},
    }
    if not real_rows:
        return Outcome(OK, 0, counts)
    counts["real_words"] = _summary([len(tokens_of(row)) for row in real_rows])
    low, high = (bound * counts["real_words"]["mean"] for bound in LENGTH_RATIOS)
    unusual = sum(not low <= np.mean(values) <= high for values in by_set.values())
    return Outcome(OK if low <= np.mean(num_words) <= high else WARN, unusual, counts)


def _rounded(value: float) -> float:
    return round(float(value), 2)


def _summary(values: Sequence[int]) -> dict[str, float]:
    return {
        "least": int(np.min(values)),
        "median": float(np.median(values)),
        "mean": _rounded(np.mean(values)),
        "greatest": int(np.max(values)),
    }
