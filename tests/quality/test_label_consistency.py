# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Labels that a classifier confirms."""

from ddg_hf.quality.label_consistency import check_labels

NAMES = ("bad", "good")


def test_rows_with_another_prediction_are_named():
    outcome = check_labels([0, 0, 1, 1], [0, 1, 1, 1], 0.9, NAMES)
    assert [(finding.row, finding.details) for finding in outcome.findings] == [(1, {"predicted": "good"})]
    assert outcome.counts == {
        "consistency": 0.75,
        "classifier_accuracy": 0.9,
        "consistency_by_label": {"bad": 0.5, "good": 1.0},
    }
    assert outcome.status == "ok"  # three of four is no evidence against 90 %


def test_status_by_evidence_and_by_size():
    labels = [0] * 100
    assert check_labels(labels, [0] * 85 + [1] * 15, 0.9, NAMES).status == "ok"
    assert check_labels(labels, [0] * 80 + [1] * 20, 0.9, NAMES).status == "warn"
    assert check_labels(labels, [0] * 60 + [1] * 40, 0.9, NAMES).status == "fail"
    assert check_labels(labels, labels, 0.9, NAMES).status == "ok"
