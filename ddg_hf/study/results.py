# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The results of a study, as far as it is done: a row for each method and number of rows per class.

Shape letters: S sets; Q queries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..evaluation.comparison import Group, load_evaluation
from ..evaluation.statistics import crossed_bootstrap, mean_interval
from ..provenance import METADATA_FILE, read_json
from .comparisons import Side, compare_sides, rank_table, sizes_needed
from .config import StudyArguments
from .costs import cost_of
from .flops import TextTokens
from .matching import matching_table
from .methods import Method
from .plan import Cell
from .runner import DONE, CellState, StudyDirectory
from .transfer import MEASURES, transfer_table

VERSION = 1
KINDS = ("raw", "calibrated", "contextual")
"""Kinds of in-context predictions that the tables have."""
_MEANS = ("label_consistency", "distinct_2", "self_bleu", "tokens_per_demonstration")


@dataclass(frozen=True)
class _Measured:
    """What there is for one method and number of rows per class."""

    method: Method
    dpc: int
    in_context: dict[str, Side]
    learners: dict[str, Side]
    measures: dict[int, dict[str, Any]]  # by training seed
    cost: dict[str, float | None]
    seeds: int


class StudyResults:
    """
    Reads the finished cells of a study.

    Args:
        directory: The study.
        arguments: Its configuration.
        states: State of every cell, by name.

    Raises:
        UserError: a result cannot be read, or results are about different data.
    """

    def __init__(self, directory: StudyDirectory, arguments: StudyArguments, states: dict[str, CellState]):
        self.directory, self.args, self.states = directory, arguments, states
        self.done = [cell for cell in directory.cells if states[cell.name].state == DONE]
        check_data(self.done, directory)

    def as_dict(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The content of `results.json`; `facts` are about the study as a whole."""
        measured = [entry for entry in self._measured() if entry.in_context or entry.learners or entry.measures]
        queries = {side.correct_SQ.shape[1] for entry in measured for side in entry.in_context.values()}
        return {
            "version": VERSION,
            "kind": "study",
            **facts,
            "num_queries": max(queries) if queries else None,
            "rows": [self._row(entry) for entry in measured],
            "comparisons": self._comparisons(measured),
            "ranks": {kind: rank_table(self._accuracies(measured, kind)) for kind in KINDS[:2]},
            "power": {kind: self._power(measured, kind) for kind in KINDS[:2]},
            "transfer": {kind: transfer_table(_groups(measured, kind)) for kind in KINDS[:2]},
            "matching": matching_table(self.done, self.directory),
            "missing": [cell.name for cell in self.directory.cells if self.states[cell.name].state != DONE],
        }

    # ---- reading ----

    def _cells(self, method: Method, stage: str) -> list[Cell]:
        return [cell for cell in self.done if cell.method == method.name and cell.stage == stage]

    def _measured(self) -> list[_Measured]:
        found = []
        real = self._real_tokens()
        for method in self.args.chosen:
            evaluations = {
                kind: [(cell, load_evaluation(str(self.directory.output(cell.name)), kind)) for cell in cells]
                for kind in KINDS
                if (cells := [c for c in self._cells(method, "evaluate-icl") if self._has(c, kind)])
            }
            learners = self._learners(method)
            measures = self._measures_of(method)
            written = _mean_tokens(measures) if method.kind == "generated" else None
            tokens = None if real is None else TextTokens(real, written or real)
            for dpc in [0] if method.kind == "none" else self.args.dpc:
                in_context = {kind: _side(parts, dpc) for kind, parts in evaluations.items()}
                trained = {name: _side(parts, dpc) for name, parts in learners.items()}
                mine = {c.seed or 0: entry for c, one in measures for entry in one["configs"] if entry["dpc"] == dpc}
                icl_cells = [cell for cell in self._cells(method, "evaluate-icl") if cell.dpc == dpc]
                found.append(
                    _Measured(
                        method,
                        dpc,
                        {kind: side for kind, side in in_context.items() if side is not None},
                        {name: side for name, side in trained.items() if side is not None},
                        mine,
                        cost_of(icl_cells, self.directory, self.states, tokens),
                        len({cell.seed for cell in icl_cells}),
                    )
                )
        return found

    def _measures_of(self, method: Method) -> list[tuple[Cell, dict[str, Any]]]:
        return [
            (cell, read_json(self.directory.output(cell.name) / "measures.json"))
            for cell in self._cells(method, "measure")
        ]

    def _real_tokens(self) -> float | None:
        """Mean tokens of training rows, by sets that were measured: of balanced random rows if there are any."""
        real = [method for method in self.args.chosen if method.kind == "real"]
        for methods in ([method for method in real if method.name == "balanced"], real):
            if (mean := _mean_tokens([one for method in methods for one in self._measures_of(method)])) is not None:
                return mean
        return None

    def _has(self, cell: Cell, kind: str) -> bool:
        """Whether an evaluation has predictions of a kind; not all ways of scoring have all kinds."""
        results = read_json(self.directory.output(cell.name) / "results.json")
        prefix = "" if kind == "raw" else f"{kind}_"
        return all(entry.get(f"{prefix}accuracy") is not None for entry in results["aggregates"])

    def _learners(self, method: Method) -> dict[str, list]:
        found: dict[str, list] = {}
        for cell in self._cells(method, "evaluate-learner"):
            name = cell.name.split("/")[1]
            found.setdefault(name, []).append((cell, load_evaluation(str(self.directory.output(cell.name)))))
        return found

    # ---- tables ----

    def _row(self, entry: _Measured) -> dict[str, Any]:
        sides = entry.in_context or entry.learners
        measures = list(entry.measures.values())
        values = {name: [value for one in measures for value in one[name]] for name in _MEANS if measures}
        rows = sum(one["rows"] for one in measures)
        shares = {
            name: sum(one[name] * one["rows"] for one in measures) / rows if rows else None
            for name in ("copies", "near_copies")
        }
        return {
            "method": entry.method.name,
            "dpc": entry.dpc,
            "num_sets": max((len(side.correct_SQ) for side in sides.values()), default=0),
            "num_training_seeds": entry.seeds,
            "icl": {kind: _interval(side) for kind, side in entry.in_context.items()},
            "icl_spread": {kind: _spread(side) for kind, side in entry.in_context.items()},
            "learners": {name: _interval(side) for name, side in entry.learners.items()},
            "gradient_cosine": _mean_over_seeds([one["gradient_cosine"] for one in measures]),
            **{name: float(np.mean(numbers)) for name, numbers in values.items()},
            **shares,
            "cost": entry.cost,
        }

    def _comparisons(self, measured: Sequence[_Measured]) -> list[dict[str, Any]]:
        """Every pair of methods, at every number of rows per class; zero-shot is compared at all of them."""
        found = []
        measures: list[tuple[str, Any]] = [(kind, lambda e, kind=kind: e.in_context.get(kind)) for kind in KINDS[:2]]
        names = dict.fromkeys(name for entry in measured for name in entry.learners)
        measures += [(f"learner:{name}", lambda e, name=name: e.learners.get(name)) for name in names]
        for measure, side_of in measures:
            for dpc in self.args.dpc:
                sides = {
                    entry.method.name: side
                    for entry in measured
                    if entry.dpc in (0, dpc) and (side := side_of(entry)) is not None
                }
                found += [{"measure": measure, "dpc": dpc, **row} for row in compare_sides(sides)]
        return found

    def _accuracies(self, measured: Sequence[_Measured], kind: str) -> dict[str, dict[int, float]]:
        """Mean accuracy by method and rows per class."""
        found: dict[str, dict[int, float]] = {}
        for entry in measured:
            if kind in entry.in_context and entry.dpc:
                mean = float(entry.in_context[kind].correct_SQ.mean())
                found.setdefault(entry.method.name, {})[entry.dpc] = mean
        return found

    def _power(self, measured: Sequence[_Measured], kind: str) -> list[dict[str, Any]]:
        """
        How large a study must be, by the spread of two methods at each number of rows per class that both have: DDG
        (or the last generated method), `a`, and balanced random rows (or the first others), `b`.
        """
        sides = {(e.method.name, e.dpc): e.in_context[kind] for e in measured if kind in e.in_context}
        generated, real = (
            [e.method.name for e in measured if e.method.kind == wanted and kind in e.in_context]
            for wanted in ("generated", "real")
        )
        if not generated or not real:
            return []
        a, b = "ddg" if "ddg" in generated else generated[-1], "balanced" if "balanced" in real else real[0]
        rows = []
        for dpc in self.args.dpc:
            pair = [sides.get((name, dpc)) for name in (a, b)]
            if all(side is not None and min(side.correct_SQ.shape) > 1 for side in pair):
                rows += [{"dpc": dpc, "a": a, "b": b} | row for row in sizes_needed(*pair)]
        return rows


def check_data(cells: Sequence[Cell], directory: StudyDirectory, data: Mapping[str, str] | None = None) -> None:
    """
    Raises `UserError` if the data have changed between two of these cells, which are done, or since.

    Args:
        cells: The cells.
        directory: Where they are.
        data: Fingerprints of the splits as they are now.
    """
    seen: dict[str, tuple[str | None, str]] = {split: (None, value) for split, value in (data or {}).items()}
    for cell in cells:
        record = read_json(directory.output(cell.name) / METADATA_FILE)
        for split, value in (record.get("data_fingerprint") or {}).items():
            name, other = seen.setdefault(split, (cell.name, value))
            if value != other:
                both = f"'{cell.name}' was run on other data than there are now"
                if name is not None:
                    both = f"'{name}' and '{cell.name}' were run on different data"
                raise UserError(
                    f"{both} (split '{split}'); delete below '{directory.output('')}' what is to be run again"
                )


def _mean_over_seeds(values: Sequence[Sequence[float]]) -> dict[str, float | None] | None:
    """Mean and interval of a number that each set of each training seed has: over seeds if there are several."""
    if not values:
        return None
    if len(values) == 1:
        return mean_interval(values[0]).as_dict()
    return mean_interval([float(np.mean(of_seed)) for of_seed in values]).as_dict()


def _groups(measured: Sequence[_Measured], kind: str) -> list[tuple[dict[str, list[float]], list[float]]]:
    """Measures and accuracies of the sets of each method, training seed and number of rows per class."""
    found = []
    for entry in measured:
        side = entry.in_context.get(kind)
        for seed, one in entry.measures.items() if side is not None else ():
            accuracies = side.correct_SQ[side.seeds_S == seed].mean(axis=1).tolist()
            order = np.argsort(one["sets"], kind="stable")  # as predictions are
            if len(accuracies) == len(order):
                found.append(({name: np.take(one[name], order).tolist() for name in MEASURES}, accuracies))
    return found


def _mean_tokens(measures: Iterable[tuple[Cell, dict[str, Any]]]) -> float | None:
    """Mean tokens of the demonstrations of all sets that were measured, if any were."""
    values = [n for _, one in measures for entry in one["configs"] for n in entry["tokens_per_demonstration"]]
    return float(np.mean(values)) if values else None


def _side(parts: Sequence[tuple[Cell, Any]], dpc: int) -> Side | None:
    """Sets of all training seeds on the queries that they have in common."""
    groups: list[tuple[Cell, Group]] = [
        (cell, group) for cell, evaluation in parts for (n, _), group in evaluation.groups.items() if n == dpc
    ]
    if not groups:
        return None
    first, queries = groups[0][0].name, groups[0][1].queries_Q
    for cell, group in groups:
        if not np.array_equal(group.queries_Q, queries):
            raise UserError(
                f"'{first}' and '{cell.name}' were tested on different queries; delete below cells/ the one "
                "that is to be run again"
            )
    return Side(
        np.concatenate([group.correct_SQ for _, group in groups]),
        np.concatenate([np.full(len(group.correct_SQ), cell.seed or 0) for cell, group in groups]),
        queries,
    )


def _interval(side: Side) -> dict[str, float | None]:
    return crossed_bootstrap(side.correct_SQ, clusters=side.clusters).as_dict()


def _spread(side: Side) -> float | None:
    means_S = side.correct_SQ.mean(axis=1)
    return float(means_S.std(ddof=1)) if len(means_S) > 1 else None
