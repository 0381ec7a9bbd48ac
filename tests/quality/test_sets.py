# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Repeated rows and the balance of labels."""

from ddg_hf.quality.sets import check_balance, check_duplicates

NAMES = ("bad", "good")


def test_repetitions_inside_and_across_sets():
    rows = [("a film",), ("A film!",), ("other",), ("a film",), ("other",), ("new",)]
    outcome = check_duplicates(rows, labels=[0, 0, 1, 0, 1, 1], sets=[0, 0, 0, 1, 1, 1])
    assert [(finding.row, finding.details["kind"], finding.details["same_as"]) for finding in outcome.findings] == [
        (1, "inside_set", 0),
        (3, "across_sets", 0),
        (4, "across_sets", 2),
    ]
    assert outcome.counts == {"inside_sets": 1, "exact": 0, "across_sets": 2, "two_labels": 0}
    assert outcome.status == "fail"  # one of six rows


def test_repetition_across_sets_alone_is_a_warning():
    outcome = check_duplicates([("a",), ("a",), ("b",)], labels=[0, 0, 1], sets=[0, 1, 1])
    assert (outcome.status, outcome.found) == ("warn", 1)


def test_one_text_with_two_labels_is_grave():
    rows = [(f"text {i}",) for i in range(40)] + [("Text 0",)]
    outcome = check_duplicates(rows, labels=[0] * 40 + [1], sets=[0] * 40 + [1])
    assert (outcome.status, outcome.counts["two_labels"]) == ("fail", 1)


def test_texts_without_letters_are_not_all_the_same():
    assert check_duplicates([("!",), ("?",), ("a",)], [0, 0, 0], [0, 0, 0]).found == 0
    assert check_duplicates([("🙂",), ("🙂 ",)], [0, 0], [0, 0]).found == 1


def test_pairs_are_compared_by_column():
    assert check_duplicates([("ab", "c"), ("a", "bc")], [0, 0], [0, 0]).found == 0


def test_balance():
    even = check_balance([0, 1, 0, 1], [0, 0, 1, 1], NAMES)
    assert (even.status, even.found, even.counts["rows_per_label"]) == ("ok", 0, [1, 1])
    uneven = check_balance([0, 1, 1, 0, 1], [0, 0, 0, 1, 1], NAMES)
    assert (uneven.status, uneven.found, uneven.counts["rows_per_label"]) == ("warn", 1, [1, 2])
    absent = check_balance([0, 1, 0, 0], [0, 0, 3, 3], NAMES)
    assert (absent.status, absent.found, absent.counts["absent"]) == ("fail", 1, ["good"])
