# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the matching did to its generators, as a table and in a sentence."""

from collections.abc import Mapping
from typing import Any

from ..study.methods import STUDENTS
from .model import Results
from .tables import Column, Table, shown
from .values import mapping, number, slug, text

_COSINE = Column("", kind="number", digits=3)
# Columns: the measure, when, and the heading.
_SHOWN = (
    ("gradient_cosine", "before", Column("cosine_before", "Cosine before", "number", 3)),
    ("gradient_cosine", "after", Column("cosine_after", "Cosine after", "number", 3)),
    ("real_gradient_cosine", "after", Column("cosine_real", "of real rows", "number", 3)),
    ("exchanged_gradient_cosine", "after", Column("cosine_exchanged", "under other labels", "number", 3)),
    ("label_consistency", "before", Column("label_before", "Labels confirmed before, %", "percent")),
    ("label_consistency", "after", Column("label_after", "Labels confirmed after, %", "percent")),
    ("nll", "before", Column("nll_before", "Real texts before, nats", "number", 2)),
    ("nll", "after", Column("nll_after", "Real texts after, nats", "number", 2)),
    ("malformed_rate", "after", Column("malformed_after", "Malformed after, %", "percent")),
)


def matching_table(results: Results) -> Table | None:
    """What was measured on fresh texts before and after each matching, or None if nothing was."""
    found = [row for row in results.matching if mapping(row.get("after"))]
    if not found:
        return None
    kept = [
        (name, when, column)
        for name, when, column in _SHOWN
        if any(_value(row, name, when) is not None for row in found)
    ]
    columns = [Column("student", "Matching"), Column("seed", "Seed", "count"), Column("steps", "Steps", "count")]
    columns += [column for _, _, column in kept]
    counts = ("seed", "steps")
    rows = [
        [_title(row), *(number(row.get(n)) for n in counts), *(_value(row, n, when) for n, when, _ in kept)]
        for row in found
    ]
    note = (
        "Fresh texts of the generator, at the same students before and after. Cosine: of their gradient and that of "
        "real rows, which the matching maximises"
    )
    if any(name == "exchanged_gradient_cosine" for name, _, _ in kept):
        note += (
            "; beside it that of training rows, drawn at random, and of these under other labels. Where these two are "
            "close, the matching can hardly see labels"
        )
    note += (
        ". DDG and DiLM have different students, so that their cosines are not to be compared. Real texts: of the "
        "validation split, nats per token; where it grows, the generator forgets."
    )
    return Table(slug("matching", results.subject), results.titled("The matching"), columns, rows, note)


def matching_sentences(results: Results) -> list[str]:
    """What became of the cosine that matching maximises, a sentence for each kind of student."""
    sentences = []
    for student in dict.fromkeys(text(row.get("student")) for row in results.matching):
        pairs = [
            pair
            for row in results.matching
            if text(row.get("student")) == student and None not in (pair := _cosines(row))
        ]
        if not pairs:
            continue
        before, after = (shown(sum(values) / len(pairs), _COSINE) for values in zip(*pairs, strict=True))
        seeds = f", means of {len(pairs)} training seeds" if len(pairs) > 1 else ""
        on = f" on {results.subject}" if results.split else ""
        sentences.append(
            f"The gradient cosine of fresh texts, which the matching of {STUDENTS.get(student, student)}{on} is to "
            f"raise, was {before} before it and {after} after it{seeds}."
        )
    return sentences


def _title(row: Mapping[str, Any]) -> str:
    student = text(row.get("student"))
    return STUDENTS.get(student, student)


def _value(row: Mapping[str, Any], name: str, when: str) -> float | None:
    return number(mapping(row.get(when)).get(name))


def _cosines(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return _value(row, "gradient_cosine", "before"), _value(row, "gradient_cosine", "after")
