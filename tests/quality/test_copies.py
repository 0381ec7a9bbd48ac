# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Copies of real rows."""

from ddg_hf.quality.copies import find_copies, judge_copies


def found(rows, real):
    return [(finding.row, finding.details) for finding in find_copies(rows, real)]


def test_exact_is_told_from_normalised():
    real = {"train": [("other",), ("A fine film .",), ("a fine film",)], "test": [("a FINE film!",)]}
    assert found([("A fine film .",), ("a fine fill",)], real) == [
        (0, {"kind": "exact", "split": "train", "real_row": 1}),
        (0, {"kind": "normalised", "split": "test", "real_row": 0}),
    ]


def test_pair_needs_both_columns_in_their_order():
    real = {"train": [("how old are you", "what is your age")]}
    assert found([("How old are you?", "What is your age?")], real)[0][1]["kind"] == "normalised"
    assert found([("What is your age?", "something else")], real) == [
        (0, {"kind": "column", "split": "train", "real_row": 0, "column": 0})
    ]
    assert found([("something", "else")], real) == []


def test_columns_are_not_run_together():
    assert found([("ab", "c")], {"train": [("a", "bc")]}) == []


def test_texts_without_letters_are_copies_only_if_exact():
    real = {"train": [("!!!",), ("",)]}
    assert found([("?",), (" ",)], real) == []
    assert found([("!!!",)], real)[0][1]["kind"] == "exact"


def test_a_copy_of_a_test_row_is_graver_than_one_of_a_training_row():
    row = [("a fine film",)]
    real = {"train": row, "validation": [("other",)]}
    outcome = judge_copies(find_copies(row, real), list(real))
    assert (outcome.status, outcome.found) == ("warn", 1)
    assert outcome.counts["train"] == {"exact": 1, "normalised": 0, "column": 0}
    assert judge_copies(find_copies(row, {"train": row, "test": row}), ["train", "test"]).status == "fail"
    assert judge_copies([], ["train"]).status == "ok"
