# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Metrics: the usual ones, and what an answer that names no label does to them."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError
from ddg_hf.evaluation.metrics import (
    METRICS,
    compute_metrics,
    confusion_matrix,
    expected_calibration_error,
    per_label_metrics,
    weighted_metrics,
)

ALL = ("accuracy", "f1", "macro_f1", "matthews_correlation")


@pytest.mark.parametrize("num_labels", [2, 4])
def test_equal_to_scikit_learn(num_labels):
    rng = np.random.default_rng(0)
    references = rng.integers(num_labels, size=200)
    predictions = np.where(rng.random(200) < 0.6, references, rng.integers(num_labels, size=200))
    results = compute_metrics(ALL, predictions, references, num_labels)
    assert results["accuracy"] == pytest.approx((predictions == references).mean())
    average = "binary" if num_labels == 2 else "macro"
    assert results["f1"] == pytest.approx(f1_score(references, predictions, average=average))
    assert results["matthews_correlation"] == pytest.approx(matthews_corrcoef(references, predictions))


def test_binary_f1_is_that_of_label_1():
    # two of three rows of label 1 found, one false alarm
    assert compute_metrics(["f1"], [1, 1, 0, 1, 0], [1, 1, 1, 0, 0], 2)["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("num_labels", [2, 3])
def test_unparsable_is_wrong_for_all(num_labels):
    references = np.arange(60) % num_labels
    some = references.copy()
    some[:12] = -1
    perfect = compute_metrics(ALL, references, references, num_labels)
    worse = compute_metrics(ALL, some, references, num_labels)
    assert set(perfect.values()) == {1.0}
    assert worse["accuracy"] == pytest.approx(48 / 60)
    for name in ALL:
        assert 0.5 < worse[name] < 1.0
    nothing = compute_metrics(ALL, np.full(60, -1), references, num_labels)
    assert set(nothing.values()) == {0.0}


def test_unparsable_does_not_count_as_another_class():
    """A miss of class 0 must not lower the precision of class 1."""
    assert compute_metrics(["f1"], [-1, 1], [0, 1], 2)["f1"] == 1.0
    assert compute_metrics(["f1"], [1, 1], [0, 1], 2)["f1"] < 1.0


def test_tasks_ask_for_metrics_that_exist():
    for spec in TASKS.values():
        assert set(compute_metrics(spec.metrics, [0, 1], [0, 1], spec.num_labels)) == set(spec.metrics)


def test_unknown_metric():
    with pytest.raises(UserError, match="unknown metric 'acuracy'.*'accuracy'"):
        compute_metrics(["acuracy"], [0], [0], 2)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_evaluate(name):
    """The classes are metrics as `evaluate.load` returns them."""
    predictions, references = [0, 1, 1, -1, 0, 1], [0, 1, 0, 1, 1, 1]
    metric = METRICS[name]()
    metric.add_batch(predictions=predictions[:2], references=references[:2])
    metric.add_batch(predictions=predictions[2:], references=references[2:])
    assert metric.compute() == compute_metrics([name], predictions, references, 2)


def test_macro_f1_is_over_the_labels_that_occur():
    references, predictions = [0, 0, 2, 2], [0, 1, 2, -1]
    expected = f1_score(references, predictions, labels=[0, 2], average="macro")
    assert compute_metrics(["macro_f1"], predictions, references, 5)["macro_f1"] == pytest.approx(expected)
    assert expected == pytest.approx(2 / 3)


def draw(num_labels, size=300):
    """Predictions of which some are right and some are missing, and references."""
    rng = np.random.default_rng(num_labels)
    references_Q = rng.integers(num_labels, size=size)
    wrong_Q = rng.integers(-1, num_labels, size=size)
    return np.where(rng.random(size) < 0.6, references_Q, wrong_Q), references_Q


def test_confusion_matrix_counts_what_was_taken_for_what():
    confusion = confusion_matrix([1, 1, -1, 0, -1], [0, 1, 1, 0, 1], 3)
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize("num_labels", [2, 5])
def test_per_label_metrics_are_those_of_scikit_learn(num_labels):
    predictions_Q, references_Q = draw(num_labels)
    found = per_label_metrics(confusion_matrix(predictions_Q, references_Q, num_labels))
    expected = precision_recall_fscore_support(references_Q, predictions_Q, labels=range(num_labels))
    for name, values_K in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(found[name], values_K)


def test_label_that_is_never_predicted_and_never_true():
    found = per_label_metrics(confusion_matrix([0, 0], [0, 1], 3))
    assert {name: values_K.tolist() for name, values_K in found.items()} == {
        "precision": [0.5, 0.0, 0.0],
        "recall": [1.0, 0.0, 0.0],
        "f1": [pytest.approx(2 / 3), 0.0, 0.0],
        "support": [1, 1, 0],
    }


def test_calibration_error_by_hand():
    # of 5 bins: (0.4, 0.6] has two, half of them right, mean confidence 0.55; (0.8, 1] has three, all right, mean 0.9
    confidences, correct = [0.5, 0.6, 0.9, 1.0, 0.8 + 1e-9], [True, False, True, True, True]
    expected = 2 / 5 * abs(0.5 - 0.55) + 3 / 5 * abs(1.0 - 0.9)
    assert expected_calibration_error(confidences, correct, num_bins=5) == pytest.approx(expected)


def test_calibration_error_has_15_bins_closed_above():
    # 1/15 is in the first bin, a little more in the second: a right and a wrong answer do not cancel
    edge = 1 / 15
    assert expected_calibration_error([edge, edge], [True, False]) == pytest.approx(abs(0.5 - edge))
    apart = expected_calibration_error([edge, edge + 1e-6], [True, False])
    assert apart == pytest.approx((1 - edge + edge) / 2, abs=1e-5)
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    assert np.isnan(expected_calibration_error([], []))


def test_calibrated_confidences_have_no_error():
    rng = np.random.default_rng(0)
    confidences_Q = rng.uniform(0.5, 1, 50_000)
    correct_Q = rng.random(50_000) < confidences_Q
    assert expected_calibration_error(confidences_Q, correct_Q) < 0.01
    assert expected_calibration_error(np.sqrt(confidences_Q), correct_Q) > 0.05


@pytest.mark.parametrize("num_labels", [2, 6])
def test_weighted_metrics_are_those_of_scikit_learn(num_labels):
    predictions_Q, references_Q = draw(num_labels, size=60)
    counts_RQ = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=20)
    counts_RQ[0] = 1
    counts_RQ[1] = np.where(references_Q == 0, 0, counts_RQ[1])  # a label that is not drawn
    found = weighted_metrics(predictions_Q, references_Q, num_labels, counts_RQ / counts_RQ.sum(1, keepdims=True))
    for i, counts_Q in enumerate(counts_RQ):
        drawn = np.repeat(np.arange(60), counts_Q)
        references, predictions = references_Q[drawn], predictions_Q[drawn]
        labels = np.unique(references)
        assert found["accuracy"][i] == pytest.approx(accuracy_score(references, predictions))
        macro_f1 = f1_score(references, predictions, labels=labels, average="macro")
        assert found["macro_f1"][i] == pytest.approx(macro_f1)
        assert found["matthews_correlation"][i] == pytest.approx(matthews_corrcoef(references, predictions))
    plain = compute_metrics(found, predictions_Q, references_Q, num_labels)
    assert plain == pytest.approx({name: values_R[0] for name, values_R in found.items()})


def test_weighted_metrics_without_any_spread():
    found = weighted_metrics(np.zeros(4, int), np.zeros(4, int), 2, np.full((1, 4), 0.25))
    assert {name: values_R.tolist() for name, values_R in found.items()} == {
        "accuracy": [1.0],
        "macro_f1": [1.0],
        "matthews_correlation": [0.0],
    }
