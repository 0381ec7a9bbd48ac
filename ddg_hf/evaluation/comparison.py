# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Paired comparison of two evaluations of the same queries, from the files that they wrote.

Shape letters: S, T sets; Q queries; N rows of a predictions table.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddg_hf.errors import UserError
from ddg_hf.evaluation.results import PREDICTIONS_FILE, PREFIXES, RESULTS_FILE
from ddg_hf.evaluation.significance import holm, paired_permutation_test
from ddg_hf.evaluation.statistics import crossed_bootstrap, paired_difference
from ddg_hf.provenance import METADATA_FILE

# What `--prediction` takes, and the column of predictions.parquet.
PREDICTION_COLUMNS = {kind: f"{prefix}prediction" for kind, prefix in PREFIXES.items()}
# Of results.json: without these in common, a difference means nothing.
_MUST_AGREE = ("task", "split", "label_names")


@dataclass(frozen=True)
class Group:
    """
    What one evaluation has for a number of demonstrations per class.

    Attributes:
        queries_Q: Row numbers of the queries in their split, ascending.
        references_Q: Their label ids.
        correct_SQ: Share of right answers of each set to each query, over its orders and seeds.
    """

    queries_Q: np.ndarray
    references_Q: np.ndarray
    correct_SQ: np.ndarray

    def only(self, queries: np.ndarray) -> "Group":
        """Returns the part about some of the queries."""
        keep_Q = np.isin(self.queries_Q, queries)
        return Group(self.queries_Q[keep_Q], self.references_Q[keep_Q], self.correct_SQ[:, keep_Q])


@dataclass(frozen=True)
class Evaluation:
    """
    One evaluation, read from its directory.

    Attributes:
        name: How the user called it.
        results: Content of `results.json`.
        groups: By (dpc, rounds).
        fingerprint: SHA-256 of the rows of the split, if `metadata.json` has it.
    """

    name: str
    results: dict[str, Any]
    groups: dict[tuple[int, int], Group]
    fingerprint: str | None


def load_evaluation(source: str, prediction: str = "raw") -> Evaluation:
    """
    Reads what `evaluate-icl` or `evaluate-learner` wrote.

    Args:
        source: `results.json`, or the directory that holds it.
        prediction: Kind of predictions, one of [`PREDICTION_COLUMNS`].

    Raises:
        UserError: a file is missing or damaged, there are no predictions of that kind, or queries failed.
    """
    path = Path(source).expanduser()
    path = path / RESULTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"'{path}' does not exist; give results.json or the directory of an evaluation")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        table = pq.read_table(path.with_name(PREDICTIONS_FILE))
        dpc_to_rounds = {entry["dpc"]: entry.get("rounds", entry["dpc"]) for entry in results["aggregates"]}
        columns = {name: table[name].to_numpy() for name in ("dpc", "set", "query", "reference")}
        fingerprint = _fingerprint(path, results)
    except FileNotFoundError as error:
        raise UserError(f"there is no {PREDICTIONS_FILE} beside '{path}'; it is needed for the comparison") from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"'{path}' and its {PREDICTIONS_FILE} are not those of an evaluation: {reason}") from error
    column = PREDICTION_COLUMNS[prediction]
    if column not in table.column_names or table[column].null_count:
        kinds = [kind for kind, name in PREDICTION_COLUMNS.items() if name in table.column_names]
        there = [kind for kind in kinds if not table[PREDICTION_COLUMNS[kind]].null_count]
        raise UserError(f"'{source}' has no predictions of the kind '{prediction}'; it has {', '.join(there)}")
    if "failed" in table.column_names and table["failed"].to_numpy().any():
        failed = int(table["failed"].to_numpy().sum())
        raise UserError(f"{failed} queries of '{source}' failed; run its evaluation again to retry them")
    columns["prediction"] = table[column].to_numpy()
    if "rounds" in table.column_names:
        columns["rounds"] = table["rounds"].to_numpy()
    else:
        columns["rounds"] = np.array([dpc_to_rounds[dpc] for dpc in columns["dpc"].tolist()])
    return Evaluation(source, results, _groups(columns), fingerprint)


def _groups(columns: dict[str, np.ndarray]) -> dict[tuple[int, int], Group]:
    groups = {}
    pairs_N2 = np.stack([columns["dpc"], columns["rounds"]], axis=1)
    for dpc, rounds in np.unique(pairs_N2, axis=0).tolist():
        rows_N = (pairs_N2 == (dpc, rounds)).all(axis=1)
        mine = {name: column[rows_N] for name, column in columns.items()}
        queries_Q, first, index_N = np.unique(mine["query"], return_index=True, return_inverse=True)
        right_N = (mine["prediction"] == mine["reference"]).astype(np.float64)
        shares = []
        for number in np.unique(mine["set"]):
            in_set_N = mine["set"] == number
            times_Q = np.bincount(index_N[in_set_N], minlength=len(queries_Q))
            shares.append(np.bincount(index_N[in_set_N], right_N[in_set_N], minlength=len(queries_Q)) / times_Q)
        groups[dpc, rounds] = Group(queries_Q, mine["reference"][first], np.stack(shares))
    return groups


