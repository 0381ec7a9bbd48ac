# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Files of an in-context evaluation: `results.json`, with a row for every set, seed and order and an aggregate for every
number of demonstrations, and `predictions.parquet`, with a row for every query of each.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.icl.evaluator import ICLPrediction
from ddg_hf.evaluation.metrics import compute_metrics
from ddg_hf.evaluation.statistics import crossed_bootstrap
from ddg_hf.provenance import write_json

RESULTS_FILE = "results.json"
PREDICTIONS_FILE = "predictions.parquet"

_SCHEMA = pa.schema(
    [
        ("dpc", pa.int32()),
        ("set", pa.int32()),
        ("seed", pa.int64()),
        ("order", pa.int32()),
        ("query", pa.int32()),
        ("reference", pa.int32()),
        ("prediction", pa.int32()),
        ("calibrated_prediction", pa.int32()),
        ("logprobs", pa.list_(pa.float32())),
        ("answer", pa.string()),
    ]
)


@dataclass(frozen=True)
class ICLRun:
    """
    The queries answered once.

    Attributes:
        dpc: Demonstrations per class of the set; 0 for zero-shot.
        rounds: Demonstrations per class in the prompt.
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


def _names(spec: TaskSpec) -> list[str]:
    return list(dict.fromkeys(("accuracy", *spec.metrics)))


def run_row(run: ICLRun, references_Q: Sequence[int], spec: TaskSpec) -> dict[str, Any]:
    """Returns the row of `results.json` for one run: what it was, raw counts, and the task's metrics."""
    references_Q = np.asarray(references_Q)
    raw_Q, calibrated_Q = run.prediction.predictions_Q, run.prediction.calibrated_predictions_Q
    row = {
        "dpc": run.dpc,
        "rounds": run.rounds,
        "set": run.set_id,
        "seed": run.seed,
        "order": run.order,
        "num_queries": len(references_Q),
        "num_correct": int((raw_Q == references_Q).sum()),
        "num_correct_calibrated": None if calibrated_Q is None else int((calibrated_Q == references_Q).sum()),
        "num_unparsable": run.prediction.num_unparsable,
        "prefix_tokens": run.prediction.prefix_tokens,
        "seconds": round(run.prediction.seconds, 3),
        **compute_metrics(_names(spec), raw_Q, references_Q, spec.num_labels),
    }
    if calibrated_Q is not None:
        metrics = compute_metrics(_names(spec), calibrated_Q, references_Q, spec.num_labels)
        row |= {f"calibrated_{name}": value for name, value in metrics.items()}
    return row


def _accuracy(runs: Sequence[ICLRun], references_Q: Sequence[int], calibrated: bool) -> dict[str, float | None] | None:
    """Crossed bootstrap over sets and queries; the orders of a set are averaged first."""
    by_set: dict[int, list[np.ndarray]] = {}
    for run in runs:
        result = run.prediction
        predictions_Q = result.calibrated_predictions_Q if calibrated else result.predictions_Q
        if predictions_Q is None:
            return None
        by_set.setdefault(run.set_id, []).append(predictions_Q == np.asarray(references_Q))
    correct_SQ = np.stack([np.mean(orders, axis=0) for orders in by_set.values()])
    return crossed_bootstrap(correct_SQ).as_dict()


def aggregate(runs: Sequence[ICLRun], references_Q: Sequence[int], spec: TaskSpec) -> list[dict[str, Any]]:
    """
    Summarises runs by their number of demonstrations per class.

    Args:
        runs: The runs; all of them on the same queries.
        references_Q: Label ids of the queries.
        spec: The task.

    Returns:
        For each DPC and number of rounds: the numbers of sets, orders and queries; `accuracy` and
        `calibrated_accuracy` (`None` for `generate`) with 95 % intervals of the crossed bootstrap; the task's other
        metrics as means over the runs, raw and `calibrated_`; unparsable answers; seconds in total and per query.
    """
    groups: dict[tuple[int, int], list[ICLRun]] = {}
    for run in runs:
        groups.setdefault((run.dpc, run.rounds), []).append(run)
    summaries = []
    for (dpc, rounds), members in groups.items():
        rows = [run_row(run, references_Q, spec) for run in members]
        seconds = sum(run.prediction.seconds for run in members)
        others = [f"{kind}{name}" for name in spec.metrics if name != "accuracy" for kind in ("", "calibrated_")]
        summaries.append(
            {
                "dpc": dpc,
                "rounds": rounds,
                "num_sets": len({run.set_id for run in members}),
                "num_orders": len({run.order for run in members}),
                "num_queries": len(references_Q),
                "accuracy": _accuracy(members, references_Q, calibrated=False),
                "calibrated_accuracy": _accuracy(members, references_Q, calibrated=True),
                **{name: float(np.mean([row[name] for row in rows])) for name in others if name in rows[0]},
                "num_unparsable": sum(row["num_unparsable"] for row in rows),
                "seconds": round(seconds, 3),
                "seconds_per_query": seconds / (len(members) * len(references_Q)),
            }
        )
    return summaries


def predictions_table(runs: Sequence[ICLRun], query_ids_Q: Sequence[int], references_Q: Sequence[int]) -> pa.Table:
    """
    Returns one row for each run and query: `dpc`, `set`, `seed`, `order`, `query` (row number in the split),
    `reference`, `prediction`, `calibrated_prediction`, `logprobs` (nats, one for each label) and `answer`. The two
    scorings leave each other's columns null.
    """
    size = len(references_Q)
    tables = []
    for run in runs:
        result = run.prediction
        constants = {"dpc": run.dpc, "set": run.set_id, "seed": run.seed, "order": run.order}
        columns = {name: np.full(size, value) for name, value in constants.items()} | {
            "query": query_ids_Q,
            "reference": references_Q,
            "prediction": result.predictions_Q,
            "calibrated_prediction": result.calibrated_predictions_Q,
            "logprobs": None if result.logprobs_QK is None else result.logprobs_QK.tolist(),
            "answer": result.answers,
        }
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
        The content of `results.json`: `task`, `label_names`, the `facts`, `aggregates` and `runs`.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=output_dir, prefix=f".{PREDICTIONS_FILE}.")
    os.close(handle)
    try:
        pq.write_table(predictions_table(runs, query_ids_Q, references_Q), temporary, compression="zstd")
        os.chmod(temporary, 0o644)
        os.replace(temporary, output_dir / PREDICTIONS_FILE)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    results = {
        "task": spec.name,
        "label_names": list(spec.label_names),
        **facts,
        "aggregates": aggregate(runs, references_Q, spec),
        "runs": [run_row(run, references_Q, spec) for run in runs],
    }
    write_json(output_dir / RESULTS_FILE, results)
    return results
