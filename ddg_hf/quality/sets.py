# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks on sets as wholes: repeated rows and the balance of the labels."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from .findings import FAIL, OK, WARN, Finding, Outcome, Texts
from .words import normalise

REPEATED_FAIL_SHARE = 0.05


def check_duplicates(rows: Sequence[Texts], labels: Sequence[int], sets: Sequence[int]) -> Outcome:
    """
    Counts rows that repeat an earlier row of one configuration, by letters and digits ([`normalise`]; a text without
    any is compared as it is).

    Args:
        rows: N rows.
        labels: Their label ids.
        sets: Numbers of their sets.

    Returns:
        The outcome. Counts: `inside_sets` (rows that repeat an earlier one of their own set; `exact` of them character
        by character), `across_sets` (rows that repeat one of another set, and none of their own), `two_labels` (rows
        whose text an earlier row has with another label). `fail` if there are two labels for a text, or 5 % of the
        rows repeat one of their set; `warn` if there is any repetition. Details of a finding: `kind` (`inside_set`
        or `across_sets`), `same_as` (the row that is repeated), `other_label`.
    """
    seen: dict[Texts, list[int]] = defaultdict(list)
    findings, exact = [], 0
    for row, texts in enumerate(rows):
        key = tuple(normalise(text) or text.strip() for text in texts)
        earlier = seen[key]
        if earlier:
            own = [other for other in earlier if sets[other] == sets[row]]
            same = (own or earlier)[0]
            exact += any(rows[other] == texts for other in own)
            details = {"kind": "inside_set" if own else "across_sets", "same_as": same}
            other_label = any(labels[other] != labels[row] for other in earlier)
            findings.append(Finding(row, details | {"other_label": other_label}))
        earlier.append(row)
    kinds = Counter(finding.details["kind"] for finding in findings)
    two_labels = sum(finding.details["other_label"] for finding in findings)
    counts = {
        "inside_sets": kinds["inside_set"],
        "exact": exact,
        "across_sets": kinds["across_sets"],
        "two_labels": two_labels,
    }
    grave = two_labels or (findings and kinds["inside_set"] >= REPEATED_FAIL_SHARE * len(rows))
    return Outcome(FAIL if grave else WARN if findings else OK, len(findings), counts, findings)


def check_balance(labels: Sequence[int], sets: Sequence[int], label_names: Sequence[str]) -> Outcome:
    """
    Counts the rows of each label in each set of one configuration.

    Args:
        labels: Label ids of N rows.
        sets: Numbers of their sets.
        label_names: Names of the labels.

    Returns:
        The outcome; `found` is the number of sets that are not balanced. Counts: `sets`, `rows_per_label` (least and
        greatest number of rows that a label has in a set) and `absent` (labels that some set has no row of). `fail`
        if a label is absent, `warn` if a set has more rows of one label than of another.
    """
    counts = Counter(zip(sets, labels, strict=True))
    numbers = sorted(set(sets))
    table = [[counts[number, label] for label in range(len(label_names))] for number in numbers]
    absent = [name for label, name in enumerate(label_names) if any(not row[label] for row in table)]
    uneven = sum(len(set(row)) > 1 for row in table)
    summary = {
        "sets": len(numbers),
        "rows_per_label": [min(map(min, table)), max(map(max, table))],
        "absent": absent,
    }
    return Outcome(FAIL if absent else WARN if uneven else OK, uneven, summary)
