# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reads what `ddg-hf study` wrote. A study may be unfinished: everything that was not measured is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluation.results import RESULTS_FILE
from ..provenance import read_json
from .accuracy import QUALITY
from .model import Cell, Comparison, Method, Results, Row
from .values import estimate, mapping, mappings, model_name, number, shown_command, text, texts, without_paths

STUDY_FILE = "study.json"
_VERSION = 1
_FACTS = {
    "generator": "generator",
    "learner": "learner",
    "model": "language model",
    "split": "split",
    "num_queries": "queries",
}
_MODELS = ("generator", "learner", "model")


@dataclass(frozen=True)
class Study:
    """A study: its name, its task, its methods, its commands, and what was measured, None as long as nothing was."""

    name: str
    task: str
    arguments: dict[str, Any]
    methods: list[Method]
    cells: list[Cell]
    results: Results | None

    def cell(self, name: str) -> Cell | None:
        """The cell that wrote a directory."""
        return next((cell for cell in self.cells if cell.name == name), None)


def read_study(directory: Path) -> Study:
    """
    Reads `study.json` and `results.json`.

    Raises:
        UserError: a file cannot be read, or is not what this version of `ddg-hf study` writes.
    """
    plan = _read(directory / STUDY_FILE)
    methods = [
        Method(name, text(item.get("title"), name), text(item.get("kind")), text(item.get("about")))
        for item in mappings(plan.get("methods"))
        if (name := text(item.get("name")))
    ]
    cells = [_cell(item) for item in mappings(plan.get("cells")) if text(item.get("name"))]
    name, task = text(plan.get("name"), directory.resolve().name), text(plan.get("task"), "?")
    file = directory / RESULTS_FILE
    results = results_of(_read(file), task, methods) if file.is_file() else None
    return Study(name, task, dict(mapping(plan.get("arguments"))), methods, cells, results)


def _read(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        found = content.get("version") if isinstance(content, dict) else None
        raise UserError(f"'{file}' is not of version {_VERSION} of a study, but {found!r}; update ddg_hf")
    return content


def _cell(item: Mapping[str, Any]) -> Cell:
    seed = number(item.get("seed"))
    error = item.get("error")
    return Cell(
        name=item["name"],
        command=shown_command(texts(item.get("command"))),
        stage=text(item.get("stage")),
        method=text(item.get("method")) or None,
        seed=None if seed is None else int(seed),
        state=text(item.get("state"), "waiting"),
        seconds=number(item.get("seconds")),
        estimated_seconds=number(item.get("estimated_seconds")),
        error=without_paths(error) if isinstance(error, str) else None,
    )


def results_of(content: Mapping[str, Any], task: str, methods: list[Method]) -> Results:
    """What a study has measured, from the content of its `results.json`; what is no result in it is left out."""
    rows = [row for item in mappings(content.get("rows")) if (row := _row(item)) is not None]
    order = {method.name: i for i, method in enumerate(methods)}
    rows.sort(key=lambda row: (row.dpc, order.get(row.method, len(order))))
    unknown = dict.fromkeys(row.method for row in rows if row.method not in order)
    facts = {}
    for key, title in _FACTS.items():
        value = content.get(key)
        if value is not None:
            facts[title] = model_name(value) if key in _MODELS else str(value)
    return Results(
        task=text(content.get("task"), task),
        num_labels=len(texts(content.get("label_names"))) or None,
        facts=facts,
        methods=[*methods, *(Method(name, name) for name in unknown)],
        rows=rows,
        comparisons=[c for item in mappings(content.get("comparisons")) if (c := _comparison(item)) is not None],
        ranks=_by_measure(content.get("ranks")),
        power=_by_measure(content.get("power")),
        transfer=_by_measure(content.get("transfer")),
        matching=[dict(row) for row in mappings(content.get("matching"))],
    )


def _by_measure(content: Any) -> dict[str, list[dict[str, Any]]]:
    return {key: [dict(row) for row in mappings(value)] for key, value in mapping(content).items()}


def _row(item: Mapping[str, Any]) -> Row | None:
    method, dpc = item.get("method"), number(item.get("dpc"))
    if not isinstance(method, str) or dpc is None:
        return None
    accuracies = {key: estimate(value) for key, value in mapping(item.get("icl")).items()}
    accuracies |= {f"learner:{key}": estimate(value) for key, value in mapping(item.get("learners")).items()}
    spreads = {key: number(value) for key, value in mapping(item.get("icl_spread")).items()}
    cost = {key: number(value) for key, value in mapping(item.get("cost")).items()}
    return Row(
        method=method,
        dpc=int(dpc),
        num_sets=_count(item.get("num_sets")),
        num_training_seeds=_count(item.get("num_training_seeds")),
        accuracies=_known(accuracies),
        spreads=_known(spreads),
        quality=_known({key: estimate(item.get(key)) for key in QUALITY}),
        cost=_known(cost),
    )


def _count(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _comparison(item: Mapping[str, Any]) -> Comparison | None:
    difference, dpc = estimate(item.get("difference")), number(item.get("dpc"))
    measure, a, b = (item.get(key) for key in ("measure", "a", "b"))
    if difference is None or dpc is None or not all(isinstance(value, str) for value in (measure, a, b)):
        return None
    return Comparison(measure, int(dpc), a, b, difference, number(item.get("p_value")), number(item.get("p_holm")))
