# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Classification metrics as local `evaluate.Metric` subclasses: `evaluate.load` would fetch a script from the Hub.

A prediction of -1 means that no answer could be read. It is wrong for every metric: no class is credited with it.
"""

from collections.abc import Iterable, Sequence

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from ddg_hf.errors import UserError, closest

UNPARSABLE = -1

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

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class F1(_ClassificationMetric):
    """F1 of label 1 when there are two labels, as GLUE has it, and the unweighted mean over the labels otherwise."""

    summary = "F1: of label 1 for two labels, macro-averaged for more."

    def _compute(self, predictions: Sequence[int], references: Sequence[int], num_labels: int = 2) -> dict[str, float]:
        # with the labels listed, -1 is a miss of the true class and a hit of none
        labels = [1] if num_labels == 2 else list(range(num_labels))
        return {"f1": float(f1_score(references, predictions, labels=labels, average="macro", zero_division=0))}


class MatthewsCorrelation(_ClassificationMetric):
    """Matthews correlation coefficient; -1 counts as one more class, which is never the true one."""

    summary = "Matthews correlation coefficient."

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}


_METRICS = {"accuracy": Accuracy, "f1": F1, "matthews_correlation": MatthewsCorrelation}


def compute_metrics(
    names: Iterable[str], predictions: Sequence[int], references: Sequence[int], num_labels: int
) -> dict[str, float]:
    """
    Computes the metrics in `names` (`accuracy`, `f1`, `matthews_correlation`), each between 0 and 1 (the last one
    between -1 and 1).

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
        if name not in _METRICS:
            raise UserError(f"unknown metric '{name}'.{closest(name, _METRICS)} There are {', '.join(_METRICS)}.")
        options = {"num_labels": num_labels} if name == "f1" else {}
        results |= _METRICS[name]().compute(predictions=list(predictions), references=list(references), **options)
    return results
