# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rows that are nearly a real row: word 8-gram containment and MinHash."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .findings import FAIL, OK, WARN, Finding, Outcome, Texts
from .words import word_ngrams, words

GRAM_WORDS = 8
SHORTEST_GRAM = 5
"""A text of fewer words than this may occur in a real one by chance, and has no 8-gram containment."""
CONTAINMENT = 0.5
SHINGLE_CHARACTERS = 5
JACCARD = 0.7
FAIL_SHARE = 0.1

# With 32 bands of 4 a pair of Jaccard similarity s is a candidate with probability 1 - (1 - s^4)^32: 0.9998 at 0.7.
_BANDS, _BAND_SIZE = 32, 4


class Nearest(NamedTuple):
    """A real row (its position) and how similar it is, from 0 to 1; position -1 if none has anything in common."""

    similarity: float
    real_row: int


NONE = Nearest(0.0, -1)


def grams(row: Texts) -> set[tuple[str, ...]]:
    """
    Returns the word 8-grams of a row, each within one column. A column of 5 to 7 words has one gram, of all its words;
    a shorter one has none.
    """
    result: set[tuple[str, ...]] = set()
    for text in row:
        tokens = words(text)
        if len(tokens) >= SHORTEST_GRAM:
            result.update(word_ngrams(tokens, min(GRAM_WORDS, len(tokens))))
    return result


def nearest_by_containment(rows: Sequence[Texts], real_rows: Sequence[Texts]) -> list[Nearest]:
    """
    Returns for each row the real row that has the greatest share of its [`grams`], as runs of words within a column.

    Nothing is kept of the real rows but what they share with the others.
    """
    row_grams = [grams(row) for row in rows]
    owners: dict[tuple[str, ...], list[int]] = {}
    for row, own in enumerate(row_grams):
        for gram in own:
            owners.setdefault(gram, []).append(row)
    lengths = sorted({len(gram) for gram in owners})
    best = [NONE] * len(rows)
    for number, real_row in enumerate(real_rows):
        shared = set()
        for text in real_row:
            tokens = words(text)
            for n in lengths:
                shared.update(gram for gram in word_ngrams(tokens, n) if gram in owners)
        for row, count in Counter(row for gram in shared for row in owners[gram]).items():
            share = count / len(row_grams[row])
            if share > best[row].similarity:
                best[row] = Nearest(share, number)
    return best


def shingles(row: Texts) -> set[str]:
    """Returns the runs of 5 characters of the words of a row, joined by spaces; columns are joined by a line break."""
    text = "\n".join(" ".join(words(column)) for column in row)
    if not text.strip():
        return set()
    return {text[i : i + SHINGLE_CHARACTERS] for i in range(max(1, len(text) - SHINGLE_CHARACTERS + 1))}


def nearest_by_jaccard(rows: Sequence[Texts], real_rows: Sequence[Texts]) -> list[Nearest]:
    """
    Returns for each row the most similar real row by the Jaccard similarity of their [`shingles`].

    Candidates come from MinHash signatures and locality-sensitive hashing (`datasketch`); the similarity is the exact
    one. A real row of similarity 0.7 is overlooked with a probability of 0.0002, one of 0.5 with 0.13; less similar
    ones are mostly not found.
    """
    from datasketch import MinHash, MinHashLSH

    options = {"num_perm": _BANDS * _BAND_SIZE, "hashfunc": zlib.crc32}

    def signatures(all_shingles: Iterable[set[str]]) -> Iterable[MinHash]:
        return MinHash.generator(([s.encode() for s in own] for own in all_shingles), **options)

    row_shingles = [shingles(row) for row in rows]
    index = MinHashLSH(num_perm=options["num_perm"], params=(_BANDS, _BAND_SIZE))
    for row, signature in enumerate(signatures(row_shingles)):
        if row_shingles[row]:
            index.insert(row, signature, check_duplication=False)
    best = [NONE] * len(rows)
    for number, (real_row, signature) in enumerate(zip(real_rows, signatures(map(shingles, real_rows)), strict=True)):
        candidates = index.query(signature)
        theirs = shingles(real_row) if candidates else set()
        for row in candidates if theirs else ():
            own = row_shingles[row]
            similarity = len(own & theirs) / len(own | theirs)
            if similarity > best[row].similarity:
                best[row] = Nearest(similarity, number)
    return best


def find_near_copies(
    rows: Sequence[Texts], real: Mapping[str, Sequence[Texts]], copies: Iterable[Finding] = ()
) -> list[Finding]:
    """
    Finds rows that are nearly a real row: half or more of their [`grams`] occur in one, or the Jaccard similarity of
    [`shingles`] is 0.7 or more.

    Args:
        rows: N rows.
        real: Real rows of each split.
        copies: What [`~ddg_hf.quality.copies.find_copies`] found; whole rows that repeat a row of a split are left out
            for this split.

    Returns:
        Findings, one at most for a row and split, with the details `measure` (`8-grams` or `jaccard`, whichever is
        higher), `split`, `real_row` (the nearest) and `similarity`.
    """
    # A text that many rows repeat is looked up once.
    distinct = list(dict.fromkeys(rows))
    position = {row: number for number, row in enumerate(distinct)}
    known = {(copy.row, copy.details["split"]) for copy in copies if copy.details["kind"] != "column"}
    findings = []
    for split, real_rows in real.items():
        by_grams, by_shingles = nearest_by_containment(distinct, real_rows), nearest_by_jaccard(distinct, real_rows)
        for row, texts in enumerate(rows):
            contained, alike = by_grams[position[texts]], by_shingles[position[texts]]
            measured = ((contained, "8-grams", CONTAINMENT), (alike, "jaccard", JACCARD))
            over = [(nearest, measure) for nearest, measure, least in measured if nearest.similarity >= least]
            if over and (row, split) not in known:
                nearest, measure = max(over)
                details = {"measure": measure, "split": split, "real_row": nearest.real_row}
                findings.append(Finding(row, details | {"similarity": round(nearest.similarity, 3)}))
    return findings


def judge_near_copies(findings: Sequence[Finding], splits: Sequence[str], rows: Sequence[Texts]) -> Outcome:
    """Returns the outcome: `fail` if 10 % of the rows or more are near copies, `warn` if any is."""
    found = len({finding.row for finding in findings})
    by_split = Counter(finding.details["split"] for finding in findings)
    counts = {
        **{split: by_split[split] for split in splits},
        "too_short_for_grams": sum(not grams(row) for row in rows),
    }
    status = OK if not found else FAIL if found >= FAIL_SHARE * len(rows) else WARN
    return Outcome(status, found, counts, list(findings))
