# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Results of an in-context evaluation: predictions of every kind from what the model said, a row for every run, and
aggregates over the runs.

Shape letters: Q queries, A of them answered; K labels; S sets; R bootstrap replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.icl.calibration import (
    batch_calibrate,
    contextual_calibrate,
    length_normalize,
    log_normalize,
    ties,
)
from ddg_hf.evaluation.icl.evaluator import ICLPrediction
from ddg_hf.evaluation.metrics import (
    compute_metrics,
    confusion_matrix,
    expected_calibration_error,
    per_label_metrics,
    weighted_metrics,
)
from ddg_hf.evaluation.results import (
    PREDICTIONS_FILE,
    PREFIXES,
    RESULTS_FILE,
    UNPARSABLE,
    write_parquet,
    write_readable_json,
)
from ddg_hf.evaluation.statistics import crossed_bootstrap, crossed_bootstrap_of

# Metrics beside accuracy, and the least value of each; the greatest is 1.
_OTHERS = {"macro_f1": 0.0, "matthews_correlation": -1.0}
ECE = "expected_calibration_error"

_SCHEMA = pa.schema(
    [
        ("dpc", pa.int32()),
        ("rounds", pa.int32()),
        ("set", pa.int32()),
        ("seed", pa.int64()),
        ("order", pa.int32()),
        ("query", pa.int32()),
        ("reference", pa.int32()),
        *((f"{prefix}prediction", pa.int32()) for prefix in PREFIXES.values()),
        ("logprobs", pa.list_(pa.float32())),
        ("answer", pa.string()),
        ("tie", pa.bool_()),
        ("failed", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class ICLRun:
    """
    The queries answered once.

    Attributes:
        dpc: Demonstrations per class of the set; 0 for zero-shot.
        rounds: Demonstrations per class that were asked for in the prompt.
        set_id: Number of the demonstration set.
        seed: Seed of the evaluation.
        order: Number of the order of the demonstrations.
        prediction: What came out.
    """

    dpc: int
    rounds: int
    set_id: int
    seed: int
    order: int
    prediction: ICLPrediction


@dataclass(frozen=True)
class Answers:
    """
    Predictions of one kind.

    Attributes:
        predictions_Q: Label ids; -1 for an answer that names no label and for a query that failed.
        confidences_Q: Probability of the predicted label, normalised over the labels; NaN for a query that failed.
            `None` if there are no probabilities.
    """

    predictions_Q: np.ndarray
    confidences_Q: np.ndarray | None


def answers_by_kind(prediction: ICLPrediction) -> dict[str, Answers]:
    """
    Returns the predictions of every kind that the run allows, by name.

    - `raw`: the label whose tokens are most likely, or what the generated answer names.
    - `length_normalized`: the label with the highest log-probability per token.
    - `contextual`: after contextual calibration, if content-free queries were scored.
    - `calibrated`: after batch calibration over the queries that were answered.
    """
    failed_Q = prediction.failed_Q
    if prediction.logprobs_QK is None:
        return {"raw": Answers(np.where(failed_Q, UNPARSABLE, prediction.predictions_Q), None)}
    logprobs_AK = np.asarray(prediction.logprobs_QK, dtype=np.float64)[~failed_Q]
    scores = {"raw": logprobs_AK}
    if prediction.label_tokens_K is not None:
        scores["length_normalized"] = length_normalize(logprobs_AK, prediction.label_tokens_K)
    if prediction.contextual_logprobs_K is not None:
        prior = np.asarray(prediction.contextual_logprobs_K)
        scores["contextual"] = contextual_calibrate(logprobs_AK, prior[~failed_Q] if prior.ndim == 2 else prior)
    scores["calibrated"] = batch_calibrate(logprobs_AK) if len(logprobs_AK) else logprobs_AK
    return {kind: _most_likely(scores_AK, failed_Q) for kind, scores_AK in scores.items()}


def _most_likely(scores_AK: np.ndarray, failed_Q: np.ndarray) -> Answers:
    predictions_Q = np.full(len(failed_Q), UNPARSABLE)
    confidences_Q = np.full(len(failed_Q), np.nan)
    if len(scores_AK):
        predictions_Q[~failed_Q] = scores_AK.argmax(axis=1)
        confidences_Q[~failed_Q] = np.exp(log_normalize(scores_AK)).max(axis=1)
    return Answers(predictions_Q, confidences_Q)


def _calibration_error(answers: Answers, references_Q: np.ndarray) -> float | None:
    """Over the queries that were answered."""
    if answers.confidences_Q is None or np.isnan(answers.confidences_Q).all():
        return None
    answered_Q = ~np.isnan(answers.confidences_Q)
    right_Q = answers.predictions_Q == references_Q
    return expected_calibration_error(answers.confidences_Q[answered_Q], right_Q[answered_Q])


def run_row(run: ICLRun, references_Q: Sequence[int], spec: TaskSpec) -> dict[str, Any]:
    """Returns the row of `results.json` for one run: what it was, raw counts, and the metrics of every kind."""
    references_Q = np.asarray(references_Q)
    row = {
        "dpc": run.dpc,
        "rounds": run.rounds,
        "set": run.set_id,
        "seed": run.seed,
        "order": run.order,
        "rounds_shown": run.prediction.rounds,
        "dropped_rounds": run.prediction.dropped_rounds,
        "prefix_tokens": run.prediction.prefix_tokens,
        "num_queries": len(references_Q),
        "num_failed": int(run.prediction.failed_Q.sum()),
        "num_unparsable": run.prediction.num_unparsable,
        "num_ties": run.prediction.num_ties,
        "seconds": round(run.prediction.seconds, 3),
    }
    names = list(dict.fromkeys(("accuracy", *_OTHERS, *spec.metrics)))
    for kind, answers in answers_by_kind(run.prediction).items():
        prefix = PREFIXES[kind]
        row[f"{prefix}num_correct"] = int((answers.predictions_Q == references_Q).sum())
        metrics = compute_metrics(names, answers.predictions_Q, references_Q, spec.num_labels)
        row |= {f"{prefix}{name}": value for name, value in metrics.items()}
        row[f"{prefix}{ECE}"] = _calibration_error(answers, references_Q)
    return row


def groups_of(runs: Sequence[ICLRun]) -> dict[tuple[int, int], list[ICLRun]]:
    """Returns the runs by (dpc, rounds), in the order in which these first occur."""
    groups: dict[tuple[int, int], list[ICLRun]] = {}
    for run in runs:
        groups.setdefault((run.dpc, run.rounds), []).append(run)
    return groups


def _by_set(runs: Sequence[ICLRun], values: Sequence[Any]) -> list[list[Any]]:
    """The values of the runs of each set."""
    sets: dict[int, list[Any]] = {}
    for run, value in zip(runs, values, strict=True):
        sets.setdefault(run.set_id, []).append(value)
    return list(sets.values())


def _common_kinds(answers: Sequence[dict[str, Answers]]) -> list[str]:
    """The kinds that all runs have: content-free queries may have failed in one."""
    return [kind for kind in PREFIXES if all(kind in found for found in answers)]


def _summaries(runs: Sequence[ICLRun], rows: Sequence[dict], references_Q: np.ndarray, spec: TaskSpec) -> dict:
    """
    Mean, standard deviation and interval of every metric of every kind. The orders of a set are averaged first; the
    standard deviation is that of the sets.
    """
    answers = [answers_by_kind(run.prediction) for run in runs]
    kinds = _common_kinds(answers)

    def statistics(weights_RQ: np.ndarray) -> dict[str, np.ndarray]:
        values = {}
        for kind in kinds:
            metrics = [
                weighted_metrics(found[kind].predictions_Q, references_Q, spec.num_labels, weights_RQ)
                for found in answers
            ]
            for name in _OTHERS:
                sets = _by_set(runs, [values_R[name] for values_R in metrics])
                values[f"{PREFIXES[kind]}{name}"] = np.stack([np.mean(orders, axis=0) for orders in sets])
        return values

    intervals = {}
    for kind in kinds:
        right = _by_set(runs, [found[kind].predictions_Q == references_Q for found in answers])
        intervals[f"{PREFIXES[kind]}accuracy"] = crossed_bootstrap([np.mean(orders, axis=0) for orders in right])
    intervals |= crossed_bootstrap_of(statistics, len({run.set_id for run in runs}), len(references_Q))
    others = [f"{PREFIXES[kind]}{name}" for kind in kinds for name in (*spec.metrics, ECE)]
    summaries = {}
    for name in dict.fromkeys((*intervals, *others)):
        values = [row[name] for row in rows]
        if None in values:
            summaries[name] = None
            continue
        means_S = [float(np.mean(orders)) for orders in _by_set(runs, values)]
        spread = float(np.std(means_S, ddof=1)) if len(means_S) > 1 else None
        summaries[name] = {"mean": float(np.mean(means_S)), "sd": spread}
        if name in intervals:
            # moved by a bias, a limit may lie where there are no values
            least = next((value for other, value in _OTHERS.items() if name.endswith(other)), 0.0)
            summaries[name] |= {"low": max(intervals[name].low, least), "high": min(intervals[name].high, 1.0)}
    return summaries


def aggregate(
    runs: Sequence[ICLRun], rows: Sequence[dict[str, Any]], references_Q: Sequence[int], spec: TaskSpec
) -> list[dict[str, Any]]:
    """
    Summarises runs by their number of demonstrations per class.

    Args:
        runs: The runs; all of them on the same queries.
        rows: The row of each of them ([`run_row`]).
        references_Q: Label ids of the queries.
        spec: The task.

    Returns:
        For each DPC and number of rounds: the numbers of sets, orders and queries; unparsable and failed answers, ties
        and dropped rounds of all runs together; seconds in total and per query; and every metric of every kind of
        prediction, as `mean`, `sd` over the sets (`None` for one set) and, where the crossed bootstrap gives one, a
        95 % interval from `low` to `high`. The names are those of [`run_row`]; `calibrated_accuracy` is `None` where
        there are no log-probabilities.
    """
    references_Q = np.asarray(references_Q)
    entries = []
    for (dpc, rounds), members in groups_of(runs).items():
        mine = [row for row in rows if (row["dpc"], row["rounds"]) == (dpc, rounds)]
        seconds = sum(run.prediction.seconds for run in members)
        counts = ("dropped_rounds", "num_failed", "num_unparsable", "num_ties")
        entry = {
            "dpc": dpc,
            "rounds": rounds,
            "num_sets": len({run.set_id for run in members}),
            "num_orders": len({run.order for run in members}),
            "num_queries": len(references_Q),
            **{name: sum(row[name] for row in mine) for name in counts},
            "seconds": round(seconds, 3),
            "seconds_per_query": seconds / (len(members) * len(references_Q)),
            "calibrated_accuracy": None,
        }
        entries.append(entry | _summaries(members, mine, references_Q, spec))
    return entries


def label_tables(
    runs: Sequence[ICLRun], references_Q: Sequence[int], spec: TaskSpec
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """
    Returns `per_label` and `confusion` of `results.json`: for each DPC, number of rounds and kind of prediction, the
    confusion matrix summed over the runs ([`confusion_matrix`]), and the precision, recall, F1 and support that follow
    from it, each a list in the order of the labels.
    """
    per_label, confusion = [], []
    for (dpc, rounds), members in groups_of(runs).items():
        answers = [answers_by_kind(run.prediction) for run in members]
        for kind in _common_kinds(answers):
            counts = sum(
                confusion_matrix(found[kind].predictions_Q, references_Q, spec.num_labels) for found in answers
            )
            key = {"dpc": dpc, "rounds": rounds, "prediction": kind}
            table = {name: np.round(values_K, 4).tolist() for name, values_K in per_label_metrics(counts).items()}
            per_label.append(key | table)
            confusion.append(key | {"counts": counts.tolist()})
    return per_label, confusion


def predictions_table(runs: Sequence[ICLRun], query_ids_Q: Sequence[int], references_Q: Sequence[int]) -> pa.Table:
    """
    Returns one row for each run and query: `dpc`, `rounds`, `set`, `seed`, `order`, `query` (row number in the split),
    `reference`, `prediction` and those of the other kinds (`calibrated_prediction`, ...), `logprobs` (nats, one for
    each label), `answer` (what the model wrote), `tie` (the two best labels are equally likely) and `failed`. What a
    way of scoring does not have is null.
    """
    size = len(references_Q)
    tables = []
    for run in runs:
        result, failed_Q = run.prediction, run.prediction.failed_Q
        logprobs = None
        if result.logprobs_QK is not None:
            pairs = zip(np.asarray(result.logprobs_QK).tolist(), failed_Q, strict=True)
            logprobs = [None if failed else row for row, failed in pairs]
        columns: dict[str, Any] = {name: None for name in _SCHEMA.names}
        constants = {"dpc": run.dpc, "rounds": run.rounds, "set": run.set_id, "seed": run.seed, "order": run.order}
        columns |= {name: np.full(size, value) for name, value in constants.items()} | {
            "query": query_ids_Q,
            "reference": references_Q,
            "logprobs": logprobs,
            "answer": result.answers,
            "tie": None if result.logprobs_QK is None else ties(result.logprobs_QK),
            "failed": failed_Q,
        }
        for kind, answers in answers_by_kind(result).items():
            columns[f"{PREFIXES[kind]}prediction"] = answers.predictions_Q
        arrays = [
            pa.nulls(size, field.type) if columns[field.name] is None else pa.array(columns[field.name], field.type)
            for field in _SCHEMA
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=_SCHEMA))
    return pa.concat_tables(tables)


def write_results(
    output_dir: Path,
    runs: Sequence[ICLRun],
    query_ids_Q: Sequence[int],
    references_Q: Sequence[int],
    spec: TaskSpec,
    **facts: Any,
) -> dict[str, Any]:
    """
    Writes `predictions.parquet` and `results.json`, each under a temporary name that is then changed.

    Args:
        output_dir: Directory; made if it does not exist.
        runs: The runs, all on the same queries.
        query_ids_Q: Row numbers of the queries in their split.
        references_Q: Their label ids.
        spec: The task.
        facts: More entries for `results.json`, such as the model, dtype, split and scoring.

    Returns:
        The content of `results.json`: `task`, `label_names`, the `facts`, `aggregates`, `runs`, `per_label` and
        `confusion`.
    """
    rows = [run_row(run, references_Q, spec) for run in runs]
    per_label, confusion = label_tables(runs, references_Q, spec)
    results = {
        "task": spec.name,
        "label_names": list(spec.label_names),
        **facts,
        "aggregates": aggregate(runs, rows, references_Q, spec),
        "runs": rows,
        "per_label": per_label,
        "confusion": confusion,
    }
    write_parquet(output_dir / PREDICTIONS_FILE, predictions_table(runs, query_ids_Q, references_Q))
    write_readable_json(output_dir / RESULTS_FILE, results)
    return results
