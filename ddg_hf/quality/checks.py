# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Names of the checks."""

CHECKS = {
    "copies": "rows that repeat a real row",
    "near_copies": "rows that are nearly a real row (word 8-grams, MinHash)",
    "duplicates": "rows that repeat another row of the sets",
    "balance": "sets with more rows of one label than of another",
    "empty": "texts without a word",
    "truncated": "texts that look cut off",
    "control_tokens": "texts with control tokens or control characters",
    "personal_data": "e-mail addresses, telephone, card and account numbers, URLs",
    "label_consistency": "rows that a classifier of real rows gives another label",
    "diversity": "sets that are less varied than real rows (distinct-n, self-BLEU)",
    "lengths": "sets whose texts are much shorter or longer than real rows",
}
"""Names of the checks, and what each looks for."""

NEED_REAL_ROWS = ("copies", "near_copies")
NEED_LEARNER = ("label_consistency",)
COUNT_SETS = ("balance", "diversity", "lengths")
"""Checks that count sets; the others count rows."""
