# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rows that repeat a real row."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .findings import FAIL, OK, WARN, Finding, Outcome, Texts
from .words import normalise

KINDS = ("exact", "normalised", "column")


def find_copies(rows: Sequence[Texts], real: Mapping[str, Sequence[Texts]]) -> list[Finding]:
    """
    Finds rows that repeat a real row.

    The kinds, from the strictest; a row has one finding for each split, of the strictest kind that fits:

    - `exact`: all text columns are equal, character by character.
    - `normalised`: all text columns have the same letters and digits ([`normalise`]).
    - `column`: of a row of several columns, one has the same letters and digits as a text (in any column) of a real
      row.

    A text without a letter or digit is a copy only if it is exact.

    Args:
        rows: N rows.
        real: Real rows of each split.

    Returns:
        Findings with the details `kind`, `split`, `real_row` (the first such row of the split, from 0) and, for
        `column`, `column` (its position).
    """
    normalised = [tuple(map(normalise, row)) for row in rows]
    wanted = set(rows), {row for row in normalised if any(row)}
    columns = {text for row in normalised for text in row if text} if rows and len(rows[0]) > 1 else set()
    findings = []
    for split, real_rows in real.items():
        exact: dict[Texts, int] = {}
        whole: dict[Texts, int] = {}
        single: dict[str, int] = {}
        for number, real_row in enumerate(real_rows):
            folded = tuple(map(normalise, real_row))
            if real_row in wanted[0]:
                exact.setdefault(real_row, number)
            if folded in wanted[1]:
                whole.setdefault(folded, number)
            for text in folded:
                if text in columns:
                    single.setdefault(text, number)
        for row, (texts, folded) in enumerate(zip(rows, normalised, strict=True)):
            if texts in exact:
                findings.append(Finding(row, {"kind": "exact", "split": split, "real_row": exact[texts]}))
            elif folded in whole:
                findings.append(Finding(row, {"kind": "normalised", "split": split, "real_row": whole[folded]}))
            else:
                for column, text in enumerate(folded):
                    if text in single:
                        details = {"kind": "column", "split": split, "real_row": single[text], "column": column}
                        findings.append(Finding(row, details))
                        break
    return findings


def judge_copies(findings: Sequence[Finding], splits: Sequence[str]) -> Outcome:
    """
    Returns the outcome: `fail` if a whole row of another split than train is repeated (what is measured on it is not
    worth much), `warn` if any other copy was found.
    """
    counts = Counter((finding.details["split"], finding.details["kind"]) for finding in findings)
    table = {split: {kind: counts[split, kind] for kind in KINDS} for split in splits}
    leaked = any(table[split]["exact"] + table[split]["normalised"] for split in splits if split != "train")
    status = FAIL if leaked else WARN if findings else OK
    return Outcome(status, len({finding.row for finding in findings}), table, list(findings))
