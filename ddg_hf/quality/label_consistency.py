# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Do the texts have the labels that they carry? Asked of a classifier that knows real rows."""

from collections.abc import Sequence

import numpy as np

from .findings import FAIL, OK, WARN, Finding, Outcome

LEVEL = 0.01


def check_labels(
    labels: Sequence[int], predicted: Sequence[int], accuracy: float, label_names: Sequence[str]
) -> Outcome:
    """
    Compares the labels of one configuration with those that a classifier gives to the texts.

    Args:
        labels: Label ids of N rows.
        predicted: Label ids that the classifier gives them.
        accuracy: Accuracy of the classifier on real rows that it was not fitted to.
        label_names: Names of the labels.

    Returns:
        The outcome; `found` is the number of rows with another prediction. Counts: `consistency` (share of the rows
        with the same one), `classifier_accuracy` and `consistency_by_label`. `warn` if the consistency is lower than
        the accuracy by more than chance (one-sided binomial test at 1 %), `fail` if it is also nearer to guessing
        (1 / number of labels) than to the accuracy. Details of a finding: `predicted`.
    """
    from scipy.stats import binom

    labels_N, predicted_N = np.asarray(labels), np.asarray(predicted)
    same_N = labels_N == predicted_N
    consistency = float(same_N.mean())
    findings = [Finding(int(row), {"predicted": label_names[predicted_N[row]]}) for row in np.flatnonzero(~same_N)]
    lower = float(binom.cdf(same_N.sum(), len(same_N), accuracy)) < LEVEL
    guessing = 1 / len(label_names)
    status = OK if not lower else FAIL if consistency < (accuracy + guessing) / 2 else WARN
    counts = {
        "consistency": round(consistency, 4),
        "classifier_accuracy": round(accuracy, 4),
        "consistency_by_label": {
            label_names[label]: round(float(same_N[labels_N == label].mean()), 4) for label in np.unique(labels_N)
        },
    }
    return Outcome(status, len(findings), counts, findings)
