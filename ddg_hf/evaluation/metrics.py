# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Classification metrics as local `evaluate.Metric` subclasses (`evaluate.load` would fetch a script from the Hub), the
confusion matrix and what follows from it, the calibration error, and the metrics of many weightings at once.

A prediction of -1 means that there is no answer: none could be read, or the query failed. It is wrong for every
metric: no class is credited with it.

Shape letters: Q queries; K labels; R weightings (bootstrap replicates).
"""

from collections.abc import Iterable, Sequence

import datasets
import evaluate
import numpy as np
from sklearn import metrics as sklearn_metrics

from ddg_hf.errors import UserError, closest

from .results import UNPARSABLE

_INPUTS = """
Args:
    predictions (`list` of `int`): Predicted label ids; -1 where there is no readable answer.
    references (`list` of `int`): Label ids.
"""


class _ClassificationMetric(evaluate.Metric):
    """Integer predictions against integer references, kept in memory."""

    summary = ""

    def __init__(self, **kwargs):
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self):
        return evaluate.MetricInfo(
            description=self.summary,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}
            ),
        )


class Accuracy(_ClassificationMetric):
    """Share of predictions that equal their reference."""

    summary = "Share of right predictions."

    @staticmethod
    def _compute(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": float(sklearn_metrics.accuracy_score(references, predictions))}


def _mean_f1(predictions: Sequence[int], references: Sequence[int], labels: list[int]) -> float:
    # with the labels listed, -1 is a miss of the true class and a hit of none
    return float(sklearn_metrics.f1_score(references, predictions, labels=labels, average="macro", zero_division=0))


class F1(_ClassificationMetric):
    """F1 of label 1 when there are two labels, as GLUE has it, and the unweighted mean over the labels otherwise."""

    summary = "F1: of label 1 for two labels, macro-averaged for more."

    @staticmethod
    def _compute(predictions: Sequence[int], references: Sequence[int], num_labels: int = 2) -> dict[str, float]:
        labels = [1] if num_labels == 2 else list(range(num_labels))
        return {"f1": _mean_f1(predictions, references, labels)}


class MacroF1(_ClassificationMetric):
    """
    Unweighted mean of the F1 of every label that occurs among the references: a sample of queries may lack some, and
    all predictions of the same queries are averaged over the same labels.
    """

    summary = "F1, macro-averaged over the labels that occur among the references."

    @staticmethod
    def _compute(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"macro_f1": _mean_f1(predictions, references, sorted(set(references)))}


class MatthewsCorrelation(_ClassificationMetric):
    """Matthews correlation coefficient; -1 counts as one more class, which is never the true one."""

    summary = "Matthews correlation coefficient."

    @staticmethod
    def _compute(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"matthews_correlation": float(sklearn_metrics.matthews_corrcoef(references, predictions))}


METRICS = {"accuracy": Accuracy, "f1": F1, "macro_f1": MacroF1, "matthews_correlation": MatthewsCorrelation}


def compute_metrics(
    names: Iterable[str], predictions: Sequence[int], references: Sequence[int], num_labels: int
) -> dict[str, float]:
    """
    Computes the metrics in `names` (`accuracy`, `f1`, `macro_f1`, `matthews_correlation`), each between 0 and 1 (the
    last one between -1 and 1).

    Args:
        names: Names of the metrics, e.g. `TaskSpec.metrics`.
        predictions: Predicted label ids; -1 where there is no readable answer.
        references: Label ids, as many.
        num_labels: Number of classes of the task.

    Raises:
        UserError: on a metric that does not exist.
    """
    results: dict[str, float] = {}
    for name in names:
        if name not in METRICS:
            raise UserError(f"unknown metric '{name}'.{closest(name, METRICS)} There are {', '.join(METRICS)}.")
        options = {"num_labels": num_labels} if name == "f1" else {}
        # not `compute`, which writes an Arrow table first: 10 ms, many times over
        results |= METRICS[name]._compute(list(predictions), list(references), **options)
    return results


def confusion_matrix(
    predictions_Q: np.ndarray | Sequence[int], references_Q: np.ndarray | Sequence[int], num_labels: int
) -> np.ndarray:
    """
    Counts how often each label was taken for which.

    Args:
        predictions_Q: Predicted label ids; -1 for no answer.
        references_Q: Label ids.
        num_labels: Number of labels K.

    Returns:
        Integers of shape [K, K + 1]: row = reference, column = prediction, the last column = no answer.
    """
    labels = [*range(num_labels), UNPARSABLE]
    return sklearn_metrics.confusion_matrix(references_Q, predictions_Q, labels=labels)[:num_labels]


def per_label_metrics(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """
    Precision, recall, F1 and support of every label, from a confusion matrix of shape [K, K + 1].

    Returns:
        Arrays of shape [K] by name; `support` counts the references. What would be 0/0 is 0.
    """
    confusion = np.asarray(confusion)
    correct_K = np.diagonal(confusion).astype(np.float64)
    support_K, predicted_K = confusion.sum(axis=1), confusion[:, :-1].sum(axis=0)
    return {
        "precision": _ratio(correct_K, predicted_K),
        "recall": _ratio(correct_K, support_K),
        "f1": _ratio(2 * correct_K, support_K + predicted_K),
        "support": support_K,
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def expected_calibration_error(
    confidences_Q: np.ndarray | Sequence[float], correct_Q: np.ndarray | Sequence[bool], num_bins: int = 15
) -> float:
    """
    Expected calibration error: how far confidence and accuracy are apart, on average over bins of equal width.

    A confidence p belongs to bin m of M if (m - 1) / M < p <= m / M; a bin counts with its share of the queries.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3 (15 bins as in their experiments).

    Args:
        confidences_Q: Probability of the predicted label, between 0 and 1.
        correct_Q: Whether the prediction is right.
        num_bins: Number of bins M.

    Returns:
        A number between 0 and 1; NaN for no queries.
    """
    confidences_Q, correct_Q = np.asarray(confidences_Q, np.float64), np.asarray(correct_Q, np.float64)
    if confidences_Q.size == 0:
        return float("nan")
    bins_Q = np.clip(np.ceil(confidences_Q * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps_M = np.bincount(bins_Q, weights=correct_Q - confidences_Q, minlength=num_bins)
    return float(np.abs(gaps_M).sum() / confidences_Q.size)


def weighted_metrics(
    predictions_Q: np.ndarray, references_Q: np.ndarray, num_labels: int, weights_RQ: np.ndarray
) -> dict[str, np.ndarray]:
    """
    Accuracy, macro-F1 and Matthews correlation of the same predictions under many weightings of the queries, as the
    bootstrap needs them. With equal weights they are those of [`compute_metrics`].

    Args:
        predictions_Q: Predicted label ids; -1 for no answer.
        references_Q: Label ids.
        num_labels: Number of labels K.
        weights_RQ: Weight of each query in each of R weightings; every row sums to 1.

    Returns:
        `accuracy`, `macro_f1` and `matthews_correlation`, each of shape [R].
    """
    predictions_Q, references_Q = np.asarray(predictions_Q), np.asarray(references_Q)
    actual_QK = references_Q[:, None] == np.arange(num_labels)
    predicted_QK = predictions_Q[:, None] == np.arange(num_labels)
    counts_QN = np.concatenate([actual_QK, predicted_QK, actual_QK & predicted_QK], axis=1).astype(np.float64)
    actual_RK, predicted_RK, correct_RK = np.split(weights_RQ @ counts_QN, 3, axis=1)
    accuracy_R = correct_RK.sum(axis=1)
    # rounding leaves crumbs where nothing was drawn
    occurs_RK = actual_RK > 1e-12
    f1_RK = np.where(occurs_RK, 2 * correct_RK / np.maximum(actual_RK + predicted_RK, 1e-300), 0.0)
    unanswered_R = 1 - predicted_RK.sum(axis=1)
    # Gorodkin 2004: covariances of the one-hot encoded predictions and references
    covariance_R = accuracy_R - (predicted_RK * actual_RK).sum(axis=1)
    spread_R = (1 - (predicted_RK**2).sum(axis=1) - unanswered_R**2) * (1 - (actual_RK**2).sum(axis=1))
    defined_R = spread_R > 1e-12
    matthews_R = np.where(defined_R, covariance_R / np.sqrt(np.where(defined_R, spread_R, 1.0)), 0.0)
    values = {
        "accuracy": accuracy_R,
        "macro_f1": f1_RK.sum(axis=1) / occurs_RK.sum(axis=1),
        "matthews_correlation": matthews_R,
    }
    return {name: value_R.clip(-1.0, 1.0) for name, value_R in values.items()}  # nothing above 1 by rounding
