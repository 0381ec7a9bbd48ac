# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Measured results for a card: as a table for people and as structured evaluation results for programs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ..data.rows import set_fingerprint
from ..data.tasks import TaskSpec
from ..errors import UserError
from ..evaluation.results import RESULTS_FILE
from ..formats.directory import DistilledDirectory
from ..provenance import read_json, redact
from .text import code, escape_markdown, table

# What a table shows of an evaluation in context and of one as training data.
_KINDS = {"accuracy": "accuracy", "calibrated_accuracy": "accuracy, batch-calibrated"}


@dataclass(frozen=True)
class Evaluation:
    """
    An evaluation of distilled sets.

    Attributes:
        file: Name of the file that is published: `icl_<model>.json` or `learner_<model>.json`.
        content: `results.json` as it was read.
    """

    file: str
    content: dict[str, Any]

    @property
    def in_context(self) -> bool:
        """Whether the sets were shown to a language model; otherwise classifiers were trained on them."""
        return "model" in self.content

    @property
    def model(self) -> str:
        """Model in whose context the sets were, or the classifier that was trained; a directory by its name."""
        model = redact(str(self.content["model" if self.in_context else "learner"]))
        return Path(model).name if Path(model).is_absolute() else model

    @property
    def identity(self) -> tuple:
        """What tells evaluations of the same sets from one another: another one of the same replaces it."""
        asked = ("split", "seed", "dtype", "scoring", "constrained", "order_by", "instruct", "chat")
        rows = [(row["dpc"], row.get("rounds"), row["num_queries"]) for row in self.content["aggregates"]]
        return (self.file, *(str(self.content.get(key)) for key in asked), str(rows))

    def setting(self, entry: dict[str, Any]) -> str:
        """How the sets of an aggregate were used, in a few words."""
        if not self.in_context:
            return "as training data"
        rounds = entry.get("rounds")
        shown = f", {rounds} rounds" if rounds != entry["dpc"] else ""
        return f"in context, {self.content['scoring']}{shown}"


def read_evaluation(source: str | Path, sets: DistilledDirectory) -> Evaluation:
    """
    Reads what `evaluate-icl` or `evaluate-learner` wrote.

    Args:
        source: Its directory, or `results.json`.
        sets: The sets that it has to be of.

    Raises:
        UserError: it is not there, is no such file, or is of other rows.
    """
    path = Path(source).expanduser()
    path = path / RESULTS_FILE if path.is_dir() else path
    return as_evaluation(read_json(path, "the results in "), sets, f"'{path}'")


def as_evaluation(content: Any, sets: DistilledDirectory, what: str) -> Evaluation:
    """
    Returns the content of `results.json` as an evaluation of `sets`.

    Raises:
        UserError: it is something else, or of other rows; `what` names it.
    """
    if not is_whole(content):
        raise UserError(f"{what} is not the result of `evaluate-icl` or `evaluate-learner`")
    if tuple(content["label_names"]) != sets.spec.label_names:
        raise UserError(f"{what} is of the task '{content['task']}', whose labels are not those of '{sets.spec.name}'")
    measured = content["distilled_sets"]
    if not measured:
        rows = content.get("demonstrations") or content.get("training_rows")
        raise UserError(f"{what} is of '{rows}' rows, not of distilled sets")
    for config, numbers in measured.items():
        if config not in sets.configs:
            raise UserError(f"{what} has results of {config}, which '{sets.path}' does not have")
        ours = {str(k): set_fingerprint((r.texts, r.label) for r in rows) for k, rows in sets.sets(config).items()}
        if not numbers.items() <= ours.items():
            raise UserError(f"{what} is of other sets of {config} than those in '{sets.path}'; evaluate these")
    for entry in content["aggregates"]:
        if f"dpc_{entry['dpc']}" not in measured:
            raise UserError(f"{what} has demonstrations that fill the context; a card shows whole sets")
    kind = "icl" if "model" in content else "learner"
    name = Path(redact(str(content["model" if kind == "icl" else "learner"]))).name
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name).strip(".") or "model"
    return Evaluation(f"{kind}_{safe}.json", content)


def is_whole(content: Any) -> bool:
    """Whether it has everything that a card reads, in the right types."""
    if not isinstance(content, dict):
        return False
    texts = ("task", "split", *(("model", "scoring") if "model" in content else ("learner",)))
    sets, names, rows = (content.get(key) for key in ("distilled_sets", "label_names", "aggregates"))
    return (
        all(isinstance(content.get(key), str) for key in texts)
        and isinstance(names, list)
        and (sets is None or _is_mapping_of(sets, dict))
        and isinstance(rows, list)
        and len(rows) > 0
        and all(_is_row(row) for row in rows)
        and "distilled_sets" in content
    )


def _is_mapping_of(value: Any, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kind) for item in value.values())


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(k), int) for k in ("dpc", "num_sets", "num_queries")):
        return False
    values = [row[kind] for kind in _KINDS if row.get(kind) is not None]
    return bool(values) and all(_is_mapping_of(value, (int, float)) and _is_finite(value) for value in values)


def _is_finite(value: dict[str, float]) -> bool:
    needed = [value.get("mean"), *(value[key] for key in ("low", "high") if key in value)]
    return all(number is not None and math.isfinite(number) for number in needed)


def results_table(evaluations: Sequence[Evaluation]) -> str:
    """Returns a Markdown table: accuracy in %, with 95 % intervals, of every evaluation."""
    rows = []
    for evaluation in evaluations:
        for entry in evaluation.content["aggregates"]:
            cells = [code(evaluation.model), escape_markdown(evaluation.setting(entry)), f"`dpc_{entry['dpc']}`"]
            cells += [escape_markdown(evaluation.content["split"]), entry["num_sets"], entry["num_queries"]]
            rows.append([*cells, *(_percent(entry.get(kind)) for kind in _KINDS)])
    return table(["model", "used", "configuration", "split", "sets", "queries", *_KINDS.values()], rows)


def _percent(value: dict[str, float] | None) -> str:
    if value is None:
        return "-"
    text = f"{100 * value['mean']:.1f}"
    return f"{text} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]" if "low" in value else text


def eval_results(evaluations: Sequence[Evaluation], spec: TaskSpec) -> list[EvalResult]:
    """
    Returns the results in the Hub's structure of evaluation results (`model-index`): an accuracy in [0, 1] for each
    configuration and kind of prediction, with its interval among the arguments of the metric.
    """
    found = []
    for evaluation in evaluations:
        for entry in evaluation.content["aggregates"]:
            for kind, name in _KINDS.items():
                value = entry.get(kind)
                if value is None:
                    continue
                arguments = {key: value[key] for key in ("low", "high") if key in value}
                arguments |= {key: entry[key] for key in ("rounds", "num_sets", "num_queries") if key in entry}
                setting = evaluation.setting(entry)
                found.append(
                    EvalResult(
                        task_type="text-classification",
                        task_name="Text classification",
                        dataset_type=spec.hub_id or spec.name,
                        dataset_name=spec.name,
                        dataset_config=spec.hub_config,
                        dataset_split=evaluation.content["split"],
                        metric_type="accuracy",
                        metric_name=f"{name}, dpc_{entry['dpc']}, {setting}, {evaluation.model}",
                        metric_value=round(value["mean"], 6),
                        metric_args=arguments | {"confidence": 0.95},
                    )
                )
    return found