def _fingerprint(path: Path, results: dict[str, Any]) -> str | None:
    record = path.with_name(METADATA_FILE)
    if not record.is_file():
        return None
    content = json.loads(record.read_text(encoding="utf-8"))
    found = content.get("data_fingerprint") if isinstance(content, dict) else None
    return found.get(results.get("split")) if isinstance(found, dict) else None


def check_comparable(a: Evaluation, b: Evaluation) -> None:
    """Raises `UserError` if the two are about different tasks, splits, labels or data, and says what differs."""
    for key in _MUST_AGREE:
        if a.results.get(key) != b.results.get(key):
            raise UserError(
                f"the two evaluations cannot be compared: {key} is {a.results.get(key)} in '{a.name}' and "
                f"{b.results.get(key)} in '{b.name}'"
            )
    if None not in (a.fingerprint, b.fingerprint) and a.fingerprint != b.fingerprint:
        raise UserError(
            f"the two evaluations cannot be compared: the rows of the split '{a.results['split']}' are not the same"
        )


def pair_groups(a: Evaluation, b: Evaluation) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """
    Returns which (dpc, rounds) of `a` is compared with which of `b`: those that both have. Where they have none in
    common, but one has a single one (zero-shot, say), that is compared with each of the other's.

    Raises:
        UserError: there is nothing to compare.
    """
    common = [key for key in a.groups if key in b.groups]
    if common:
        return [(key, key) for key in common]
    if len(a.groups) == 1 or len(b.groups) == 1:
        return [(first, second) for first in a.groups for second in b.groups]

    def listed(evaluation: Evaluation) -> str:
        return ", ".join(f"{dpc} ({rounds} rounds)" for dpc, rounds in evaluation.groups)

    raise UserError(
        f"no number of demonstrations per class is in both: '{a.name}' has {listed(a)}; '{b.name}' has {listed(b)}"
    )


def compare_groups(a: Group, b: Group, num_permutations: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """
    Compares two groups by the queries that both have.

    Returns:
        `num_sets_a`, `num_sets_b`, `num_queries`, `accuracy_a`, `accuracy_b` (each with its interval), `difference`
        (a - b, with a 95 % interval of the crossed bootstrap) and `p_value` (two-sided, of the paired permutation
        test on the queries' mean differences).

    Raises:
        UserError: they have no query in common, or a common query has two different labels.
    """
    common = np.intersect1d(a.queries_Q, b.queries_Q)
    if not len(common):
        raise UserError("the two evaluations have no query in common; use the same --seed and --test_number")
    a, b = a.only(common), b.only(common)
    if (a.references_Q != b.references_Q).any():
        row = common[np.flatnonzero(a.references_Q != b.references_Q)[0]]
        raise UserError(f"the two evaluations are about different data: row {row} of the split has two labels")
    difference_Q = a.correct_SQ.mean(axis=0) - b.correct_SQ.mean(axis=0)
    return {
        "num_sets_a": len(a.correct_SQ),
        "num_sets_b": len(b.correct_SQ),
        "num_queries": len(common),
        "accuracy_a": crossed_bootstrap(a.correct_SQ, seed=seed).as_dict(),
        "accuracy_b": crossed_bootstrap(b.correct_SQ, seed=seed).as_dict(),
        "difference": paired_difference(a.correct_SQ, b.correct_SQ, seed=seed).as_dict(),
        "p_value": paired_permutation_test(difference_Q, num_permutations, seed),
    }


def compare(
    source_a: str, source_b: str, prediction: str = "raw", num_permutations: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """
    Compares two evaluations, for every number of demonstrations per class that both have.

    Args:
        source_a: `results.json` of the first, or its directory.
        source_b: The same of the second.
        prediction: Kind of predictions, one of [`PREDICTION_COLUMNS`].
        num_permutations: Random sign patterns of the permutation test.
        seed: Seed of the resampling.

    Returns:
        `a`, `b`, `task`, `split`, `prediction`, and `rows`: the numbers of demonstrations, what [`compare_groups`]
        returns, `num_unpaired` (queries that only one of the two has) and `p_value_holm` (adjusted for the number of
        rows).

    Raises:
        UserError: the files cannot be read, or the two cannot be compared.
    """
    a, b = load_evaluation(source_a, prediction), load_evaluation(source_b, prediction)
    check_comparable(a, b)
    rows = []
    for key_a, key_b in pair_groups(a, b):
        group_a, group_b = a.groups[key_a], b.groups[key_b]
        row = dict(zip(("dpc_a", "rounds_a", "dpc_b", "rounds_b"), (*key_a, *key_b), strict=True))
        row |= compare_groups(group_a, group_b, num_permutations, seed)
        row["num_unpaired"] = len(np.setxor1d(group_a.queries_Q, group_b.queries_Q))
        rows.append(row)
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = adjusted
    facts = {"task": a.results["task"], "split": a.results.get("split"), "prediction": prediction}
    return {"a": source_a, "b": source_b, **facts, "num_permutations": num_permutations, "rows": rows}
