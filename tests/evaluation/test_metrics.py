# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Metrics: the usual ones, and what an answer that names no label does to them."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError
from ddg_hf.evaluation.metrics import compute_metrics

ALL = ("accuracy", "f1", "matthews_correlation")


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
